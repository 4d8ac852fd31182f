//! Several servers: what a majority acknowledged stays, whoever is killed, cut off or left behind.

use std::time::Duration;

use nomadd_raft::{ProposeError, Role};

use crate::cluster::Cluster;
use crate::support::{has, upsert, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_become_a_cluster_replicate_and_restart_with_everything() {
    let mut cluster = Cluster::waiting(3, |_| {}).await;
    assert!(cluster.nodes.iter().all(|node| node.raft().configuration().members.is_empty()));
    let list = cluster.list();
    // Every server may do it, and again does nothing.
    let all = cluster.nodes.iter().map(|node| node.raft().bootstrap(list.clone()));
    for one in futures_util::future::join_all(all).await {
        one.unwrap();
    }
    let leader = cluster.leader().await;
    cluster.nodes[leader].raft().bootstrap(list.clone()).await.unwrap();
    let other = cluster.nodes[leader].raft().bootstrap(list[..2].to_vec()).await;
    assert!(other.is_err(), "another list is refused");
    for number in 0..20 {
        cluster.write(&format!("n{number}")).await;
    }
    cluster.everywhere("n19").await;
    let follower = (leader + 1) % 3;
    let error = cluster.nodes[follower].raft().propose(upsert("refused")).await.unwrap_err();
    let ProposeError::NotLeader { leader: Some(told) } = &error else { panic!("{error}") };
    assert_eq!(told.id, cluster.nodes[leader].raft().id());
    assert!(cluster.nodes[follower].raft().read_barrier().await.is_err());
    let raft = cluster.nodes[leader].raft();
    assert_eq!(raft.read_barrier().await.unwrap(), raft.applied_index());
    wait_until("the leader has heard from all", || {
        let health = raft.health();
        let heard = |since: Duration| since.as_secs() < 2;
        health.len() == 3 && health.iter().all(|peer| peer.voter && peer.last_contact.is_some_and(heard))
    })
    .await;
    assert_eq!(cluster.nodes[follower].raft().stats().role, Role::Follower);
    for at in 0..3 {
        cluster.stop(at).await;
    }
    for at in 0..3 {
        cluster.start(at).await;
    }
    cluster.write("after").await;
    cluster.everywhere("after").await;
    assert!(cluster.nodes.iter().all(|node| (0..20).all(|number| has(node.raft(), &format!("n{number}")))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced_and_comes_back_as_a_follower() {
    let mut cluster = Cluster::of(3, |_| {}).await;
    let mut gaps = Vec::new();
    for round in 0..5 {
        cluster.write(&format!("before-{round}")).await;
        let leader = cluster.leader().await;
        cluster.kill(leader);
        gaps.push(cluster.write(&format!("after-{round}")).await);
        cluster.revive(leader).await;
        cluster.everywhere(&format!("after-{round}")).await;
    }
    eprintln!("from the kill of the leader to a write that is taken: {gaps:?}");
    let names = (0..5).flat_map(|round| [format!("before-{round}"), format!("after-{round}")]);
    assert!(names.into_iter().all(|name| cluster.nodes.iter().all(|node| has(node.raft(), &name))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_acknowledges_nothing_and_says_so() {
    let cluster = Cluster::of(3, |_| {}).await;
    cluster.write("before").await;
    let old = cluster.leader().await;
    cluster.partition(&[old]);
    let lost = cluster.nodes[old].raft().propose(upsert("lost"));
    let (lost, _) = tokio::join!(lost, async {
        let new = cluster.leader_but(Some(old)).await;
        cluster.nodes[new].raft().propose(upsert("kept")).await.unwrap();
        wait_until("the old leader no longer says that it leads", || {
            !cluster.nodes[old].raft().leadership().borrow().leading
        })
        .await;
        assert!(cluster.nodes[old].raft().read_barrier().await.is_err());
        assert!(cluster.nodes[old].raft().propose(upsert("refused")).await.is_err());
        cluster.links.heal();
    });
    assert!(lost.is_err(), "{lost:?}");
    cluster.everywhere("kept").await;
    cluster.write("after").await;
    cluster.everywhere("after").await;
    assert!(cluster.nodes.iter().all(|node| !has(node.raft(), "lost") && !has(node.raft(), "refused")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_servers_live_with_two_dead_and_wait_with_three() {
    let mut cluster = Cluster::of(5, |_| {}).await;
    cluster.write("five").await;
    for _ in 0..2 {
        let leader = cluster.leader().await;
        cluster.kill(leader);
    }
    cluster.write("three").await;
    // Two of the three have it when it is taken: the third may be one of those that are asked below.
    wait_until("all three have it", || {
        cluster.nodes.iter().filter_map(|node| node.raft.as_ref()).all(|raft| has(raft, "three"))
    })
    .await;
    let leader = cluster.leader().await;
    cluster.kill(leader);
    let left: Vec<usize> = (0..5).filter(|at| cluster.nodes[*at].raft.is_some()).collect();
    wait_until("nobody leads", || cluster.leading().is_empty()).await;
    for at in &left {
        assert!(cluster.nodes[*at].raft().propose(upsert("refused")).await.is_err());
        assert!(has(cluster.nodes[*at].raft(), "three"), "reads go on");
    }
    for at in 0..5 {
        if cluster.nodes[at].raft.is_none() {
            cluster.revive(at).await;
        }
    }
    cluster.write("again").await;
    cluster.everywhere("again").await;
    assert!(cluster.nodes.iter().all(|node| has(node.raft(), "five") && has(node.raft(), "three")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_far_behind_gets_a_snapshot_over_the_bulk_connection_while_the_others_serve() {
    let mut cluster = Cluster::of(3, |config| {
        config.limits.trailing_logs = 5;
        config.limits.segment = 8 << 10;
        config.limits.snapshot_threshold = u64::MAX;
    })
    .await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    cluster.kill(away);
    for number in 0..200 {
        cluster.write(&format!("{}-{number}", "x".repeat(500))).await;
    }
    // Snapshots are made until the log no longer reaches back to what the absent one has.
    // A leader cuts it only when an attempt to reach the absent one has just failed.
    let (mut number, begun) = (0, std::time::Instant::now());
    for at in [leader, (leader + 2) % 3] {
        while cluster.nodes[at].folder.count("log") > 4 {
            number += 1;
            assert!(begun.elapsed() < crate::support::DEADLINE, "the log is never cut");
            cluster.write(&format!("more-{number}")).await;
            cluster.nodes[at].raft().snapshot_now().await.unwrap();
        }
    }
    cluster.write("last").await;
    cluster.revive(away).await;
    cluster.everywhere("last").await;
    assert!(cluster.links.bulk.load(std::sync::atomic::Ordering::Relaxed) > 50_000);
    let raft = cluster.nodes[away].raft().clone();
    assert!(raft.stats().last_snapshot_index > 100, "{:?}", raft.stats());
    drop(raft);
    cluster.stop(away).await;
    cluster.start(away).await;
    cluster.write("after").await;
    cluster.everywhere("after").await;
    assert_eq!(cluster.nodes[away].folder.count("snapshots"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_in_order_hands_over_first() {
    let mut cluster = Cluster::of(3, |_| {}).await;
    let mut gaps = Vec::new();
    for round in 0..5 {
        cluster.write(&format!("before-{round}")).await;
        let leader = cluster.leader().await;
        let begun = std::time::Instant::now();
        cluster.stop(leader).await;
        cluster.write(&format!("after-{round}")).await;
        gaps.push(begun.elapsed());
        cluster.start(leader).await;
        cluster.everywhere(&format!("after-{round}")).await;
    }
    eprintln!("from a graceful stop of the leader to a write that is taken: {gaps:?}");
    let leader = cluster.leader().await;
    let to = cluster.nodes[(leader + 1) % 3].raft().id();
    cluster.nodes[leader].raft().transfer(Some(to)).await.unwrap();
    wait_until("the other leads", || cluster.nodes[(leader + 1) % 3].raft().leadership().borrow().leading).await;
    assert!(cluster.nodes[leader].raft().transfer(None).await.is_err(), "it does not lead any more");
    cluster.write("moved").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_restored_on_every_server() {
    let mut cluster = Cluster::of(3, |_| {}).await;
    cluster.write("kept").await;
    let leader = cluster.leader().await;
    let path = cluster.nodes[leader].folder.0.join("saved");
    let out = std::fs::File::create(&path).unwrap();
    cluster.nodes[leader].raft().snapshot_save(out).await.unwrap();
    cluster.write("gone").await;
    let follower = (leader + 1) % 3;
    let refused = cluster.nodes[follower].raft().snapshot_restore(std::fs::File::open(&path).unwrap()).await;
    assert!(refused.unwrap_err().to_string().contains("not the leader"));
    let mut events = cluster.nodes[follower].raft().events();
    cluster.nodes[leader].raft().snapshot_restore(std::fs::File::open(&path).unwrap()).await.unwrap();
    cluster.write("after").await;
    cluster.everywhere("after").await;
    while !events.try_recv().expect("who follows the events of a follower is told").replaced {}
    assert!(cluster.nodes.iter().all(|node| has(node.raft(), "kept") && !has(node.raft(), "gone")));
    for at in 0..3 {
        cluster.kill(at);
    }
    for at in 0..3 {
        cluster.revive(at).await;
    }
    cluster.write("again").await;
    cluster.everywhere("again").await;
    assert!(cluster.nodes.iter().all(|node| has(node.raft(), "kept") && !has(node.raft(), "gone")));
}
