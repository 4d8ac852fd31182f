//! From exec to a ready node, from kill -9 to serving, and a command as a process.

use std::time::{Duration, Instant};

use nomadd_tests::Agent;
use nomadd_tests::agent::{DURABLE, binary};

use super::load::register;
use super::rows::{Better, row};
use nomadd_tests::load::http::Connection;

/// How long anything may take before the measurement is given up.
const LIMIT: Duration = Duration::from_secs(60);
/// How often a start is looked at.
const STEP: Duration = Duration::from_millis(1);

/// `agent -dev` from exec to a ready node.
pub async fn ready() {
    let mut samples = Vec::new();
    for _ in 0..9 {
        let mut agent = Agent::prepare(&["-dev"], "");
        let started = Instant::now();
        agent.spawn();
        serving(agent.port, "/v1/nodes", |nodes| nodes[0]["Status"] == "ready").await;
        samples.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    row("agent -dev from exec to a ready node", "ms", Better::Lower, &samples, 100.0, "idle host, median");
}

/// kill -9 with 1,000 jobs, restart → serving.
pub async fn after_kill() {
    let mut agent = Agent::start(&[], DURABLE).await;
    agent.node_ready().await;
    register(agent.port, 16, 1000, "kept").await;
    let mut samples = Vec::new();
    for _ in 0..5 {
        agent.kill();
        let started = Instant::now();
        agent.spawn();
        serving(agent.port, "/v1/jobs", |jobs| jobs.as_array().is_some_and(|jobs| jobs.len() == 1000)).await;
        samples.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    row(
        "kill -9 with 1,000 jobs, restart to serving",
        "ms",
        Better::Lower,
        &samples,
        150.0,
        "jobs of count 0; GET /v1/jobs lists all",
    );
}

/// `nomadctl job status` as a process.
pub async fn command() {
    let agent = Agent::dev().await;
    register(agent.port, 4, 10, "shown").await;
    let mut samples = Vec::new();
    for _ in 0..40 {
        let started = Instant::now();
        let output = std::process::Command::new(binary("nomadctl"))
            .args(["job", "status"])
            .env("NOMAD_ADDR", agent.address())
            .output();
        samples.push(started.elapsed().as_secs_f64() * 1000.0);
        assert!(output.is_ok_and(|output| output.status.success()), "nomadctl job status succeeds");
    }
    row("nomadctl job status as a process", "ms", Better::Lower, &samples, 8.0, "10 jobs, median of 40");
}

/// Asks until the answer is accepted.
async fn serving(port: u16, path: &str, accepts: impl Fn(&serde_json::Value) -> bool) {
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        if let Ok(mut connection) = Connection::open(port).await {
            let bytes = nomadd_tests::load::http::request("GET", path, b"");
            while let Ok(reply) = connection.send(&bytes).await {
                if reply.status == 200 && accepts(&reply.json()) {
                    return;
                }
                tokio::time::sleep(STEP).await;
            }
        }
        tokio::time::sleep(STEP).await;
    }
    panic!("{path}: not served within {LIMIT:?}");
}
