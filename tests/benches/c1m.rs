//! `make bench-c1m`: a million allocations on three servers of this machine, with simulated nodes. NODES, JOBS, COUNT and
//! LIMIT (seconds of each part) in the environment change its size. The last line is made for programs.

#![expect(clippy::expect_used, reason = "a measurement that cannot go on ends")]

use std::time::Duration;

use nomadd_tests::load::c1m::{Scale, run};

fn main() {
    let whole = Scale { nodes: 5000, jobs: 1000, count: 1000, limit: Duration::from_secs(300) };
    let scale = whole.from_environment();
    let reactor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    println!("c1m: {} nodes, {} jobs of {} allocations, three durable servers", scale.nodes, scale.jobs, scale.count);
    if scale.allocations() < whole.allocations() {
        println!("c1m: smaller than the whole, which is {} allocations", whole.allocations());
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("c1m: load of this machine at the start (1, 5, 15 minutes): {}", load.trim());
    let outcome = reactor.block_on(run(scale, |line| println!("{line}")));
    println!("{outcome}");
    if outcome.recounted.iter().any(|count| *count != outcome.allocations) || outcome.allocations != scale.allocations()
    {
        std::process::exit(1);
    }
}
