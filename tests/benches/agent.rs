//! Measures a whole agent of the real binary, from outside: start, memory, latency, throughput. `cargo bench -p nomadd-tests`.
//!
//! Prints one JSON object per line: {name, unit, better, samples, value, goal, command, load}. Each measurement has its own agent;
//! `cargo bench -p nomadd-tests -- WORD` runs those whose function has WORD in its name.

#![expect(clippy::expect_used, reason = "a measurement that cannot go on ends")]

mod agent {
    pub mod cluster;
    pub mod load;
    pub mod rows;
    pub mod size;
    pub mod start;
    pub mod tasks;
    pub mod watch;
}

use std::pin::Pin;

type Measured = Pin<Box<dyn Future<Output = ()>>>;
/// A measurement's name, and what starts it.
type Measurement = (&'static str, fn() -> Measured);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let all: [Measurement; 15] = [
        ("start", || Box::pin(agent::start::ready())),
        ("idle", || Box::pin(agent::size::idle())),
        ("helpers", || Box::pin(agent::size::helpers())),
        ("latency", || Box::pin(agent::tasks::latency())),
        ("isolated", || Box::pin(agent::tasks::isolated())),
        ("batch", || Box::pin(agent::tasks::batch())),
        ("restart", || Box::pin(agent::start::after_kill())),
        ("read", || Box::pin(agent::load::reads())),
        ("register", || Box::pin(agent::load::registrations())),
        ("watch", || Box::pin(agent::watch::distinct())),
        ("list", || Box::pin(agent::watch::one_list())),
        ("failover", || Box::pin(agent::cluster::failover())),
        ("followed", || Box::pin(agent::cluster::followed())),
        ("client", || Box::pin(agent::cluster::client())),
        ("status", || Box::pin(agent::start::command())),
    ];
    let reactor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    for (name, measure) in all {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            reactor.block_on(measure());
        }
    }
}
