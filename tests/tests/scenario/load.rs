//! The load test of a whole cluster at a small scale: what it counts, never how long it takes.

use std::time::Duration;

use nomadd_tests::load::c1m::{Scale, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_allocation_runs_and_every_server_still_has_it_after_all_were_killed() {
    let scale = Scale { nodes: 100, jobs: 10, count: 100, limit: Duration::from_secs(120) };
    let outcome = run(scale, |line| println!("{line}")).await;
    assert_eq!(outcome.allocations, 1000, "{outcome}");
    assert!(outcome.placed_seconds > 0.0 && outcome.placed_seconds <= outcome.seconds, "{outcome}");
    assert_eq!(outcome.counted, [1000, 1000, 1000], "before the servers were killed");
    assert_eq!(outcome.recounted, [1000, 1000, 1000], "after the servers were killed");
    assert_eq!(outcome.restored, [1000, 1000, 1000], "after a snapshot was restored");
}
