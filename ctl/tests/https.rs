//! The certificate flags and variables as a process sees them; what HTTPS itself does is tested in the client library.

#![expect(clippy::unwrap_used, reason = "a test that cannot start the program has failed")]

use std::process::Command;

fn run(words: &[&str], variables: &[(&str, &str)]) -> (String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nomadctl"));
    // Nobody listens on the port of "discard".
    command.args(words).env_clear().env("NOMAD_ADDR", "https://127.0.0.1:9").envs(variables.iter().copied());
    let ended = command.output().unwrap();
    (String::from_utf8(ended.stderr).unwrap(), ended.status.code().unwrap())
}

#[test]
fn wrong_settings_are_told_by_the_commands_that_use_them() {
    let check = |words: &[&str], variables: &[(&str, &str)], expected: &str| {
        let (err, code) = run(words, variables);
        assert_eq!(code, 1, "{words:?}");
        assert!(err.starts_with(expected), "{words:?}: {err}");
    };
    let missing = "Error initializing client: Error loading CA File: open nope.pem: no such file or directory";
    check(&["server", "members"], &[("NOMAD_CACERT", "nope.pem")], missing);
    check(&["server", "members", "-ca-cert=nope.pem"], &[("NOMAD_CACERT", "other.pem")], missing);
    let folder = "Error initializing client: Error loading CA Directory: open nope";
    check(&["job", "status", "-ca-path", "nope"], &[], folder);
    check(&["job", "status"], &[("NOMAD_CAPATH", "nope")], folder);
    let half = "Error initializing client: -client-cert (NOMAD_CLIENT_CERT) and -client-key (NOMAD_CLIENT_KEY) need each other";
    check(&["job", "status"], &[("NOMAD_CLIENT_CERT", "x.pem")], half);
    check(&["job", "status", "-client-key=x.pem"], &[], half);
    let name = "Error initializing client: -tls-server-name (NOMAD_TLS_SERVER_NAME) \"no name\"";
    check(&["job", "status"], &[("NOMAD_TLS_SERVER_NAME", "no name")], name);
    let nobody =
        "Error querying jobs: Get \"https://127.0.0.1:9/v1/jobs\": dial tcp 127.0.0.1:9: connect: connection refused";
    check(&["job", "status", "-tls-skip-verify"], &[], nobody);
    check(&["job", "status"], &[("NOMAD_SKIP_VERIFY", "true"), ("NOMAD_CLIENT_CERT", "")], nobody);
    // Who asks no agent needs no certificates, and plain addresses none either.
    assert_eq!(run(&["version"], &[("NOMAD_CACERT", "nope.pem")]).1, 0);
    let (err, _) = run(&["job", "status", "-address=http://127.0.0.1:9"], &[("NOMAD_CACERT", "nope.pem")]);
    assert!(err.contains("dial tcp 127.0.0.1:9"), "{err}");
}

#[test]
fn the_request_for_curl_names_the_same_certificates() {
    let words = ["operator", "api", "-dryrun", "-address=https://127.0.0.1:9", "-tls-skip-verify", "/v1/jobs"];
    let ended = Command::new(env!("CARGO_BIN_EXE_nomadctl")).args(words).env_clear().output().unwrap();
    let out = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(out, "curl -X GET --insecure 'https://127.0.0.1:9/v1/jobs'\n");
}
