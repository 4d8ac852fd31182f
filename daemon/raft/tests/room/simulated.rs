//! The room on one thread and in virtual time: the same seed gives the same history, elections and all.

use std::sync::Arc;
use std::time::Duration;

use nomadd_raft::{Config, Durability, Raft};
use nomadd_runtime::Runtime;

use crate::cluster::Cluster;
use crate::support::{has, upsert};

/// One thread on which time passes only when nothing else is to be done.
fn virtual_time() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Three servers that are a cluster.
async fn three(seed: u64) -> Cluster {
    let mut cluster = Cluster::waiting(0, |_| {}).await;
    cluster.simulated = Some(seed);
    for name in ["s0", "s1", "s2"] {
        cluster.add(name).await;
    }
    cluster.nodes[0].raft().bootstrap(cluster.list()).await.unwrap();
    cluster
}

/// Runs three servers with a lossy network and gives what happened, in order.
fn history(seed: u64) -> Vec<String> {
    virtual_time().block_on(async {
        let begun = tokio::time::Instant::now();
        let mut happened = Vec::new();
        let cluster = three(seed).await;
        for round in 0..6 {
            let leader = cluster.settle().await;
            let raft = cluster.nodes[leader].raft();
            let committed = raft.propose(upsert(&format!("n{round}"))).await.unwrap();
            let term = raft.leadership().borrow().term;
            let at = begun.elapsed().as_millis();
            happened.push(format!("{at} ms: s{leader} leads term {term}, wrote index {}", committed.index));
            cluster.partition(&[leader]);
            tokio::time::sleep(Duration::from_secs(2)).await;
            cluster.links.heal();
        }
        let leader = cluster.settle().await;
        cluster.nodes[leader].raft().propose(upsert("last")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        for node in &cluster.nodes {
            assert!(has(node.raft(), "last") && (0..6).all(|round| has(node.raft(), &format!("n{round}"))));
            happened.push(format!("{} applied {}", node.server.name, node.raft().applied_index()));
        }
        happened
    })
}

#[test]
fn the_same_seed_gives_the_same_history_and_another_seed_another() {
    let first = history(1);
    assert_eq!(first, history(1));
    assert!(first.len() == 9 && (2..6).any(|seed| history(seed) != first), "{first:#?}");
}

#[test]
fn a_server_that_was_cut_off_disturbs_nobody_when_it_returns() {
    virtual_time().block_on(async {
        let cluster = three(1).await;
        let leader = cluster.settle().await;
        let term = cluster.nodes[leader].raft().leadership().borrow().term;
        cluster.partition(&[(leader + 1) % 3]);
        for number in 0..10 {
            cluster.write(&format!("n{number}")).await;
        }
        // Time for many elections.
        tokio::time::sleep(Duration::from_secs(20)).await;
        cluster.links.heal();
        cluster.everywhere("n9").await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        for node in &cluster.nodes {
            let now = node.raft().leadership().borrow().clone();
            assert_eq!((now.term, now.leader), (term, Some(cluster.nodes[leader].raft().id())), "no election happened");
        }
    });
}

#[test]
fn a_single_server_runs_inline_and_keeps_everything() {
    let folder = crate::support::Folder::new();
    virtual_time().block_on(async {
        let config = || {
            let server = nomadd_raft::Server { name: "one.global".into(), address: "one:4647".into() };
            let mut config = Config::new(folder.0.clone(), server, Durability::Sync, Runtime::simulated(3));
            config.limits.free = 0;
            config
        };
        let (raft, _) = Raft::open(config()).await.unwrap();
        for number in 0..50 {
            raft.propose(upsert(&format!("n{number}"))).await.unwrap();
        }
        raft.snapshot_now().await.unwrap();
        let saved = Arc::new(folder.0.join("saved"));
        raft.snapshot_save(std::fs::File::create(&*saved).unwrap()).await.unwrap();
        raft.snapshot_restore(std::fs::File::open(&*saved).unwrap()).await.unwrap();
        raft.propose(upsert("after")).await.unwrap();
        raft.shutdown().await;
        let (raft, _) = Raft::open(config()).await.unwrap();
        assert!(has(&raft, "after") && (0..50).all(|number| has(&raft, &format!("n{number}"))));
    });
}
