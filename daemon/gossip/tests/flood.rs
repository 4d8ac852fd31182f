//! A hostile peer at the port of a member: floods of packets and connections leave no memory behind and stop nobody.
//!
//! A binary of its own, as it measures the whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot start a member has failed")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use nomadd_gossip::{Config, Gossip, Keyring, Pace, Status, generate_key};
use nomadd_runtime::Runtime;

/// Resident bytes of this process.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Packets of every kind that a stranger can make, and connections that say wrong things or nothing.
fn attack(address: SocketAddr, rounds: u64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut number = 0x9e37_79b9_u64;
    let mut packet = [0; 1500];
    let mut silent = Vec::new();
    for round in 0..rounds {
        for byte in &mut packet {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (number >> 56) as u8;
        }
        packet[0] = [0xd1, 0xd2, 0xd3, packet[0]][(round % 4) as usize];
        let _ = socket.send_to(&packet[..(number % 1500) as usize], address);
        if round % 100 == 0
            && let Ok(mut stream) = TcpStream::connect(address)
        {
            let _ = match round % 300 {
                0 => stream.write_all(&[0xff; 64]),
                100 => stream.write_all(&[&[0, 0, 0, 49], &packet[..49]].concat()),
                _ => Ok(()),
            };
            silent.push(stream);
            if silent.len() > 20 {
                silent.remove(0);
            }
        }
        // A peer that fills the socket faster than it is read only loses its own packets.
        if round % 50 == 0 {
            std::thread::yield_now();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_peer_costs_no_memory_and_stops_nobody() {
    let key = generate_key().unwrap();
    let mut members: Vec<Gossip> = Vec::new();
    for name in ["a", "b", "c"] {
        let free = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            name: name.into(),
            bind: free,
            advertise: free,
            tags: BTreeMap::from([("name".into(), name.into())]),
            keyring: Some(Keyring::in_memory(&key).unwrap()),
            folder: None,
            pace: Pace::default(),
            runtime: Runtime::real(1),
        };
        let member = Gossip::start(config).await.unwrap();
        if let Some(first) = members.first() {
            assert_eq!(member.join(&[first.local().address.to_string()]).await.joined, 1);
        }
        members.push(member);
    }
    let all_alive = || members.iter().all(|member| member.stats().members == BTreeMap::from([(Status::Alive, 3)]));
    until("all know all", all_alive).await;
    let address = members[0].local().address;
    tokio::task::spawn_blocking(move || attack(address, 2_000)).await.unwrap();
    let before = resident();
    // `make hostile` goes on for minutes.
    let seconds = std::env::var("HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        tokio::task::spawn_blocking(move || attack(address, 50_000)).await.unwrap();
        if Instant::now() >= end {
            break;
        }
    }
    let dropped = members[0].stats().dropped;
    println!("gossip: {dropped:?}, grown by {} KiB", resident().saturating_sub(before) / 1024);
    assert!(dropped.unencrypted > 100 && dropped.wrong_key > 100 && dropped.foreign > 100 && dropped.oversized > 10);
    assert!(resident().saturating_sub(before) < 5 << 20);
    assert!(all_alive(), "nobody was taken for dead");
}
