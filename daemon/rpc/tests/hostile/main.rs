//! A hostile peer, in a process of its own because memory is measured: garbage, half messages, lies about sizes, many connections. The listener goes on and does not grow.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

#[path = "../network/certificates.rs"]
#[expect(dead_code, reason = "shared with the tests of the network")]
mod certificates;
#[path = "../network/harness.rs"]
#[expect(dead_code, reason = "shared with the tests of the network")]
mod harness;

use std::net::SocketAddr;

use nomadd_rpc::{Limits, NetworkConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use certificates::Ca;
use harness::{Listening, ask, dial, quick};

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header without compression or indexing.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(name.len()).unwrap()];
    bytes.extend(name.as_bytes());
    bytes.push(u8::try_from(value.len()).unwrap());
    bytes.extend(value.as_bytes());
    bytes
}

/// A call that claims a message of 64 MiB and sends a few bytes of it.
fn lie(stream: u32) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/nomadd.Rpc/Call"),
        (":authority", "nomadd"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("nomadd-format", "1"),
        ("nomadd-region", "global"),
        ("nomadd-method", "raft-append"),
    ] {
        headers.extend(header(name, value));
    }
    let mut bytes = frame(1, 4, stream, &headers);
    bytes.extend(frame(0, 0, stream, &[0, 4, 0, 0, 0, 1, 2, 3]));
    bytes
}

/// The bytes of a hostile connection, another one for each number.
fn poison(number: u32) -> Vec<u8> {
    let mut noise = number.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut random = |count: usize| -> Vec<u8> {
        (0..count)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                noise.to_le_bytes()[0]
            })
            .collect()
    };
    let with = |parts: &[&[u8]]| parts.concat();
    match number % 10 {
        0 => random(4096),
        1 => with(&[&[0x16], &random(4096)]),
        2 => with(&[&[0x16, 3, 1, 0xff, 0xff], &random(4096)]),
        3 => with(&[PREFACE, &random(4096)]),
        4 => with(&[PREFACE, SETTINGS, &frame(1, 4, 1, &random(512))]),
        5 => with(&[PREFACE, SETTINGS, &frame(1, 0, 1, &vec![0; 16_000]), &frame(9, 0, 1, &vec![0; 16_000])]),
        6 => (0..200).fold(with(&[PREFACE, SETTINGS]), |bytes, number| [bytes, lie(number * 2 + 1)].concat()),
        7 => {
            (0..500).fold(with(&[PREFACE, SETTINGS]), |bytes, _| [bytes, frame(4, 0, 0, &[0, 3, 0, 0, 0, 1])].concat())
        }
        8 => (0..500).fold(with(&[PREFACE, SETTINGS]), |bytes, _| [bytes, frame(6, 0, 0, &[7; 8])].concat()),
        _ => b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
    }
}

async fn attack(address: SocketAddr, number: u32) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    let sent = tokio::time::timeout(std::time::Duration::from_secs(5), stream.write_all(&poison(number))).await;
    if number.is_multiple_of(3) && matches!(sent, Ok(Ok(()))) {
        let mut answer = [0; 4096];
        drop(tokio::time::timeout(std::time::Duration::from_millis(20), stream.read(&mut answer)).await);
    }
}

/// How long each listener is attacked; `make hostile` goes on for minutes.
fn seconds() -> std::time::Duration {
    let seconds = std::env::var("HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok());
    std::time::Duration::from_secs(seconds.unwrap_or(0) / 2)
}

async fn withstands(listening: NetworkConfig, dialing: NetworkConfig) {
    let listening = Listening::start(listening).await;
    let mut before = 0;
    let end = std::time::Instant::now() + seconds();
    let mut round = 0;
    while round < 5 || std::time::Instant::now() < end {
        for batch in 0..10 {
            let numbers = (0..20).map(|number| attack(listening.address, round * 200 + batch * 20 + number));
            futures_util::future::join_all(numbers).await;
        }
        let connection = dial(dialing.clone(), listening.address);
        assert!(ask(&*connection).await.is_ok(), "after round {round}");
        // Taken out: what the test remembers of minutes of rounds is no growth of the listener.
        let served = listening.echo.peers.lock().unwrap().drain(..).count();
        assert_eq!(served, 1, "a call of the hostile peer was served in round {round}");
        if round == 0 {
            before = resident();
        }
        round += 1;
    }
    let grown = resident().saturating_sub(before);
    println!("rpc: {} hostile connections, grown by {} KiB", round * 200, grown / 1024);
    assert!(grown <= 5 << 20, "the listener grew by {grown} bytes");
}

#[tokio::test]
async fn garbage_does_no_harm() {
    withstands(quick(NetworkConfig::plain("global")), NetworkConfig::plain("global")).await;
    let ca = Ca::new();
    let config = |files| NetworkConfig::with_tls("global", files);
    withstands(quick(config(ca.server())), config(ca.client())).await;
    connections_of_one_address_are_bounded().await;
}

async fn connections_of_one_address_are_bounded() {
    let limits = Limits { connections_per_address: 3, ..Limits::default() };
    let listening = Listening::start(NetworkConfig { limits, ..NetworkConfig::plain("global") }).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(listening.address).await.unwrap();
        stream.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
        stream.read_u8().await.unwrap();
        idle.push(stream);
    }
    let connection = dial(NetworkConfig::plain("global"), listening.address);
    let error = ask(&*connection).await.unwrap_err();
    assert!(matches!(error, nomadd_rpc::RpcError::Busy), "{error:?}");
    drop(idle);
    while ask(&*connection).await.is_err() {
        tokio::task::yield_now().await;
    }
}
