//! Ten thousand who wait: on distinct jobs (what they cost, and what writes lose by them), and on one list (what one change costs).

use std::time::{Duration, Instant};

use nomadd_tests::Agent;
use nomadd_tests::agent::DURABLE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::load::register;
use super::rows::{Better, row};
use super::size::{cpu_nanoseconds, resident};
use nomadd_tests::load::http::Connection;

const WATCHERS: usize = 10_000;
const WRITES: usize = 10_000;
const LIMITS: &str = "limits {\n  http_max_conns_per_client = 0\n}\n";

/// Blocking queries on 10,000 distinct jobs: memory of each, and the rate of writes beside them.
pub async fn distinct() {
    let agent = Agent::start(&[], &format!("{DURABLE}{LIMITS}")).await;
    agent.node_ready().await;
    register(agent.port, 16, WATCHERS, "watched").await;
    // Once before, so that neither round is the first of its kind.
    register(agent.port, 16, WRITES, "warm").await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut ratios = Vec::new();
    let mut costs = Vec::new();
    for round in 0..3 {
        let alone = rate(agent.port, &format!("alone{round}")).await;
        let before = resident(agent.pid());
        let waiting = wait_for_all(agent.port, |number| format!("/v1/job/watched-{number}")).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        costs.push((resident(agent.pid()) - before).max(0.0) * 1e6 / WATCHERS as f64 / 1024.0);
        let beside = rate(agent.port, &format!("beside{round}")).await;
        ratios.push(100.0 * beside / alone);
        drop(waiting);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let load = "10,000 connections, each a blocking query on its own job; 10,000 durable registrations over 16 others";
    row("write rate beside 10,000 blocking queries", "% of without", Better::Higher, &ratios, 95.0, load);
    row("a blocking query: resident memory of the agent", "KiB", Better::Lower, &costs, 8.0, load);
}

/// 10,000 on one list of 100 jobs: from one write to the last answer, and the agent's CPU for it.
pub async fn one_list() {
    let agent = Agent::start(&[], &format!("{DURABLE}{LIMITS}")).await;
    agent.node_ready().await;
    register(agent.port, 8, 100, "listed").await;
    let (mut times, mut costs) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let waiting = wait_for_all(agent.port, |_| "/v1/jobs".to_owned()).await;
        let (cpu, started) = (cpu_nanoseconds(agent.pid()), Instant::now());
        register(agent.port, 1, 1, &format!("change{round}")).await;
        for mut socket in waiting {
            let mut first = [0; 16];
            socket.read_exact(&mut first).await.expect("an answer");
            assert_eq!(&first[..12], b"HTTP/1.1 200");
        }
        times.push(started.elapsed().as_secs_f64() * 1e3);
        costs.push((cpu_nanoseconds(agent.pid()) - cpu) as f64 / 1e3 / WATCHERS as f64);
    }
    let load = "10,000 connections wait for /v1/jobs with 100 jobs, one job is registered";
    row("10,000 watchers of one list: change to last answer", "ms", Better::Lower, &times, 2000.0, load);
    row("10,000 watchers of one list: CPU of the agent per answer", "µs", Better::Lower, &costs, 100.0, load);
}

async fn rate(port: u16, prefix: &str) -> f64 {
    let started = Instant::now();
    register(port, 16, WRITES, prefix).await;
    WRITES as f64 / started.elapsed().as_secs_f64()
}

/// Opens a connection for each and asks for what comes after now; returns when all are likely to wait.
async fn wait_for_all(port: u16, path: impl Fn(usize) -> String) -> Vec<TcpStream> {
    let index = Connection::open(port).await.expect("a connection").get("/v1/jobs").await.index;
    let mut sockets = Vec::with_capacity(WATCHERS);
    for number in 0..WATCHERS {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        let request = format!("GET {}?index={index}&wait=280s HTTP/1.1\r\nHost: localhost\r\n\r\n", path(number));
        socket.write_all(request.as_bytes()).await.expect("it is sent");
        sockets.push(socket);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    sockets
}
