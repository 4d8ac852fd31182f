//! Starts that are refused, each with a sentence that names the thing and the next step.

use std::process::{Command, Output};

use nomadd_tests::Agent;
use nomadd_tests::agent::{binary, free_port};

fn start(arguments: &[&str]) -> Output {
    Command::new(binary("nomadd")).arg("agent").args(arguments).output().unwrap()
}

#[track_caller]
fn refused(output: &Output, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_port_in_use_is_refused() {
    let foreign = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = foreign.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.hcl");
    std::fs::write(&file, format!("ports {{\n  http = {port}\n}}\n")).unwrap();
    let output = start(&["-dev", &format!("-config={}", file.display())]);
    refused(&output, &[&format!("127.0.0.1:{port}"), "in use", "ports.http"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_in_use_is_refused() {
    let agent = Agent::durable().await;
    let text = std::fs::read_to_string(agent.path().join("agent.hcl")).unwrap();
    let text = text.replace(&format!("http = {}", agent.port), &format!("http = {}", free_port()));
    let second = agent.file("second.hcl", &text);
    let output = start(&[&format!("-config={}", second.display())]);
    let data = agent.path().join("data");
    refused(&output, &[&data.display().to_string(), "in use"]);
    // The first one has not noticed.
    assert_eq!(agent.get("/v1/nodes").await[0]["Status"], "ready");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.hcl");
    let cases = [
        ("server {\n  enabled = \"perhaps\"\n}\n", vec!["agent.hcl:2", "enabled", "perhaps"]),
        ("acl {\n  enabled = true\n}\n", vec!["acl"]),
        ("ports {\n  http = 99999999\n}\n", vec!["agent.hcl:2", "99999999"]),
    ];
    for (text, parts) in cases {
        std::fs::write(&file, text).unwrap();
        refused(&start(&["-dev", &format!("-config={}", file.display())]), &parts);
    }
    refused(&start(&["-dev", "-config=/no/such/file.hcl"]), &["/no/such/file.hcl"]);
    refused(&start(&[]), &["server, client or dev mode"]);
}

#[test]
fn an_unwritable_data_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let blocker = folder.path().join("file");
    std::fs::write(&blocker, "").unwrap();
    let (http, rpc) = (free_port(), free_port());
    let file = folder.path().join("agent.hcl");
    let text = format!(
        "data_dir = \"{}/data\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {http}\n  rpc = {rpc}\n}}\nserver {{\n  enabled = true\n}}\n",
        blocker.display()
    );
    std::fs::write(&file, text).unwrap();
    refused(&start(&[&format!("-config={}", file.display())]), &[&blocker.display().to_string(), "data_dir"]);
}
