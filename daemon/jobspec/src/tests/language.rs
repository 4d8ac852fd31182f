//! Expressions, templates, variables, locals, dynamic blocks, and both other syntaxes.

use serde_json::{Value as Json, json};

use super::{job, value};
use crate::{Dialect, Options, Source, Variables, parse};

/// The environment of the only task of a job.
fn env(text: &str) -> Json {
    let parsed = job(text).unwrap_or_else(|errors| panic!("{errors}"));
    let json = serde_json::to_value(&parsed.job).unwrap();
    json["TaskGroups"][0]["Tasks"][0]["Env"].clone()
}

fn env_of(lines: &str) -> Json {
    env(&format!(
        "job \"j\" {{\n  group \"g\" {{\n    task \"t\" {{\n      env = {{\n{lines}\n      }}\n    }}\n  }}\n}}\n"
    ))
}

fn with(text: &str, variables: Variables, strict: bool) -> Result<Json, String> {
    let options = Options { variables, strict, ..Options::default() };
    let parsed = parse(Source { name: "test.hcl", text }, &options).map_err(|errors| errors.to_string())?;
    Ok(json!({ "job": parsed.job, "warnings": parsed.warnings, "variables": parsed.variables }))
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn operators_and_conditions() {
    for (expression, expected) in [
        ("(1 + 2) * 3 / 2 % 4", "0.5"),
        ("1 + 2 * 3", "7"),
        ("-3 - -2", "-1"),
        ("-7 % 3", "-1"),
        ("0.1 + 0.2", "0.3"),
        ("\"5\" + 1", "6"),
        ("9007199254740993", "9007199254740993"),
        ("1e3", "1000"),
        ("1 < 2 && \"a\" != \"b\" || !false", "true"),
        ("2 >= 2", "true"),
        ("1 == \"1\"", "false"),
        ("[1, {a = 2}] == [1, {a = 2}]", "true"),
        ("true ? \"a\" : \"b\"", "\"a\""),
        ("false ? 1 : true ? 2 : 3", "2"),
        ("true ? 1 : \"x\"", "\"1\""),
        ("false ? [1][9] : \"ok\"", "\"ok\""),
        ("[for x in [1, 2, 3] : x * 2 if x != 2]", "[2,6]"),
        ("[for i, x in [\"a\", \"b\"] : \"${i}${x}\"]", "[\"0a\",\"1b\"]"),
        ("{for k, v in {a = 1, b = 2} : upper(k) => v}", "{\"A\":1,\"B\":2}"),
        ("{for x in [\"a\", \"b\", \"aa\"] : substr(x, 0, 1) => x...}", "{\"a\":[\"a\",\"aa\"],\"b\":[\"b\"]}"),
        ("[{a = 1}, {a = 2}][*].a", "[1,2]"),
        ("[{a = [1]}, {a = [2]}].*.a[0]", "[1]"),
        ("[{a = [1]}, {a = [2]}][*].a[0]", "[1,2]"),
        ("null[*]", "[]"),
        ("\"x\"[*]", "[\"x\"]"),
        ("[[1, 2], [3]][0][1]", "2"),
        ("[\"a\", \"b\"].1", "\"b\""),
        ("{a = {\"b c\" = 1}}.a[\"b c\"]", "1"),
        ("{(\"a${1}\") = 1, \"b.c\": 2}", "{\"a1\":1,\"b.c\":2}"),
        ("concat([[1], [2]]...)", "[1,2]"),
        ("\"a ${\"b ${\"c\"}\"} d\"", "\"a b c d\""),
    ] {
        assert_eq!(value(expression).as_deref(), Ok(expected), "{expression}");
    }
    for (expression, reason) in [
        ("1 / 0", "divide by zero"),
        ("1 % 0", "division by zero"),
        ("\"a\" + 1", "a number is required"),
        ("attr.cpu + 1", "known only where the task runs"),
        ("1 && true", "a bool is required"),
        ("\"x${[1]}\"", "but this is a tuple"),
        ("\"x${null}\"", "null"),
        ("null ? 1 : 2", "null"),
        ("[for x in 5 : x]", "list, set or map"),
        ("{for x in [1, 1] : \"k\" => x}", "More than one item"),
        ("{a = 1}.b", "does not have an attribute named \"b\""),
        ("[1].a", "choose an element first"),
        ("\"abc\"[0]", "which has no elements"),
        ("NOMAD_X[*]", "known only where the task runs"),
        ("{a.b = 1}", "in parentheses if it is a reference"),
    ] {
        let error = value(expression).expect_err(expression);
        assert!(error.contains(reason), "{expression}: {error}");
    }
}

#[test]
fn names_that_only_the_client_knows_stay_as_they_are_written() {
    let env = env_of(
        r#"
        A = "${attr.kernel.name}-${NOMAD_PORT_http}"
        B = "${ NOMAD_ALLOC_INDEX }"
        C = NOMAD_ALLOC_ID
        D = meta.x
        E = "${env["HOME"]}"
        F = "$${kept} %%{kept} $5 100%"
        G = upper("${node.datacenter}")
        H = "é\u00e9\t\"\\"
        I = "x-${ env["a b"] }-y"
        "#,
    );
    let expected = json!({
        "A": "${attr.kernel.name}-${NOMAD_PORT_http}", "B": "${ NOMAD_ALLOC_INDEX }", "C": "${NOMAD_ALLOC_ID}", "D": "${meta.x}",
        "E": "${env[\"HOME\"]}", "F": "${kept} %{kept} $5 100%", "G": "${NODE.DATACENTER}", "H": "éé\t\"\\", "I": "x-${ env[\"a b\"] }-y",
    });
    assert_eq!(env, expected);
}

#[test]
fn heredocs_keep_or_lose_their_indent() {
    for (written, expected) in [
        ("<<EOT\n  a\n    b\n  EOT\n", "  a\n    b\n"),
        ("<<-EOT\n  a\n    b\n\n  c\n  EOT\n", "a\n  b\n\nc\n"),
        ("<<-EOT\n    ${\"x\"}\n      y\n  EOT\n", "x\n  y\n"),
        ("<<EOT\nEOT\n", ""),
        ("<<EOT\na $${x} %%{y} \\n \"q\"\nEOT\n", "a ${x} %{y} \\n \"q\"\n"),
        ("<<EOT\n%{ if true }yes%{ else }no%{ endif }\nEOT\n", "yes\n"),
        ("<<EOT\n%{ for x in [1, 2] ~}\n${x},\n%{ endfor ~}\nend\nEOT\n", "1,\n2,\nend\n"),
        ("<<-EOT\n  %{ for x in [1, 2] }\n  ${x}\n  %{ endfor }\n  EOT\n", "\n1\n\n2\n\n"),
        ("<<EOT\n  a ${~ \"b\" ~}  \n  c\nEOT\n", "  ab  c\n"),
        ("<<EOT\r\na\r\nEOT\r\n", "a\r\n"),
    ] {
        let text = format!("job \"j\" {{\n  meta {{\n    x = {written}  }}\n}}\n");
        let parsed = job(&text).unwrap_or_else(|errors| panic!("{written:?}: {errors}"));
        let meta = parsed.job.meta.unwrap();
        assert_eq!(meta["x"], expected, "{written:?}");
    }
}

#[test]
fn variables_take_the_last_of_their_values() {
    let text = "variable \"a\" { default = \"default\" }\njob \"j\" { name = var.a }\n";
    let env = pairs(&[("NOMAD_VAR_a", "env"), ("a", "not this"), ("NOMAD_VAR_other", "x")]);
    let files = pairs(&[("1.hcl", "a = \"file\"")]);
    let name = |variables| with(text, variables, true).unwrap()["job"]["Name"].clone();
    assert_eq!(name(Variables::default()), "default");
    assert_eq!(name(Variables { env: env.clone(), ..Variables::default() }), "env");
    assert_eq!(name(Variables { env: env.clone(), files: files.clone(), ..Variables::default() }), "file");
    let json = pairs(&[("1.json", "{\"a\": \"json\"}")]);
    assert_eq!(name(Variables { files: json, ..Variables::default() }), "json");
    let inline = "a = \"inline\"".to_owned();
    assert_eq!(
        name(Variables { env: env.clone(), files: files.clone(), inline: inline.clone(), ..Variables::default() }),
        "inline"
    );
    assert_eq!(name(Variables { env, files, inline, flags: pairs(&[("a", "x"), ("a", "flag")]) }), "flag");
}

#[test]
fn variables_are_converted_to_their_types() {
    let text = r#"
        variable "n" { type = number }
        variable "l" { type = list(object({ name = string, port = optional(number, 80) })) }
        variable "any" {}
        variable "b" {
          type    = bool
          default = "true"
        }
        job "j" {
          meta {
            n   = var.n + 1
            l   = jsonencode(var.l)
            any = var.any
            b   = var.b
          }
        }
    "#;
    let flags = pairs(&[("n", "41"), ("l", "[{name = \"x\"}, {name = 2, port = \"8080\"}]"), ("any", "[1]")]);
    let result = with(text, Variables { flags, ..Variables::default() }, true).unwrap();
    let expected = json!({ "n": "42", "l": "[{\"name\":\"x\",\"port\":80},{\"name\":\"2\",\"port\":8080}]", "any": "[1]", "b": "true" });
    assert_eq!(result["job"]["Meta"], expected);
    assert_eq!(result["variables"]["n"], 41);
}

#[test]
fn what_is_wrong_with_variables_is_said() {
    let check = |text: &str, variables: Variables, reason: &str| {
        let error = with(text, variables, true).expect_err(text);
        assert!(error.contains(reason), "{error}");
    };
    let job = "job \"j\" {}\n";
    let none = Variables::default;
    let flag = |name, value| Variables { flags: pairs(&[(name, value)]), ..none() };
    check(
        &format!("variable \"a\" {{}}\n{job}"),
        none(),
        "test.hcl:1,1-13: Unset variable \"a\"; A used variable must be set",
    );
    check(
        &format!("variable \"a\" {{ type = number }}\n{job}"),
        flag("a", "x"),
        "set through -var a is not compatible with the variable's type constraint: a number required, but have string",
    );
    check(&format!("variable \"a\" {{ type = list(number) }}\n{job}"), flag("a", "[1,"), "<value of -var a>:1,");
    check(
        &format!("variable \"a\" {{ type = list(number) }}\n{job}"),
        flag("a", "[x]"),
        "Variables may not be used here",
    );
    check(
        &format!("variable \"a\" {{\n  type = number\n  default = \"x\"\n}}\n{job}"),
        none(),
        "3,13-16: Invalid default value for variable",
    );
    check(
        &format!("variable \"a\" {{ default = 1 }}\nvariable \"a\" {{ default = 1 }}\n{job}"),
        none(),
        "2,1-13: Duplicate variable",
    );
    check(&format!("variable \"a\" {{ defalt = 1 }}\n{job}"), none(), "Did you mean \"default\"?");
    check(&format!("variable \"count\" {{ default = 1 }}\n{job}"), flag("cuont", "1"), "did you mean \"count\"?");
    check(
        &format!("variable \"a\" {{ default = 1 }}\n{job}"),
        Variables { files: pairs(&[("v.hcl", "a = 1\nb = 2\n")]), ..none() },
        "A \"b\" variable was set in v.hcl",
    );
    check(job, Variables { files: pairs(&[("v.hcl", "a = \n")]), ..none() }, "v.hcl:1,5-2,1: Invalid expression");
    let rule = "variable \"a\" {\n  default = 5\n  validation {\n    condition = var.a < 3\n    error_message = \"a is ${var.a}, too large\"\n  }\n}\n";
    check(&format!("{rule}{job}"), none(), "4,17-26: Invalid value for variable; a is 5, too large");
    let lax = with(job, flag("nope", "1"), false).unwrap();
    assert!(lax["warnings"][0].as_str().unwrap().contains("\"nope\""));
}

#[test]
fn locals_may_need_each_other_in_any_order() {
    let text = "locals {\n  b = \"${local.a}!\"\n}\nlocals {\n  a = upper(local.c)\n  c = \"x\"\n}\njob \"j\" { name = local.b }\n";
    assert_eq!(job(text).unwrap().job.name.as_deref(), Some("X!"));
    let circle = "locals {\n  a = local.b\n  b = local.a\n}\njob \"j\" { name = local.a }\n";
    let error = job(circle).unwrap_err().to_string();
    assert!(error.contains("Circular reference between locals"), "{error}");
    let unused = "locals {\n  a = [1][2]\n}\njob \"j\" {}\n";
    assert_eq!(job(unused).unwrap_err().0[0].line, 2);
    let tried = "locals {\n  a = [1][2]\n}\njob \"j\" { name = try(local.a, \"x\") }\n";
    assert_eq!(job(tried).unwrap_err().0[0].line, 2);
}

#[test]
fn dynamic_blocks_make_blocks() {
    let text = r#"
        job "j" {
          dynamic "group" {
            for_each = { b = 2, a = 1 }
            iterator = it
            labels   = ["g-${it.key}"]
            content {
              count = it.value
              network {
                dynamic "port" {
                  for_each = ["http", "https"]
                  labels   = [port.value]
                  content { to = 8000 + port.key + it.value }
                }
              }
              task "t" {
                driver = "docker"
                config {
                  dynamic "mount" {
                    for_each = [1, 2]
                    content { id = mount.value }
                  }
                }
              }
            }
          }
        }
    "#;
    let parsed = job(text).unwrap_or_else(|errors| panic!("{errors}"));
    let json = serde_json::to_value(&parsed.job).unwrap();
    let groups = json["TaskGroups"].as_array().unwrap();
    assert_eq!(groups.iter().map(|group| group["Name"].as_str().unwrap()).collect::<Vec<_>>(), ["g-a", "g-b"]);
    assert_eq!(groups[1]["Networks"][0]["DynamicPorts"][1]["To"], 8003);
    assert_eq!(groups[0]["Tasks"][0]["Config"], json!({ "mount": [{ "id": 1 }, { "id": 2 }] }));
    for (text, reason) in [
        ("dynamic \"group\" {}", "\"for_each\" is required"),
        ("dynamic \"group\" { for_each = [] }", "needs a content block"),
        ("dynamic \"grop\" {\n for_each = []\n content {}\n }", "Did you mean \"group\"?"),
        ("dynamic \"group\" {\n for_each = 5\n content {}\n }", "is required for for_each"),
        ("dynamic \"group\" {\n for_eech = []\n content {}\n }", "Did you mean \"for_each\"?"),
        ("dynamic \"group\" {\n for_each = [1]\n content {}\n }", "All group blocks must have 1 labels"),
    ] {
        let error = job(&format!("job \"j\" {{\n{text}\n}}\n")).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn free_blocks_become_lists_of_objects() {
    let text = r#"
        job "j" {
          task "t" {
            config {
              ulimit { nofile = "1" }
              labels = { a = "b" }
              same   = merge({ a = "b" }, {})
              list   = [{ a = 1 }]
              logging {
                config { x = 1 }
              }
              logging {
                y = 2.5
              }
              n "a" "b" { c = 1 }
              none = null
              big  = 9007199254740993
            }
          }
        }
    "#;
    let json = serde_json::to_value(&job(text).unwrap().job).unwrap();
    let expected = json!({
        "ulimit": [{ "nofile": "1" }], "labels": [{ "a": "b" }], "same": { "a": "b" }, "list": [{ "a": 1 }],
        "logging": [{ "config": [{ "x": 1 }] }, { "y": 2.5 }], "n": [{ "a": [{ "b": [{ "c": 1 }] }] }], "big": 9007199254740993_i64,
    });
    assert_eq!(json["TaskGroups"][0]["Tasks"][0]["Config"], expected);
}

#[test]
fn places_name_each_block() {
    let text = "job \"j\" {\n  group \"a\" {\n    task \"t\" {\n      template {\n        data = \"x\"\n      }\n    }\n  }\n  task \"lone\" {\n    driver = \"x\"\n  }\n}\n";
    let places = job(text).unwrap().places;
    assert_eq!(places[""], (1, 1));
    assert_eq!(places["TaskGroups[0].Tasks[0]"], (9, 3));
    assert_eq!(places["TaskGroups[1]"], (2, 3));
    assert_eq!(places["TaskGroups[1].Tasks[0].Templates[0]"], (4, 7));
}

#[test]
fn a_job_in_json_means_the_same() {
    let hcl = r#"
        variable "count" {
          type    = number
          default = 2
        }
        job "j" {
          datacenters = ["dc1"]
          group "g" {
            count = var.count
            network {
              port "http" { static = 80 }
              port "db" {}
            }
            task "t" {
              driver = "docker"
              env { A = "${NOMAD_ALLOC_ID}" }
              config { image = "x:${var.count}" }
              template { data = "{{ env \"X\" }}" }
              template { data = "b" }
            }
          }
        }
    "#;
    let json = r#"{
        "variable": {"count": {"type": "number", "default": 2}},
        "job": {"j": [{
          "//": "a comment",
          "datacenters": ["dc1"],
          "group": {"g": {
            "count": "${var.count}",
            "network": {"port": {"http": {"static": 80}, "db": {}}},
            "task": [{"t": {
              "driver": "docker",
              "env": {"A": "${NOMAD_ALLOC_ID}"},
              "config": {"image": "x:${var.count}"},
              "template": [{"data": "{{ env \"X\" }}"}, {"data": "b"}]
            }}]
          }}
        }]}
    }"#;
    assert_eq!(job(hcl).unwrap().job, job(json).unwrap().job);
    let free =
        job("{\"job\": {\"j\": {\"task\": {\"t\": {\"config\": {\"labels\": {\"a\": \"b\"}, \"list\": [1, {}]}}}}}}")
            .unwrap();
    let json = serde_json::to_value(&free.job).unwrap();
    assert_eq!(json["TaskGroups"][0]["Tasks"][0]["Config"], json!({ "labels": { "a": "b" }, "list": [1, {}] }));
    let error = job("{\"job\": {\"j\": {\n  \"grup\": 1}}}").unwrap_err();
    assert_eq!((error.0[0].line, error.0[0].column), (2, 3));
    assert!(error.to_string().contains("Did you mean"), "{error}");
    let dynamic = r#"{"job": {"j": {"dynamic": {"group": {"for_each": ["a", "b"], "labels": ["${group.value}"], "content": {"count": "${group.key}"}}}}}}"#;
    let groups = job(dynamic).unwrap().job.task_groups.unwrap();
    assert_eq!(
        groups.iter().map(|group| (group.name.clone().unwrap(), group.count)).collect::<Vec<_>>(),
        [("a".to_owned(), Some(0)), ("b".to_owned(), Some(1))]
    );
}

#[test]
fn hcl1_is_read_where_hcl2_cannot() {
    let text = "job \"j\" { datacenters = [\"dc1\",] vault_token = \"x\" group \"g\" { count = 0x2, task \"t\" { env { \"A.B\" = \"${attr.x}\" N = 5 } config { port_map = { a = 1 } } } } }";
    let parsed = job(text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(parsed.dialect, Dialect::Hcl1);
    assert_eq!(parsed.warnings.len(), 2, "{:?}", parsed.warnings);
    assert!(parsed.warnings[0].contains("read as HCL1"), "{:?}", parsed.warnings);
    let json = serde_json::to_value(&parsed.job).unwrap();
    let group = &json["TaskGroups"][0];
    assert_eq!(group["Count"], 2);
    assert_eq!(group["Tasks"][0]["Env"], json!({ "A.B": "${attr.x}", "N": "5" }));
    assert_eq!(group["Tasks"][0]["Config"], json!({ "port_map": [{ "a": 1 }] }));
    let options = Options { dialect: Dialect::Hcl1, ..Options::default() };
    let heredoc = "job \"j\" {\n  meta {\n    a = <<-EOT\n      x\n        y\n      EOT\n  }\n}\n";
    let parsed = parse(Source { name: "x", text: heredoc }, &options).unwrap();
    assert_eq!(parsed.job.meta.unwrap()["a"], "x\n  y\n");
    assert_eq!(parsed.warnings, Vec::<String>::new(), "nothing to say where HCL1 was asked for");
    for (text, summary) in [
        ("job \"j\" {\n  name = = 1\n}\n", "Invalid expression"),
        ("job \"j\" {\n  name = \"a\",\n  nope = 1\n}\n", "Unexpected comma after argument"),
        ("variable \"a\" {}\njob \"j\" {\n  name = \"a\",\n}\n", "Unexpected comma after argument"),
        ("job \"j\" {\n  name = \"${var.a + }\"\n}\n", "Invalid expression"),
        ("job \"j\" {\n  name = \"%{ if true }\"\n}\n", "Unclosed template directive"),
        ("job \"j\" {\n  name = \"%{ endfor }\"\n}\n", "Unexpected template directive"),
    ] {
        assert_eq!(job(text).unwrap_err().0[0].summary, summary, "{text}");
    }
}

#[test]
fn a_job_in_the_apis_json_is_read_bare_or_wrapped() {
    for text in [
        "{\"ID\": \"a\", \"priority\": 5}",
        "{\"Job\": {\"id\": \"a\", \"Priority\": 5}}",
        "\u{feff}{\"job\": {\"ID\": \"a\", \"Priority\": 5}}",
    ] {
        let job = crate::parse_json_job(text).unwrap();
        assert_eq!((job.id.as_deref(), job.priority), (Some("a"), Some(5)), "{text}");
    }
    for text in ["job \"x\" {}", "[]", "{\"Job\": 5}", "{\"Priority\": \"x\"}", ""] {
        assert!(crate::parse_json_job(text).is_err(), "{text}");
    }
}

#[test]
fn values_and_variable_files_can_stand_alone() {
    let value = |text| crate::expression::parse_value(Source { name: "v", text }).map_err(|errors| errors.headlines());
    assert_eq!(value(" [1 + 1, upper(\"a\"), { b = null }] "), Ok(json!([2, "A", { "b": null }])));
    assert_eq!(
        value("1 +").unwrap_err(),
        "v:1,2-3: Extra characters after expression; An expression was read, but what follows does not belong to it."
    );
    assert!(value("x.y").unwrap_err().contains("Variables may not be used here"));
    let file =
        |text| crate::expression::parse_variable_file(Source { name: "v", text }).map_err(|errors| errors.headlines());
    assert_eq!(file("a = 1\nb = [\"x\"]\n").unwrap()["b"], json!(["x"]));
    assert_eq!(file("{\"a\": {\"b\": \"x\"}}").unwrap()["a"], json!({ "b": "x" }));
    assert_eq!(
        file("a {\n}\n").unwrap_err(),
        "v:1,1-2: Unexpected \"a\" block; Blocks are not allowed here: a file of variables has lines of the form name = value."
    );
}
