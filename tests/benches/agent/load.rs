//! Throughput: reads at 64 connections, and jobs registered durably at 16, by a small generator on the same two cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nomadd_tests::Agent;
use nomadd_tests::agent::DURABLE;
use serde_json::json;

use super::rows::{Better, row};
use nomadd_tests::load::http::{Connection, request};

const ROUNDS: usize = 3;
const CONNECTIONS: usize = 64;
const ROUND: Duration = Duration::from_secs(3);

/// GET /v1/jobs with 100 jobs, GET /v1/job/x.
pub async fn reads() {
    let agent = Agent::dev().await;
    register(agent.port, 8, 100, "read").await;
    // Kept from one round to the next: an agent lets one address have a hundred at a time.
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(agent.port).await.expect("a connection"));
    }
    for (name, path, goal) in
        [("GET /v1/jobs with 100 jobs", "/v1/jobs", 12_000.0), ("GET /v1/job/x", "/v1/job/read-7", 60_000.0)]
    {
        let mut samples = Vec::new();
        for _ in 0..ROUNDS {
            let (rate, kept) = read(connections, path).await;
            connections = kept;
            samples.push(rate);
        }
        let load = "64 kept connections, generator on the same cores";
        row(&format!("{name}, 64 connections"), "requests/s", Better::Higher, &samples, goal, load);
    }
}

async fn read(connections: Vec<Connection>, path: &str) -> (f64, Vec<Connection>) {
    let bytes: Arc<[u8]> = request("GET", path, b"").into();
    let started = Instant::now();
    let mut all = Vec::new();
    for mut connection in connections {
        let bytes = bytes.clone();
        all.push(tokio::spawn(async move {
            let mut done = 0_usize;
            while started.elapsed() < ROUND {
                let reply = connection.send(&bytes).await.expect("an answer");
                assert_eq!(reply.status, 200);
                done += 1;
            }
            (done, connection)
        }));
    }
    let (mut done, mut kept) = (0, Vec::new());
    for one in all {
        let (count, connection) = one.await.expect("no panic");
        done += count;
        kept.push(connection);
    }
    (done as f64 / started.elapsed().as_secs_f64(), kept)
}

/// Distinct jobs registered durably over 16 connections.
pub async fn registrations() {
    let agent = Agent::start(&[], DURABLE).await;
    agent.node_ready().await;
    let mut samples = Vec::new();
    for round in 0..ROUNDS {
        // Made before the clock runs: the generator has the same cores as the agent.
        let requests = registrations_of(10_000, &format!("durable{round}"));
        let started = Instant::now();
        send(agent.port, 16, requests).await;
        samples.push(10_000.0 / started.elapsed().as_secs_f64());
    }
    row(
        "distinct jobs registered durably over HTTP",
        "jobs/s",
        Better::Higher,
        &samples,
        10_000.0,
        "16 kept connections, count 0 each",
    );
}

/// Registers `count` jobs `PREFIX-N` of count 0 over some connections.
pub async fn register(port: u16, connections: usize, count: usize, prefix: &str) {
    send(port, connections, registrations_of(count, prefix)).await;
}

fn registrations_of(count: usize, prefix: &str) -> Vec<Vec<u8>> {
    let one = |number| {
        let name = format!("{prefix}-{number}");
        let job = json!({"Job": {"ID": name, "Name": name, "Type": "service", "Datacenters": ["*"], "TaskGroups": [{
            "Name": "g", "Count": 0, "Tasks": [{"Name": "t", "Driver": "raw_exec",
                "Config": {"command": "/bin/sleep", "args": ["1000"]}, "Resources": {"CPU": 10, "MemoryMB": 16}}]}]}});
        request("PUT", "/v1/jobs", job.to_string().as_bytes())
    };
    (0..count).map(one).collect()
}

/// Sends each request once, over some connections.
async fn send(port: u16, connections: usize, requests: Vec<Vec<u8>>) {
    let (next, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(requests));
    let mut all = Vec::new();
    for _ in 0..connections {
        let (next, requests) = (next.clone(), requests.clone());
        let mut connection = Connection::open(port).await.expect("a connection");
        all.push(tokio::spawn(async move {
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let reply = connection.send(request).await.expect("an answer");
                assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
            }
        }));
    }
    for one in all {
        one.await.expect("no panic");
    }
}
