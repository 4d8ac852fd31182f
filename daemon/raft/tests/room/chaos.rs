//! Servers are killed, cut off and given failing disks while writers write; everything acknowledged is on every server after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nomadd_raft::Raft;

use crate::cluster::Cluster;
use crate::support::{described, wait_until};

/// At least so many failures; more while the writers have too little behind them to prove anything.
const ROUNDS: u64 = 12;
const MOST_ROUNDS: u64 = 60;
const WRITERS: u64 = 4;

/// What a writer's key holds: the greatest number it was written with.
fn value(raft: &Raft, key: &str) -> u64 {
    raft.state().namespace(key).and_then(|found| found.description.parse().ok()).unwrap_or(0)
}

/// Writes rising numbers through whoever leads until it is told to stop; the last that was acknowledged.
async fn write(rafts: Arc<std::sync::Mutex<Vec<Raft>>>, key: String, done: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        let leader = rafts.lock().unwrap().iter().find(|raft| raft.leadership().borrow().leading).cloned();
        let Some(raft) = leader else {
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        };
        // The handle goes with the future: a killed server is not held longer than that.
        let command = described(&key, &number.to_string());
        let proposed = async move { raft.propose(command).await };
        match tokio::time::timeout(Duration::from_secs(1), proposed).await {
            Ok(Ok(_)) => done.store(number, Ordering::SeqCst),
            // Whether it was kept is not known: only the acknowledged are counted.
            Ok(Err(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_on_every_server_whatever_failed_meanwhile() {
    let mut cluster = Cluster::of(3, |config| {
        config.limits.segment = 16 << 10;
        config.limits.snapshot_threshold = 100;
        config.limits.snapshot_interval = Duration::from_millis(20);
        config.limits.trailing_logs = 20;
    })
    .await;
    let rafts = Arc::new(std::sync::Mutex::new(Vec::new()));
    let running = |cluster: &Cluster| cluster.nodes.iter().filter_map(|node| node.raft.clone()).collect::<Vec<_>>();
    *rafts.lock().unwrap() = running(&cluster);
    let stop = Arc::new(AtomicBool::new(false));
    let done: Vec<Arc<AtomicU64>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let all_wrote = || done.iter().all(|done| done.load(Ordering::SeqCst) > 20);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let done = Arc::clone(&done[writer as usize]);
            tokio::spawn(write(Arc::clone(&rafts), format!("writer-{writer}"), done, Arc::clone(&stop)))
        })
        .collect();
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = |most: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % most
    };
    let mut rounds = 0;
    while rounds < ROUNDS || rounds < MOST_ROUNDS && !all_wrote() {
        rounds += 1;
        let victim = if next(2) == 0 { cluster.leading().first().copied().unwrap_or(0) } else { next(3) as usize };
        let span = Duration::from_millis(next(700));
        match next(4) {
            0 => {
                rafts.lock().unwrap().clear();
                cluster.kill(victim);
                *rafts.lock().unwrap() = running(&cluster);
                tokio::time::sleep(span).await;
                cluster.revive(victim).await;
                *rafts.lock().unwrap() = running(&cluster);
            }
            1 => {
                cluster.partition(&[victim]);
                tokio::time::sleep(span).await;
                cluster.links.heal();
            }
            2 => {
                // Only what it sends is lost.
                let (from, to) = (&cluster.nodes[victim].server, &cluster.nodes[(victim + 1) % 3].server);
                cluster.links.cut_one_way(&from.address, &to.address);
                tokio::time::sleep(span).await;
                cluster.links.heal();
            }
            _ => {
                let faults = Arc::clone(&cluster.nodes[victim].faults);
                faults.fail_sync.store(true, Ordering::SeqCst);
                tokio::time::sleep(span).await;
                faults.fail_sync.store(false, Ordering::SeqCst);
            }
        }
        tokio::time::sleep(Duration::from_millis(next(300))).await;
    }
    cluster.write("the end").await;
    stop.store(true, Ordering::SeqCst);
    futures_util::future::join_all(writers).await.into_iter().for_each(Result::unwrap);
    let acknowledged: Vec<u64> = done.iter().map(|done| done.load(Ordering::SeqCst)).collect();
    cluster.write("after the end").await;
    cluster.everywhere("after the end").await;
    for (writer, number) in acknowledged.iter().enumerate() {
        let key = format!("writer-{writer}");
        let found: Vec<u64> = cluster.nodes.iter().map(|node| value(node.raft(), &key)).collect();
        assert!(found.iter().all(|one| one == &found[0]), "{key} differs: {found:?}");
        assert!(found[0] >= *number, "{key} is {found:?}, {number} was acknowledged");
    }
    assert!(cluster.nodes.iter().all(|node| node.raft().refused().is_none()));
    wait_until("all are heard", || {
        let leader = cluster.leading().first().copied();
        leader.is_some_and(|leader| cluster.nodes[leader].raft().health().iter().all(|peer| peer.lag < 10))
    })
    .await;
    eprintln!("{rounds} failures: the last acknowledged writes are {acknowledged:?}, none lost");
    assert!(all_wrote(), "too little was written to prove anything: {acknowledged:?}");
}

/// 1 KiB, three servers on one disk, so many in flight. Run it with `--release -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, which says nothing in a debug build"]
async fn durable_writes_with_three_servers() {
    let cluster = Cluster::of(3, |_| {}).await;
    let leader = cluster.leader().await;
    let raft = cluster.nodes[leader].raft().clone();
    let term = raft.leadership().borrow().term;
    let text = "x".repeat(1024);
    for in_flight in [1_u64, 64, 1024] {
        let begun = std::time::Instant::now();
        let writers = (0..in_flight).map(|writer| {
            let (raft, text) = (raft.clone(), text.clone());
            tokio::spawn(async move {
                let mut written = 0_u64;
                while begun.elapsed() < Duration::from_secs(4) {
                    raft.propose(described(&format!("w{writer}"), &text)).await.unwrap();
                    written += 1;
                }
                written
            })
        });
        let written: u64 = futures_util::future::join_all(writers).await.into_iter().map(Result::unwrap).sum();
        eprintln!("{in_flight} in flight: {:.0} writes/s", written as f64 / begun.elapsed().as_secs_f64());
    }
    assert_eq!(raft.leadership().borrow().term, term, "no election under load");
}
