//! How long things take, printed for people: `cargo test -p nomadd-client --test client -- --ignored measure --nocapture`.
//! Nothing is asserted; the figures depend on the machine.

use std::time::{Duration, Instant};

use crate::support::{Agent, Server, TempDir, allocation, script};
use nomadd_model::{ClientStatus, JobType};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures"]
async fn from_an_assignment_to_a_running_process_and_back() {
    let (server, dir) = (Server::new(), TempDir::new());
    let begun = Instant::now();
    let agent = Agent::start(&server, &dir).await;
    println!("start to registered: {:?}", begun.elapsed());
    let mut spans = Vec::new();
    for _ in 0..50 {
        let begun = Instant::now();
        let id = server.assign(allocation(JobType::Service, vec![script("t", "exec sleep 1000")]));
        server.wait_status(id, ClientStatus::Running).await;
        spans.push(begun.elapsed());
    }
    spans.sort();
    println!("assigned to told running: p50 {:?}, p90 {:?}, max {:?}", spans[25], spans[45], spans[49]);
    let begun = Instant::now();
    agent.crash().await;
    let ended = begun.elapsed();
    let begun = Instant::now();
    let agent = Agent::start(&server, &dir).await;
    println!("50 tasks left in {ended:?}, adopted after {:?}", begun.elapsed());
    for id in agent.client.allocations() {
        server.stop(id);
    }
    let mut changes = server.changes();
    let begun = Instant::now();
    while server.count(ClientStatus::Complete) < 50 {
        changes.changed().await.unwrap_or_default();
    }
    println!("50 tasks stopped in {:?}", begun.elapsed());
    let before = cpu();
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("idle: {:.2} % of a core", (cpu() - before).as_secs_f64() / 2.0 * 100.0);
    agent.crash().await;
}

/// The processor time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
