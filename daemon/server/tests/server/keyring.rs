//! The root key: there from the beginning, public for everyone, private nowhere but in the keystore's wrapping.

use std::path::Path;

use nomadd_server::{Caller, keyring, operator};

use crate::harness::{Host, job};

/// Whether any file below a folder holds these bytes.
fn holds(folder: &Path, secret: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, secret);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(secret.len()).any(|window| window == secret)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_is_in_no_file_of_log_or_snapshots() {
    let host = Host::start(|_| ()).await;
    host.until("a root key", |state| state.root_keys().next().map(|_| ())).await;
    host.register(job("web", |_| ())).await;
    host.server.raft().snapshot_now().await.unwrap();
    let path = host.folder().join("saved");
    operator::save_snapshot(&host.server, &Caller::anonymous(), std::fs::File::create(&path).unwrap()).await.unwrap();
    let secrets = keyring::secrets_for_test(&host.server);
    assert_eq!(secrets.len(), 2);
    for secret in &secrets {
        assert_eq!(secret.len(), 32);
        assert!(!holds(host.folder(), secret), "a private key lies on the disk in the clear");
    }
    let public = {
        use base64::Engine as _;
        let jwks = keyring::jwks(&host.server);
        let x = jwks["keys"][0]["x"].as_str().unwrap().to_owned();
        assert_eq!(jwks["keys"][0]["alg"], "EdDSA");
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(x).unwrap()
    };
    assert!(holds(host.folder(), &public), "the search finds what is there");
    assert!(keyring::list(&host.server).iter().all(|report| report.lost.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_keystore_says_what_it_has_lost_and_makes_a_new_key() {
    let host = Host::start(|_| ()).await;
    let old = host.until("a root key", |state| state.root_keys().next().map(|key| key.meta.key_id)).await;
    let folder = host.stop().await;
    std::fs::remove_file(folder.path().join("server/keystore")).unwrap();
    let host = Host::open(folder, |_| ()).await;
    host.until("a second root key", |state| (state.root_keys().count() == 2).then_some(())).await;
    let reports = keyring::list(&host.server);
    for report in reports {
        let is_old = report.meta.key_id == old;
        assert_eq!(report.lost.is_some(), is_old);
        assert_eq!(report.meta.state == "active", !is_old);
        if let Some(lost) = report.lost {
            assert!(lost.starts_with("lost: root key"), "{lost}");
        }
    }
}
