//! `tls …` as a process: files, their names and modes, texts and exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot start the program has failed")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

fn run(folder: &Path, words: &[&str]) -> (String, String, i32) {
    let ran =
        Command::new(env!("CARGO_BIN_EXE_nomadctl")).args(words).current_dir(folder).env_clear().output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(ran.stdout), text(ran.stderr), ran.status.code().unwrap())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_ca_and_certificates_are_made_and_shown_as_nomad_does() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| run(folder.path(), words);
    let (out, err, code) = run(&["tls", "ca", "create"]);
    let expected =
        "==> CA certificate saved to: nomad-agent-ca.pem\n==> CA certificate key saved to: nomad-agent-ca-key.pem\n";
    assert_eq!((out.as_str(), err.as_str(), code), (expected, "", 0));
    assert_eq!(mode(&folder.path().join("nomad-agent-ca-key.pem")), 0o600);
    let (_, err, code) = run(&["tls", "ca", "create"]);
    assert_eq!((err.as_str(), code), ("CA certificate file 'nomad-agent-ca.pem' already exists\n", 1));

    let (out, err, code) = run(&["tls", "cert", "create", "-server", "-region", "global"]);
    let expected = "==> Using CA file nomad-agent-ca.pem and CA key nomad-agent-ca-key.pem\n\
                    ==> Server Certificate saved to global-server-nomad.pem\n\
                    ==> Server Certificate key saved to global-server-nomad-key.pem\n";
    assert_eq!((out.as_str(), code), (expected, 0));
    assert!(err.starts_with("==> WARNING: Server Certificates grants authority"), "{err}");
    assert_eq!(mode(&folder.path().join("global-server-nomad-key.pem")), 0o600);
    let (out, err, code) = run(&["tls", "cert", "create", "-client", "-days=2", "-additional-ipaddress", "10.0.0.1"]);
    assert!(out.contains("==> Client Certificate saved to global-client-nomad.pem\n"), "{out}{err}");
    assert_eq!((err.as_str(), code), ("", 0));
    let (out, _, code) = run(&["tls", "cert", "create", "-cli", "-region=west"]);
    assert!(out.contains("==> CLI Certificate key saved to west-cli-nomad-key.pem\n"), "{out}");
    assert_eq!(code, 0);

    let shown = |words: &[&str]| -> Vec<(String, String)> {
        let (out, _, code) = run(words);
        assert_eq!(code, 0);
        let split = |line: &str| line.split_once("  ").map(|(key, value)| (key.to_owned(), value.trim().to_owned()));
        out.lines().map(|line| split(line).unwrap()).collect()
    };
    let info = shown(&["tls", "cert", "info", "global-server-nomad.pem"]);
    let keys: Vec<&str> = info.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["Serial Number", "Issuer CN", "Common Name", "Expiry Date", "DNS Names", "IP Addresses"]);
    assert!(info[0].1.parse::<u128>().is_ok(), "{info:?}");
    assert!(info[1].1.starts_with("Nomad Agent CA "), "{info:?}");
    assert_eq!(info[2].1, "CN=server.global.nomad");
    assert!(info[3].1.ends_with(" +0000 UTC"), "{info:?}");
    assert_eq!(info[4].1, "[server.global.nomad localhost]");
    assert_eq!(info[5].1, "[127.0.0.1]");
    let info = shown(&["tls", "ca", "info", "nomad-agent-ca.pem"]);
    assert!(info[2].1.starts_with("CN=Nomad Agent CA "), "{info:?}");
    assert_eq!(info[4], ("Permitted DNS Domains".to_owned(), "[]".to_owned()));
}

#[test]
fn wrong_uses_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let check = |words: &[&str], expected: &str| {
        let (out, err, code) = run(folder.path(), words);
        assert_eq!((out.as_str(), code), ("", 1), "{words:?}");
        assert!(err.starts_with(expected), "{words:?}: {err}");
    };
    check(&["tls", "cert", "create"], "Please provide either -server, -client, or -cli");
    check(&["tls", "cert", "create", "-server", "-client"], "Please provide either -server, -client, or -cli");
    check(
        &["tls", "cert", "create", "-client"],
        "Error reading CA: open nomad-agent-ca.pem: no such file or directory",
    );
    check(&["tls", "ca", "create", "-domain", "x"], "Please provide the -name-constraint flag");
    check(&["tls", "ca", "create", "-name-constraint"], "Please provide the -domain flag");
    check(&["tls", "ca", "create", "-days", "0"], "-days must be a positive number");
    check(
        &["tls", "cert", "info", "nope.pem"],
        "Error reading certificate file: open nope.pem: no such file or directory",
    );
    std::fs::write(folder.path().join("x.pem"), "nothing").unwrap();
    check(&["tls", "ca", "info", "x.pem"], "no PEM-encoded data found");
}
