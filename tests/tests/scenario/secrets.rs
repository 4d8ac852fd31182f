//! Private keys: in no file of the log, in no snapshot, in no log line; only the keystore holds what opens them.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nomadd_tests::{Agent, process};

use super::jobs;

/// What stands before the private part in every unencrypted Ed25519 key (PKCS #8: the algorithm, then two octet strings).
const CLEAR_KEY: [u8; 9] = [0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// What stands before the key in the keystore file.
const KEYSTORE_HEAD: usize = 8;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.is_symlink() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn private_keys_are_in_no_log_and_no_snapshot() {
    let mut agent = Agent::durable().await;
    agent.file("job.nomad.hcl", &jobs::batch("job", 1, "exit 0"));
    agent.ctl(&["job", "run", "--wait", "job.nomad.hcl"]).await.ok();
    agent.ctl(&["operator", "snapshot", "save", "state.snap"]).await.ok();
    let public = agent.get("/.well-known/jwks.json").await["keys"][0]["x"].as_str().unwrap().to_owned();
    let public = URL_SAFE_NO_PAD.decode(public).unwrap();
    agent.kill();

    let all = files(agent.path());
    let (keystores, others): (Vec<_>, Vec<_>) = all.iter().partition(|path| path.ends_with("keystore"));
    let [keystore] = keystores.as_slice() else { panic!("one keystore, not {keystores:?}") };
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(std::fs::metadata(keystore).unwrap().mode() & 0o777, 0o600);
    let opens = std::fs::read(keystore).unwrap()[KEYSTORE_HEAD..].to_vec();
    assert_eq!(opens.len(), 32);

    assert!(others.iter().any(|path| process::contains(path, &public)), "the search finds the public key in the log");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes();
    let secrets = [
        opens.clone(),
        hex(&opens),
        base64::engine::general_purpose::STANDARD.encode(&opens).into_bytes(),
        CLEAR_KEY.to_vec(),
    ];
    for path in others {
        for secret in &secrets {
            assert!(!process::contains(path, secret), "{} holds a private key", path.display());
        }
    }
}
