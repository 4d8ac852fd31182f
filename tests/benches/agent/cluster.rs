//! Three servers: how long a cluster takes no writes when its leader dies or is stopped, how many it takes through a follower,
//! and what one client costs among 5,000 simulated ones.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nomadd_tests::cluster::More;
use nomadd_tests::load::http::{Connection, request};
use nomadd_tests::load::simulated::Simulated;
use nomadd_tests::{Agent, Cluster, until};
use serde_json::json;

use super::rows::{Better, percentile, row};
use super::size::{cpu_nanoseconds, resident};

const ROUNDS: usize = 20;
/// How long anything may take before the measurement is given up.
const LIMIT: Duration = Duration::from_secs(60);
const NODES: usize = 5000;

fn write(number: usize, size: usize) -> Vec<u8> {
    let name = format!("written-{number}");
    let job = json!({"Job": {"ID": name, "Name": name, "Type": "service", "Datacenters": ["*"],
        "Meta": {"filling": "x".repeat(size)}, "TaskGroups": [{"Name": "g", "Count": 0, "Tasks": [{
            "Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/sleep", "args": ["1000"]},
            "Resources": {"CPU": 10, "MemoryMB": 16}}]}]}});
    request("PUT", "/v1/jobs", job.to_string().as_bytes())
}

/// Writes through a server until one succeeds.
async fn written(server: &Agent, number: usize) {
    let (begun, bytes) = (Instant::now(), write(number, 0));
    while begun.elapsed() < LIMIT {
        if let Ok(mut connection) = Connection::open_at(&server.host, server.port).await {
            while let Ok(reply) = connection.send(&bytes).await {
                if reply.status == 200 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no write through a follower within {LIMIT:?}");
}

/// The leader is killed, or stopped in order → a write through a follower succeeds.
pub async fn failover() {
    let mut cluster = Cluster::form(3, 0).await;
    let mut number = 0;
    for (signal, name, middle, most) in [
        ("-KILL", "leader killed with -9 → a write through a follower", 700.0, 1500.0),
        ("-INT", "leader stopped in order → a write through a follower", 200.0, 200.0),
    ] {
        let mut samples = Vec::new();
        for _ in 0..ROUNDS {
            let leader = cluster.leader().await;
            let follower = (leader + 1) % 3;
            number += 1;
            written(&cluster.servers[follower], number).await;
            let pid = cluster.servers[leader].pid().to_string();
            let begun = Instant::now();
            assert!(Command::new("kill").args([signal, &pid]).status().is_ok_and(|ended| ended.success()));
            // A write that the old leader still takes is none that the cluster took without it.
            let gone = begun.elapsed();
            let mut last = gone;
            let mut longest = Duration::ZERO;
            while begun.elapsed() < Duration::from_secs(2) || longest.is_zero() {
                number += 1;
                written(&cluster.servers[follower], number).await;
                longest = longest.max(begun.elapsed() - last);
                last = begun.elapsed();
            }
            samples.push(longest.as_secs_f64() * 1000.0);
            cluster.servers[leader].kill();
            cluster.servers[leader].restart().await;
        }
        let load = "3 servers on this host; the longest time between two writes of a caller that writes all the time";
        row(&format!("{name}, p50"), "ms", Better::Lower, &samples, middle, load);
        row(&format!("{name}, max"), "ms", Better::Lower, &[percentile(&samples, 1.0)], most, load);
    }
}

/// Writes of 1 KiB through a follower, 1,024 in flight.
pub async fn followed() {
    const IN_FLIGHT: usize = 1024;
    const TOTAL: usize = 40_000;
    let folder = tempfile::tempdir().expect("a folder");
    for command in [["tls", "ca", "create"].as_slice(), &["tls", "cert", "create", "-server"]] {
        let made = nomadd_tests::ctl::ctl("http://127.0.0.1:1", command, folder.path()).await;
        assert_eq!(made.code, 0, "{}", made.err);
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ca, certificate, key) = ("nomad-agent-ca.pem", "global-server-nomad.pem", "global-server-nomad-key.pem");
    let of_servers = format!(
        "limits {{\n  http_max_conns_per_client = 0\n}}\ntls {{\n  rpc = true\n  verify_server_hostname = true\n  \
         ca_file = \"{}\"\n  cert_file = \"{}\"\n  key_file = \"{}\"\n}}\n",
        path(ca),
        path(certificate),
        path(key),
    );
    let cluster = Cluster::form_with(3, 0, &More { of_servers, ..More::default() }).await;
    let leader = cluster.leader().await;
    let follower = &cluster.servers[(leader + 1) % 3];
    let requests: Arc<Vec<Vec<u8>>> = Arc::new((0..TOTAL).map(|number| write(number, 600)).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut all = Vec::new();
    for _ in 0..IN_FLIGHT {
        let mut connection = Connection::open_at(&follower.host, follower.port).await.expect("a connection");
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        all.push(tokio::spawn(async move {
            let mut done = 0_usize;
            while begun.elapsed() < Duration::from_secs(15) {
                let Some(bytes) = requests.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let reply = connection.send(bytes).await.expect("an answer");
                assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
                done += 1;
            }
            done
        }));
    }
    let mut done = 0;
    for one in all {
        done += one.await.expect("no panic");
    }
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    let load = "jobs of 1 KiB over HTTP, 1,024 in flight, mutual TLS between the 3 servers, all on this host";
    row("1 KiB durable writes through a follower", "writes/s", Better::Higher, &[rate], 40_000.0, load);
}

/// A client joins a cluster of 5,000 nodes; what it costs there.
pub async fn client() {
    let mut cluster = Cluster::form(3, 0).await;
    let rpc: Vec<String> = cluster.servers.iter().map(Agent::rpc_address).collect();
    let nodes = Simulated::start(NODES, &rpc);
    assert!(nodes.reaches("subscribed", NODES as u64, Duration::from_secs(180)).await, "{}", nodes.counts());
    let mut client = nomadd_tests::cluster::client("c1", &cluster.servers);
    let begun = Instant::now();
    client.spawn();
    until("the client is ready", || async {
        let about = nomadd_tests::cluster::asked(&client, "/v1/agent/self").await?;
        let id = about["stats"]["client"]["node_id"].as_str().unwrap_or_default().to_owned();
        let node = nomadd_tests::cluster::asked(&cluster.servers[0], &format!("/v1/node/{id}?stale=true")).await?;
        if node["Status"] == "ready" { Ok(()) } else { Err(node["Status"].to_string()) }
    })
    .await;
    let load = format!("3 servers, {NODES} simulated nodes without gossip, all on this host");
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    row("a new client joins a cluster of 5,000 nodes → ready", "ms", Better::Lower, &[took], 1000.0, &load);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (before, started) = (cpu_nanoseconds(client.pid()), Instant::now());
    tokio::time::sleep(Duration::from_secs(20)).await;
    let used = (cpu_nanoseconds(client.pid()) - before) as f64 / started.elapsed().as_nanos() as f64;
    let load = format!("{load}; over 20 s");
    row("idle client among 5,000 nodes: CPU", "% of a core", Better::Lower, &[used * 100.0], 1.0, &load);
    let memory = resident(client.pid());
    row("idle client among 5,000 nodes: resident memory", "MB", Better::Lower, &[memory], 30.0, &load);
    cluster.clients.push(client);
}
