//! Encrypted pools over real sockets: rotation without a drop, keys that differ, strangers at the port.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use nomadd_gossip::{GossipKey, JoinError, Keyring, KeyringError, Status, generate_key};

use super::common::{Pool, config, start, until};

fn ring(key: &str) -> Option<Keyring> {
    Some(Keyring::in_memory(key).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_without_a_drop() {
    let (old, new) = (generate_key().unwrap(), generate_key().unwrap());
    let pool = Pool::start_with(4, |config| config.keyring = ring(&old)).await;
    pool.all_alive(4).await;
    let a = &pool.members[0];
    let key = |text: &str| GossipKey::from_base64(text).unwrap();

    let listed = a.keyring_list().await.unwrap();
    assert_eq!((listed.nodes, listed.responses, listed.errors.len()), (4, 4, 0));
    assert_eq!(listed.keys, BTreeMap::from([(key(&old), 4)]));
    assert!(!format!("{listed:?}").contains(&old), "no key in debug");

    assert!(matches!(a.keyring_use(&new).await, Err(KeyringError::Unknown)));
    assert!(matches!(a.keyring_remove(&old).await, Err(KeyringError::Primary)));
    assert!(matches!(a.keyring_install("short").await, Err(KeyringError::Key(_))));
    let installed = a.keyring_install(&new).await.unwrap();
    assert_eq!((installed.responses, installed.keys[&key(&new)]), (4, 4));
    let used = pool.members[2].keyring_use(&new).await.unwrap();
    assert_eq!((used.responses, used.primary.clone()), (4, BTreeMap::from([(key(&new), 4)])));
    let removed = pool.members[3].keyring_remove(&old).await.unwrap();
    assert_eq!((removed.responses, removed.errors.len(), removed.keys), (4, 0, BTreeMap::from([(key(&new), 4)])));
    let before: Vec<u64> = pool.members.iter().map(|gossip| gossip.stats().received).collect();
    until("packets pass under the new key", || {
        pool.members.iter().zip(&before).all(|(gossip, before)| gossip.stats().received > before + 20)
    })
    .await;
    for gossip in &pool.members {
        assert_eq!(gossip.stats().members, BTreeMap::from([(Status::Alive, 4)]));
        // A packet sealed before may come after the old key is gone; one that was lost for want of a key may not.
        assert!(gossip.stats().dropped.wrong_key <= 2, "{:?}", gossip.stats().dropped);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_down_is_named_when_keys_change() {
    let old = generate_key().unwrap();
    let pool = Pool::start_with(3, |config| {
        config.keyring = ring(&old);
        // It is to count as alive while it is asked.
        config.pace.suspicion = std::time::Duration::from_secs(600);
    })
    .await;
    pool.all_alive(3).await;
    pool.members[1].stop().await;
    let report = pool.members[0].keyring_install(&generate_key().unwrap()).await.unwrap();
    assert_eq!((report.nodes, report.responses), (3, 2));
    assert_eq!(report.errors.keys().map(|name| &**name).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keyrings_that_differ_are_told_apart_at_the_join() {
    let (one, two) = (generate_key().unwrap(), generate_key().unwrap());
    let mut of_a = config("a");
    of_a.keyring = ring(&one);
    let a = start(of_a).await;
    let address = a.local().address;
    let clear = start(config("clear")).await;
    let mut of_other = config("other");
    of_other.keyring = ring(&two);
    let other = start(of_other).await;

    for (from, to, expected) in [
        (&clear, address, JoinError::KeyWanted { address }),
        (&other, address, JoinError::OtherKey { address }),
        (&a, clear.local().address, JoinError::NoKeyThere { address: clear.local().address }),
    ] {
        let report = from.join(&[to.to_string()]).await;
        assert_eq!(report.joined, 0);
        assert_eq!(report.errors[0].1, expected);
        assert!(report.errors[0].1.to_string().contains("`encrypt`"), "the setting is named");
    }
    let dropped = a.stats().dropped;
    assert_eq!((dropped.unencrypted, dropped.wrong_key), (1, 1), "{dropped:?}");
    assert_eq!(clear.stats().dropped.encrypted, 1);
    assert_eq!(a.members().len(), 1);
    assert!(matches!(clear.keyring_list().await, Err(KeyringError::NoKeyring)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_counted_by_kind_and_change_nothing() {
    let mut of_a = config("a");
    of_a.keyring = ring(&generate_key().unwrap());
    let a = start(of_a).await;
    let address = a.local().address;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for packet in [&b"hello"[..], &[0xd1; 40], &[0xd2; 100], &[7; 1600], &[]] {
        socket.send_to(packet, address).unwrap();
    }
    until("datagrams are counted", || {
        let dropped = a.stats().dropped;
        (dropped.foreign, dropped.unencrypted, dropped.wrong_key, dropped.oversized) == (2, 1, 1, 1)
    })
    .await;
    // HTTP at the gossip port.
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    })
    .await
    .unwrap();
    assert!(answer.is_empty());
    until("the connection is counted", || a.stats().dropped.foreign == 3).await;
    assert_eq!(a.members().len(), 1);
}
