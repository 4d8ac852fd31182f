//! The room on one thread and in virtual time: the same seed gives the same history, elections and all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nomadd_raft::{Config, Durability, Raft};
use nomadd_runtime::Runtime;

use crate::cluster::Cluster;
use crate::support::{has, upsert, wait_until};

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

/// Three servers, and a follower that missed entries and gets them while its disk takes none: it applies them nevertheless, since
/// the others have them.
async fn applied_and_not_written(seed: u64) -> (Cluster, usize) {
    let cluster = three(seed).await;
    let away = (cluster.settle().await + 1) % 3;
    cluster.write("before").await;
    cluster.everywhere("before").await;
    cluster.partition(&[away]);
    for number in 0..20 {
        cluster.write(&format!("n{number}")).await;
    }
    cluster.nodes[away].faults.fail_write.store(true, Ordering::SeqCst);
    cluster.links.heal();
    wait_until("the follower applies what its disk did not take", || has(cluster.nodes[away].raft(), "n19")).await;
    wait_until("its disk is found to have failed", || {
        let refused = cluster.nodes[away].raft().stats().role == nomadd_raft::Role::Stopped;
        refused && cluster.nodes[away].raft().stats().restarts == 0
    })
    .await;
    (cluster, away)
}

#[test]
fn a_follower_that_applied_more_than_its_failed_disk_took_goes_on_in_the_running_process() {
    for seed in 1..6 {
        virtual_time().block_on(async {
            let (mut cluster, away) = applied_and_not_written(seed).await;
            let (faults, folder) = (Arc::clone(&cluster.nodes[away].faults), Arc::clone(&cluster.nodes[away].folder));
            // The log can be opened again, but a snapshot cannot be written yet.
            let (snapshots, aside) = (folder.0.join("snapshots"), folder.0.join("aside"));
            std::fs::rename(&snapshots, &aside).unwrap();
            faults.fail_write.store(false, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_eq!(cluster.nodes[away].raft().stats().restarts, 0);
            let error = cluster.nodes[away].raft().propose(upsert("refused")).await.unwrap_err().to_string();
            assert!(error.contains("cannot be written as a snapshot"), "{error}");
            std::fs::rename(&aside, &snapshots).unwrap();
            cluster.write("after").await;
            cluster.everywhere("after").await;
            let stats = cluster.nodes[away].raft().stats();
            assert!(stats.restarts == 1 && stats.last_snapshot_index > 20, "{stats:?}");
            assert_eq!(cluster.nodes[away].raft().refused(), None);
            assert_eq!(folder.count("snapshots"), 1, "the log does not reach back to older ones");
            // All of it is on the disk, and the others can do without one that has it all.
            let other = (away + 1) % 3;
            cluster.kill(other);
            cluster.kill(away);
            cluster.revive(away).await;
            cluster.write("last").await;
            cluster.everywhere("last").await;
            assert!((0..20).all(|number| has(cluster.nodes[away].raft(), &format!("n{number}"))));
            assert_eq!(cluster.nodes[away].raft().refused(), None);
        });
    }
}

#[test]
fn a_process_that_ends_before_its_disk_is_well_starts_from_what_the_disk_has() {
    virtual_time().block_on(async {
        let (mut cluster, away) = applied_and_not_written(7).await;
        cluster.kill(away);
        cluster.nodes[away].faults.fail_write.store(false, Ordering::SeqCst);
        cluster.revive(away).await;
        // Nothing that it had synced is missing, so it is one of the servers as before.
        assert_eq!(cluster.nodes[away].raft().refused(), None);
        cluster.write("after").await;
        cluster.everywhere("after").await;
        assert!(has(cluster.nodes[away].raft(), "before"));
        assert!((0..20).all(|number| has(cluster.nodes[away].raft(), &format!("n{number}"))));
    });
}

#[test]
fn a_follower_whose_disk_lost_what_it_had_synced_stays_out_with_a_sentence() {
    virtual_time().block_on(async {
        let cluster = three(8).await;
        let follower = (cluster.settle().await + 1) % 3;
        cluster.write("first").await;
        cluster.everywhere("first").await;
        let log = cluster.nodes[follower].folder.newest("log");
        let earlier = std::fs::read(&log).unwrap();
        for number in 0..20 {
            cluster.write(&format!("n{number}")).await;
        }
        cluster.everywhere("n19").await;
        let faults = Arc::clone(&cluster.nodes[follower].faults);
        faults.fail_write.store(true, Ordering::SeqCst);
        cluster.write("missed").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        std::fs::write(&log, earlier).unwrap();
        faults.fail_write.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(30)).await;
        let raft = cluster.nodes[follower].raft();
        let error = raft.propose(upsert("refused")).await.unwrap_err().to_string();
        assert!(error.contains("was acknowledged") && error.contains("lost synced data"), "{error}");
        assert!(raft.stats().restarts == 0 && has(raft, "n19"), "reads go on");
        cluster.write("without it").await;
    });
}
