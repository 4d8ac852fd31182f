//! The configuration's stories: order, kinds, protections, addresses.

use super::*;

fn interfaces() -> Interfaces {
    let interface = |name: &str, address: &str, prefix, default_route, loopback| Interface {
        name: name.into(),
        addresses: vec![(address.parse().unwrap(), prefix)],
        default_route,
        up: true,
        loopback,
    };
    Interfaces(vec![
        interface("lo", "127.0.0.1", 8, false, true),
        interface("eth0", "10.1.2.3", 24, true, false),
        interface("eth1", "192.0.2.7", 24, false, false),
    ])
}

fn source(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.into() }
}

fn loaded(texts: &[(&str, &str)], flags: &str) -> Result<Loaded, Problems> {
    let sources: Vec<Source> = texts.iter().map(|(name, text)| source(name, text)).collect();
    load(Mode::Configured, &sources, &[flags.to_owned()], &interfaces())
}

const SERVER: &str = "data_dir = \"/opt/nomad\"\nserver {\n  enabled = true\n  bootstrap_expect = 1\n}\n";

#[test]
fn defaults_are_nomads() {
    let config = loaded(&[("a.hcl", SERVER)], "").unwrap().config;
    assert_eq!(
        (config.region.as_str(), config.datacenter.as_str(), config.bind_addr.as_str()),
        ("global", "dc1", "0.0.0.0")
    );
    assert_eq!((config.ports.http, config.ports.rpc, config.ports.serf), (4646, 4647, 4648));
    assert_eq!(config.advertise_http, "10.1.2.3:4646");
    let dev = load(Mode::Development, &[], &[], &interfaces()).unwrap().config;
    assert!(dev.server.enabled && dev.client.enabled);
    assert_eq!(dev.http[0].to_string(), "127.0.0.1:4646");
}

#[test]
fn later_files_and_flags_win_maps_merge_and_switches_stay_on() {
    let first = format!("{SERVER}\nclient {{\n  enabled = true\n  meta {{ a = \"1\" b = 2 }}\n}}\nleave_on_terminate = true\nname = \"one\"\n")
        .replace("{ a = \"1\" b = 2 }", "{\n a = \"1\"\n b = 2\n}");
    let second = r#"{"name": "two", "client": {"meta": {"b": "3"}, "enabled": false}, "leave_on_terminate": false, "ports": {"http": "5646"}}"#;
    let config = loaded(&[("a.hcl", &first), ("b.json", second)], "name = \"three\"").unwrap().config;
    assert_eq!(config.name, "three");
    assert_eq!(config.client.meta.get("a").map(String::as_str), Some("1"));
    assert_eq!(config.client.meta.get("b").map(String::as_str), Some("3"));
    assert!(config.client.enabled && config.leave_on_terminate);
    assert_eq!(config.ports.http, 5646);
}

#[test]
fn a_file_without_an_extension_is_known_by_its_content() {
    let config = loaded(&[("nomad", "  {\"data_dir\": \"/x\", \"server\": {\"enabled\": true}}")], "").unwrap().config;
    assert!(config.server.enabled);
}

#[test]
fn unknown_keys_and_keys_without_effect_are_named() {
    let text = format!("{SERVER}\nclient {{\n  node_clas = \"x\"\n  log_file = \"/x\"\n}}\n");
    let warnings = loaded(&[("a.hcl", &text)], "").unwrap().warnings;
    let texts: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "a.hcl:9:3: \"client.log_file\" is known, but has no effect in this build yet.",
            "a.hcl:8:3: unknown key \"client.node_clas\": it is ignored. Did you mean \"node_class\"?"
        ]
    );
}

#[test]
fn protections_that_are_not_in_force_stop_the_agent() {
    for (text, key) in [
        ("acl { enabled = true }", "acl.enabled"),
        ("audit { enabled = true }", "audit.enabled"),
        ("client { disable_remote_exec = true }", "client.disable_remote_exec"),
        ("client { default_ineligible = true }", "client.default_ineligible"),
    ] {
        let text = text.replace("{ ", "{\n").replace(" }", "\n}");
        let problems = loaded(&[("a.hcl", SERVER), ("b.hcl", &text)], "").unwrap_err();
        assert!(problems.to_string().contains(&format!("{key:?} asks for a protection")), "{problems}");
    }
    assert!(loaded(&[("a.hcl", SERVER), ("b.hcl", "acl {\n  enabled = false\n}")], "").is_ok());
}

#[test]
fn wrong_kinds_and_values_are_named_with_their_place() {
    for (text, expected) in [
        ("ports {\n  http = \"many\"\n}", "b.hcl:2:3: \"ports.http\" must be a number, not \"many\""),
        ("ports {\n  http = 70000\n}", "b.hcl:2:3: \"http\" must be a whole number from 0 to 65535, not 70000"),
        (
            "server {\n  heartbeat_grace = \"soon\"\n}",
            "b.hcl:2:3: \"server.heartbeat_grace\": invalid duration \"soon\"",
        ),
        (
            "server {\n  server_join {\n    retry_join = [\"provider=aws tag_key=x\"]\n  }\n}",
            "this build does not ask clouds for addresses; write addresses, or a command that prints them: \"exec:COMMAND\"",
        ),
        (
            "server {\n  retry_join = [\"a\"]\n  start_join = [\"b\"]\n}",
            "\"start_join\" and \"retry_join\" exclude each other",
        ),
        ("tls {\n  rpc = true\n}", "b.hcl:2:3: \"tls.rpc\" is on, but \"tls.ca_file\" names no file"),
        (
            "tls {\n  verify_https_client = true\n}",
            "b.hcl:2:3: \"tls.verify_https_client\" protects nothing while \"tls.http\" is off",
        ),
        ("log_level = \"loud\"", "b.hcl:1:1: \"log_level\" must be one of"),
        ("client = 5", "b.hcl:1:1: \"client\" must be a block, not 5"),
        (
            "bind_addr = \"{{ GetInterfaceIP \\\"eth9\\\" }}\"",
            "this host has no interface \"eth9\"; it has lo, eth0, eth1",
        ),
        (
            "name = \"a\"\nname = \"b\"",
            "b.hcl:2:1: this is not HCL: \"name\" is set twice; it was set on line 1 before",
        ),
        ("a = {", "b.hcl:1:"),
        ("data_dir = \"relative\"", "b.hcl:1:1: \"data_dir\" must be an absolute path"),
    ] {
        let problems = loaded(&[("a.hcl", SERVER), ("b.hcl", text)], "").unwrap_err().to_string();
        assert!(problems.contains(expected), "{text}\n{problems}");
    }
    assert!(
        loaded(&[("a.hcl", "server {\n  enabled = true\n}")], "")
            .unwrap_err()
            .to_string()
            .contains("\"data_dir\" is missing")
    );
}

#[test]
fn addresses_come_from_templates() {
    for (template, expected) in [
        ("{{ GetPrivateIP }}", "10.1.2.3"),
        ("{{ GetPublicIP }}", "192.0.2.7"),
        ("{{ GetInterfaceIP \"eth1\" }}", "192.0.2.7"),
        ("{{ GetAllInterfaces | include \"network\" \"10.0.0.0/8\" | attr \"address\" }}", "10.1.2.3"),
        (
            "{{ GetAllInterfaces | exclude \"name\" \"lo\" | sort \"-address\" | limit 1 | attr \"address\" }}",
            "192.0.2.7",
        ),
        ("{{ GetAllInterfaces | include \"type\" \"ipv4\" | join \"address\" \" \" }}", "127.0.0.1 10.1.2.3 192.0.2.7"),
        ("127.0.0.1 ::1", "127.0.0.1 ::1"),
    ] {
        let addresses: Vec<String> =
            address::resolve(template, &interfaces()).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(addresses.join(" "), expected, "{template}");
    }
    for bad in ["{{ GetNothing }}", "{{ GetPrivateIP", "host name", "{{ include \"a\" \"b\" }}"] {
        assert!(address::resolve(bad, &interfaces()).is_err(), "{bad}");
    }
}

#[test]
fn whom_to_join_is_read_from_both_places_and_a_server_that_joins_waits_to_be_taken_in() {
    let text = "server {\n  retry_join = [\"a\"]\n  server_join {\n    retry_join = [\"b:4648\"]\n    retry_max = 3\n    retry_interval = \"5s\"\n  }\n}\nclient {\n  servers = [\"c\"]\n}";
    let first = "data_dir = \"/opt/nomad\"\nserver {\n  enabled = true\n}\n";
    let config = loaded(&[("a.hcl", first), ("b.hcl", text)], "").unwrap().config;
    assert_eq!(config.server.join.retry, ["a", "b:4648"]);
    assert_eq!((config.server.join.retry_max, config.server.join.retry_interval.to_string()), (3, "5s".to_owned()));
    assert_eq!((config.server.bootstrap_expect, config.client.servers), (0, vec!["c".to_owned()]));
    assert_eq!(loaded(&[("a.hcl", first)], "").unwrap().config.server.bootstrap_expect, 1);
}

#[test]
fn driver_configuration_is_handed_on_as_written() {
    let text = "plugin \"raw_exec\" {\n  config {\n    enabled = true\n    denied_envvars = [\"AWS_*\"]\n  }\n}\n";
    let config = loaded(&[("a.hcl", SERVER), ("b.hcl", text)], "").unwrap().config;
    assert_eq!(config.plugins["raw_exec"]["enabled"], true);
    assert_eq!(config.plugins["raw_exec"]["denied_envvars"][0], "AWS_*");
}

#[test]
fn the_users_page_lists_every_key_as_it_is() {
    use crate::schema::{AGENT, Effect, Key, Kind};
    fn walk(prefix: &str, keys: &[Key], rows: &mut Vec<String>) {
        for Key(name, kind, effect) in keys {
            let takes = match kind {
                Kind::Text => "text",
                Kind::Number => "number",
                Kind::Bool => "true or false",
                Kind::Span => "duration",
                Kind::Texts => "list of texts",
                Kind::Map => "texts by name",
                Kind::Free => "anything",
                Kind::Block(_) => "block",
                Kind::Named(_) => "named blocks",
            };
            let here = match effect {
                Effect::In => "in force",
                Effect::Later => "not yet",
                Effect::Guard => "refused",
            };
            rows.push(format!("| `{prefix}{name}` | {takes} | {here} |"));
            if let Kind::Block(inner) | Kind::Named(inner) = kind {
                walk(&format!("{prefix}{name}."), inner, rows);
            }
        }
    }
    let mut expected = Vec::new();
    walk("", AGENT, &mut expected);
    let page = include_str!("../../../docs/configuration.md");
    let mut rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for row in &expected {
        let place = rows.iter().position(|line| line.starts_with(row.as_str()));
        rows.remove(place.unwrap_or_else(|| panic!("docs/configuration.md lacks a line that begins with {row}")));
    }
    assert!(rows.is_empty(), "docs/configuration.md has lines for keys that there are not: {rows:#?}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[ -~\n]{0,200}") {
        let _any = loaded(&[("a.hcl", &text)], "");
        let _any = loaded(&[("a.json", &text)], "");
        let _any = address::resolve(&text, &interfaces());
    }
}
