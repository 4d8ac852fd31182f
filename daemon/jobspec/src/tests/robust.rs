//! No input panics, overflows the stack, or takes more than a bounded amount of work.

use std::path::Path;

use num_bigint::BigUint;
use proptest::prelude::*;

use super::{job, value};
use crate::{Dialect, Options, Source, Variables, parse, parse_json_job};

fn in_job(expression: &str) -> String {
    format!("job \"j\" {{\n  meta {{\n    a = {expression}\n  }}\n}}\n")
}

#[test]
fn towers_are_refused_before_they_fall() {
    let high = 50_000;
    let towers = [
        in_job(&format!("{}1{}", "(".repeat(high), ")".repeat(high))),
        in_job(&"[".repeat(high)),
        in_job(&format!("{}{}", "{a = ".repeat(high), "}".repeat(high))),
        in_job(&"\"${".repeat(high)),
        in_job(&format!("{}true", "!".repeat(high))),
        in_job(&format!("{}1", "-".repeat(high))),
        in_job(&format!("{}1", "true ? 1 : ".repeat(high))),
        in_job(&format!("1{}", " + 1".repeat(high))),
        in_job(&format!("x{}", "[*]".repeat(high))),
        in_job(&format!("null{}", "[*]".repeat(high))),
        in_job(&format!("x{}", ".a".repeat(high))),
        in_job(&format!("{}1{}", "upper(".repeat(high), ")".repeat(high))),
        in_job(&format!("\"{}\"", "%{ if true }".repeat(high))),
        in_job(&format!("<<EOT\n{}\nEOT\n", "%{ for a in b }".repeat(high))),
        in_job(&format!("{}1{}", "[for x in ".repeat(high), ": x]".repeat(high))),
        format!("{}{}", "a {\n".repeat(high), "}\n".repeat(high)),
        format!("{}{}", "a { ".repeat(high), "} ".repeat(high)),
        format!("{}{}", "{\"a\":".repeat(high), "}".repeat(high)),
        format!("{{\"job\": {}", "[".repeat(high)),
        in_job(&format!("jsondecode(\"{}\")", "[".repeat(high))),
        in_job(&format!("yamldecode(\"{}\")", "[".repeat(high))),
        in_job(&format!("regex_replace(\"a\", \"{}\", \"b\")", "(".repeat(high))),
        "}".repeat(high),
        "\"".repeat(high),
        "<<".repeat(high),
        "/*".repeat(high),
    ];
    for tower in towers {
        let options = Options { dialect: Dialect::Hcl1, ..Options::default() };
        let _ = parse(Source { name: "x", text: &tower }, &options);
        let start: String = tower.chars().take(60).collect();
        if job(&tower).is_ok() {
            assert!(start.contains("a = x.a"), "{start}");
        }
    }
    assert!(parse_json_job(&"[".repeat(high)).is_err());
}

#[test]
fn reasonable_depth_is_no_tower() {
    let depth = 40;
    assert!(value(&format!("{}1{}", "[".repeat(depth), "]".repeat(depth))).is_ok());
    assert!(value(&format!("1{}", " + 1".repeat(100))).is_ok());
    let locals: String = (1..60).map(|n| format!("  a{n} = local.a{}\n", n - 1)).collect();
    assert!(job(&format!("locals {{\n  a0 = 1\n{locals}}}\njob \"j\" {{ name = local.a59 }}\n")).is_ok());
}

#[test]
fn small_files_cannot_name_enormous_values() {
    let doubling = |first: &str, next: &dyn Fn(usize) -> String| {
        let lines: String = (1..90).map(|n| format!("  a{n} = {}\n", next(n - 1))).collect();
        format!("locals {{\n  a0 = {first}\n{lines}}}\njob \"j\" {{\n  name = jsonencode(local.a89)\n}}\n")
    };
    let bombs = [
        doubling("\"xxxxxxxxxx\"", &|n| format!("\"${{local.a{n}}}${{local.a{n}}}\"")),
        doubling("[1]", &|n| format!("[local.a{n}, local.a{n}]")),
        doubling("[1, 2]", &|n| format!("concat(local.a{n}, local.a{n})")),
        doubling("{}", &|n| format!("{{ a = local.a{n}, b = local.a{n} }}")),
        doubling("\"ab\"", &|n| format!("replace(local.a{n}, \"\", local.a{n})")),
        doubling("2", &|n| format!("local.a{n} * local.a{n}")),
        doubling("[1, 2, 3]", &|n| format!("setproduct(local.a{n}, local.a{n})")),
        in_job("[for a in range(1000) : [for b in range(1000) : [for c in range(1000) : a]]]"),
        in_job("setproduct(range(1000), range(1000), range(1000))"),
        in_job("pow(10, 300) * pow(10, 300) * 1e4000 * 1e4000"),
        in_job("yamldecode(\"a: &a [1,1,1,1,1,1,1,1,1]\\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\")"),
        "job \"j\" {\n  dynamic \"group\" {\n    for_each = range(1000)\n    labels = [\"a${group.value}\"]\n    content {\n      dynamic \"task\" {\n        for_each = range(1000)\n        labels = [\"t\"]\n        content {}\n      }\n    }\n  }\n}\n".to_owned(),
        in_job("[for a in range(1000) : [for b in range(100) : bcrypt(\"a\", 13)]]"),
        in_job("regex_replace(join(\"\", [for a in range(1000) : [for b in range(1000): \"a\"]]...), \"(a*)*b\", \"\")"),
        in_job("[for a in range(1000) : regex_replace(\"aaaaaaaaaaaaaaaaaaaa\", \"((a{1,50}){1,50}){1,50}\", \"\")]"),
    ];
    for bomb in bombs {
        let start: String = bomb.chars().take(80).collect();
        assert!(job(&bomb).is_err(), "{start}");
    }
    let large = " ".repeat(crate::SIZE_LIMIT + 1);
    assert!(job(&large).unwrap_err().to_string().contains("File too large"));
}

#[test]
fn long_lines_and_many_blocks_are_read_in_one_pass() {
    let object = format!(
        "job \"j\" {{\n  meta = {{\n{}  }}\n}}\n",
        (0..100_000).map(|n| format!("    k{n} = 1\n")).collect::<String>()
    );
    assert_eq!(job(&object).unwrap_err().0[0].summary, "Object too large");
    let volumes: String = (0..60_000).map(|n| format!("\"v{n}\": {{\"type\": \"host\"}},")).collect();
    let line =
        format!("{{\"job\": {{\"j\": {{\"group\": {{\"g\": {{\"volume\": {{{volumes} \"last\": {{}}}}}}}}}}}}}}");
    let parsed = job(&line).unwrap();
    assert_eq!(parsed.places["TaskGroups[0].Volumes[last]"], (1, line.find("\"last\"").unwrap() + 1));
    let wide =
        format!("job \"j\" {{ {} task \"t\" {{ }} }}", "meta { a = \"é\" } ".replace("é", &"é日".repeat(50_000)));
    let parsed = job(&wide).unwrap();
    assert_eq!(parsed.places["TaskGroups[0]"], (1, wide.chars().count() - 13));
    let braces = format!("job \"j\" {{\n  meta {{\n    a = [{}]\n  }}\n}}\n", "{}, ".repeat(50_000));
    assert!(job(&braces).is_err(), "a list is no text");
    let env: String = (0..20_000).map(|n| format!("      V{n} = \"${{NOMAD_ALLOC_ID}}-{n}\"\n")).collect();
    let text = format!("job \"j\" {{\n  task \"t\" {{\n    env {{\n{env}    }}\n  }}\n}}\n");
    let parsed = job(&text).unwrap();
    assert_eq!(parsed.job.task_groups.unwrap()[0].tasks.as_ref().unwrap()[0].env.as_ref().unwrap().len(), 20_000);
}

/// Modulus, public exponent and PEM of an RSA key from two known primes.
pub(super) fn small_rsa_key() -> (BigUint, BigUint, String) {
    let one = BigUint::from(1_u8);
    let (p, q) = ((&one << 256_u32) - 189_u32, (&one << 255_u32) - 19_u32);
    let modulus = &p * &q;
    let public = BigUint::from(65_537_u32);
    let private = public.modinv(&((p - 1_u32) * (q - 1_u32))).unwrap();
    let mut content = vec![2, 1, 0];
    for number in [&modulus, &public, &private] {
        let mut bytes = number.to_bytes_be();
        if bytes[0] >= 0x80 {
            bytes.insert(0, 0);
        }
        content.extend([2, bytes.len() as u8]);
        content.extend(bytes);
    }
    let mut der = vec![0x30, 0x81, content.len() as u8];
    der.extend(content);
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    (modulus, public, format!("-----BEGIN RSA PRIVATE KEY-----\n{text}\n-----END RSA PRIVATE KEY-----\n"))
}

/// Files to begin from: those of the corpus where it is at hand, and a few that use everything.
fn seeds() -> Vec<String> {
    fn walk(folder: &Path, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "hcl" || extension == "nomad") {
                out.extend(std::fs::read_to_string(&path).ok().filter(|text| text.len() < 6_000));
            }
        }
    }
    let mut out = vec![
        "variable \"a\" {\n  type = list(object({ b = optional(number, 1) }))\n  default = [{}]\n}\nlocals {\n  x = [for i, v in var.a : \"${i}-${v.b}\" if v.b > 0]\n}\njob \"j\" {\n  meta = { a = jsonencode(local.x), b = <<-EOT\n    %{ for y in local.x ~}\n    ${y}\n    %{ endfor ~}\n    EOT\n  }\n}\n".to_owned(),
        "{\"job\": {\"j\": {\"group\": {\"g\": {\"count\": \"${1 + 1}\", \"task\": {\"t\": {\"config\": {\"a\": [1, {}]}}}}}}}}".to_owned(),
    ];
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/jobs"), &mut out);
    out.sort();
    out
}

fn mutate(seed: &str, edits: &[(usize, u8, usize)]) -> String {
    const PIECES: [&str; 24] = [
        "{", "}", "\"", "${", "%{", "~}", "[", "]", "(", ")", "\n", "<<EOT\n", "EOT", "=", ",", "...", "for", "if",
        "\\", "é", "\u{0}", ".*", "-", "dynamic",
    ];
    let mut text: Vec<char> = seed.chars().collect();
    for (at, kind, length) in edits {
        let at = at % (text.len() + 1);
        let end = (at + length % 40).min(text.len());
        match kind % 4 {
            0 => drop(text.drain(at..end)),
            1 => drop(text.splice(at..at, PIECES[length % PIECES.len()].chars())),
            2 => {
                let copy: Vec<char> = text[at..end].to_vec();
                text.splice(at..at, copy);
            }
            _ => text.truncate(at.max(text.len() / 2)),
        }
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_files_never_panic(which in any::<usize>(), edits in prop::collection::vec((any::<usize>(), any::<u8>(), any::<usize>()), 1..6)) {
        thread_local!(static SEEDS: Vec<String> = seeds());
        let text = SEEDS.with(|seeds| mutate(&seeds[which % seeds.len()], &edits));
        for dialect in [Dialect::Auto, Dialect::Hcl1] {
            let variables = Variables { inline: text.clone(), ..Variables::default() };
            let options = Options { dialect, ..Options::default() };
            if let Err(errors) = parse(Source { name: "x", text: &text }, &options) {
                prop_assert!(!errors.0.is_empty());
                prop_assert!(!errors.to_string().is_empty());
            }
            let _ = parse(Source { name: "x", text: "job \"j\" {}" }, &Options { variables, ..options });
        }
        let _ = parse_json_job(&text);
    }

    #[test]
    fn no_function_panics_on_odd_arguments(which in any::<usize>(), arguments in prop::collection::vec(any::<usize>(), 0..5)) {
        const ODD: [&str; 34] = [
            "null", "true", "0", "-1", "1", "2", "1.5", "-0.000001", "9223372036854775808", "-9223372036854775808", "1e300", "1e-300", "\"\"",
            "\"a\"", "\"é👍🏽\\u0000\"", "\"%s%d%v%q%x%e%g%*d%[9]d\"", "\"-5\"", "\"10.0.0.0/8\"", "\"::/0\"", "\"0.0.0.0/0\"", "\"{\\\"a\\\":[1]}\"",
            "\"2020-02-29T23:59:60+14:00\"", "\"262143-12-31T00:00:00Z\"", "\"YYYY'\"", "\"(a|b)*\"", "\"a: &x [*x]\"", "\"a,b\\n1\"", "[]", "[[], [null]]", "[1, \"a\", true]",
            "{}", "{a = {b = [1]}}", "convert([\"b\", \"a\"], set(string))", "range(5)",
        ];
        let names = crate::function_names();
        let name = names[which % names.len()];
        let arguments: Vec<&str> = arguments.iter().map(|at| ODD[at % ODD.len()]).collect();
        let _ = value(&format!("{name}({})", arguments.join(", ")));
        let _ = value(&format!("{name}({}...)", arguments.join(", ")));
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        let _ = job(&text);
        let _ = value(&text);
    }
}
