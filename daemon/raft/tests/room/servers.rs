//! Who the servers are: taken in, promoted, removed, moved; and who must not take part.

use nomadd_raft::{Bootstrap, MembershipError, OpenError, Raft, Server};

use crate::cluster::Cluster;
use crate::support::{has, upsert, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_grows_to_three_and_shrinks_to_one() {
    let mut cluster = Cluster::waiting(0, |config| {
        config.bootstrap = if config.server.name == "s0.global" { Bootstrap::Alone } else { Bootstrap::Wait };
    })
    .await;
    for name in ["s0", "s1", "s2"] {
        cluster.add(name).await;
    }
    cluster.write("alone").await;
    let list = cluster.list();
    let first = cluster.nodes[0].raft().clone();
    for (id, server) in &list[1..] {
        first.add_learner(*id, server.clone()).await.unwrap();
        first.add_learner(*id, server.clone()).await.unwrap();
    }
    cluster.everywhere("alone").await;
    assert!(first.configuration().members.iter().filter(|member| member.voter).count() == 1);
    wait_until("both are heard", || first.health().iter().all(|peer| peer.last_contact.is_some())).await;
    first.promote(&[list[1].0, list[2].0]).await.unwrap();
    assert!(first.configuration().members.iter().all(|member| member.voter));
    drop(first);
    cluster.kill(0);
    cluster.write("without the first").await;
    cluster.revive(0).await;
    cluster.everywhere("without the first").await;
    let leader = cluster.leader().await;
    let raft = cluster.nodes[leader].raft().clone();
    let others: Vec<_> = (0..3).filter(|at| *at != leader).collect();
    raft.demote(&[list[others[0]].0]).await.unwrap();
    assert_eq!(raft.configuration().members.iter().filter(|member| member.voter).count(), 2);
    for other in &others {
        raft.remove(list[*other].0).await.unwrap();
    }
    assert!(matches!(raft.remove(raft.id()).await, Err(MembershipError::LastVoter { .. })));
    cluster.write("alone again").await;
    for other in &others {
        let removed = cluster.nodes[*other].raft();
        let told = removed.refused().unwrap();
        assert!(told.contains("was removed from the cluster"), "{told}");
        assert!(!has(removed, "alone again"));
    }
    drop(raft);
    cluster.stop(leader).await;
    cluster.start(leader).await;
    assert!(cluster.nodes[leader].raft().leadership().borrow().leading, "the only voter leads at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_removed_while_it_was_away_learns_of_it_and_stops_voting() {
    let mut cluster = Cluster::of(3, |_| {}).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    let id = cluster.nodes[away].raft().id();
    cluster.kill(away);
    cluster.nodes[leader].raft().remove(id).await.unwrap();
    cluster.write("without it").await;
    cluster.revive(away).await;
    wait_until("it is told", || cluster.nodes[away].raft().refused().is_some()).await;
    let told = cluster.nodes[away].raft().refused().unwrap();
    assert!(told.contains("was removed from the cluster") && told.contains("clear its raft folder"), "{told}");
    assert!(!has(cluster.nodes[away].raft(), "without it"));
    // It is taken in again with the log that it has, and then takes part.
    let leader = cluster.leader().await;
    let server = cluster.nodes[away].server.clone();
    cluster.nodes[leader].raft().add_learner(id, server).await.unwrap();
    cluster.everywhere("without it").await;
    assert_eq!(cluster.nodes[away].raft().refused(), None);
    let heard =
        || cluster.nodes[leader].raft().health().iter().any(|peer| peer.id == id && peer.last_contact.is_some());
    wait_until("it is heard", heard).await;
    cluster.nodes[leader].raft().promote(&[id]).await.unwrap();
    cluster.write("with it again").await;
    cluster.everywhere("with it again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_disk_is_refused_until_it_is_removed() {
    let mut cluster = Cluster::of(3, |_| {}).await;
    cluster.write("before").await;
    cluster.everywhere("before").await;
    let leader = cluster.leader().await;
    let lost = (leader + 1) % 3;
    let old = cluster.nodes[lost].raft().id();
    wait_until("it is marked", || cluster.nodes[lost].folder.0.join("member").exists()).await;

    // The log is gone, the rest of the folder is there: the same id with an empty log.
    cluster.stop(lost).await;
    std::fs::remove_dir_all(cluster.nodes[lost].folder.0.join("log")).unwrap();
    cluster.start(lost).await;
    let told = cluster.nodes[lost].raft().refused().unwrap();
    assert!(told.contains("is empty") && told.contains("operator raft remove-peer"), "{told}");
    cluster.write("meanwhile").await;
    assert!(!has(cluster.nodes[lost].raft(), "meanwhile"), "it gets nothing");

    // All of it is gone: a new id under the old name.
    cluster.stop(lost).await;
    std::fs::remove_dir_all(&cluster.nodes[lost].folder.0).unwrap();
    cluster.start(lost).await;
    let (id, server) = (cluster.nodes[lost].raft().id(), cluster.nodes[lost].server.clone());
    assert_ne!(id, old);
    let leader = cluster.leader().await;
    let raft = cluster.nodes[leader].raft().clone();
    let error = raft.add_learner(id, server.clone()).await.unwrap_err();
    assert!(error.to_string().contains(&format!("operator raft remove-peer {old}")), "{error}");
    assert!(cluster.nodes[lost].raft().refused().unwrap().contains("its disk was lost"));
    raft.remove(old).await.unwrap();
    drop(raft);
    cluster.stop(lost).await;
    cluster.start(lost).await;
    let leader = cluster.leader().await;
    let raft = cluster.nodes[leader].raft().clone();
    raft.add_learner(id, server).await.unwrap();
    wait_until("it is heard", || raft.health().iter().any(|peer| peer.id == id && peer.last_contact.is_some())).await;
    raft.promote(&[id]).await.unwrap();
    cluster.write("after").await;
    cluster.everywhere("after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_an_older_copy_of_its_folder_is_found_out() {
    let mut cluster = Cluster::of(3, |_| {}).await;
    cluster.write("before").await;
    cluster.everywhere("before").await;
    let leader = cluster.leader().await;
    let reverted = (leader + 1) % 3;
    cluster.stop(reverted).await;
    let folder = cluster.nodes[reverted].folder.0.clone();
    let copy = folder.with_extension("copy");
    assert!(std::process::Command::new("cp").arg("-a").arg(&folder).arg(&copy).status().unwrap().success());
    cluster.start(reverted).await;
    for number in 0..20 {
        cluster.write(&format!("n{number}")).await;
    }
    cluster.everywhere("n19").await;
    let before = cluster.leader().await;
    cluster.kill(reverted);
    let deadline = std::time::Instant::now() + crate::support::DEADLINE;
    while std::fs::remove_dir_all(&folder).is_err() || folder.exists() {
        assert!(std::time::Instant::now() < deadline);
    }
    std::fs::rename(&copy, &folder).unwrap();
    cluster.revive(reverted).await;
    assert_eq!(cluster.leader().await, before, "the leader that knows what it acknowledged still leads");
    wait_until("it is found out", || cluster.nodes[reverted].raft().refused().is_some()).await;
    let told = cluster.nodes[reverted].raft().refused().unwrap();
    assert!(told.contains("lost entries that it had acknowledged"), "{told}");
    cluster.write("the others go on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_folder_is_refused_and_the_original_goes_on() {
    let mut cluster = Cluster::of(3, |_| {}).await;
    cluster.write("before").await;
    cluster.everywhere("before").await;
    let leader = cluster.leader().await;
    let original = (leader + 1) % 3;
    cluster.stop(original).await;
    let copied = cluster.nodes.len();
    cluster.add("copy").await;
    cluster.stop(copied).await;
    let (from, to) = (cluster.nodes[original].folder.0.clone(), cluster.nodes[copied].folder.0.clone());
    std::fs::remove_dir_all(&to).unwrap();
    assert!(std::process::Command::new("cp").arg("-a").arg(&from).arg(&to).status().unwrap().success());
    cluster.start(original).await;
    cluster.write("original is back").await;
    cluster.everywhere("original is back").await;
    cluster.start(copied).await;
    assert_eq!(cluster.nodes[copied].raft().id(), cluster.nodes[original].raft().id());
    let leader = cluster.leader().await;
    let (id, server) = (cluster.nodes[copied].raft().id(), cluster.nodes[copied].server.clone());
    let error = cluster.nodes[leader].raft().update_address(id, server).await.unwrap_err();
    assert!(matches!(error, MembershipError::Cloned { .. }), "{error}");
    wait_until("the copy is told", || cluster.nodes[copied].raft().refused().is_some()).await;
    let told = cluster.nodes[copied].raft().refused().unwrap();
    assert!(told.contains("was copied"), "{told}");
    assert!(cluster.nodes[original].raft().refused().is_none());
    cluster.write("after").await;
    wait_until("the original has it", || has(cluster.nodes[original].raft(), "after")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_moved_is_reached_at_its_new_address() {
    let mut cluster = Cluster::of(3, |_| {}).await;
    let leader = cluster.leader().await;
    let moved = (leader + 1) % 3;
    cluster.stop(moved).await;
    cluster.nodes[moved].server = Server { name: "s9.global".into(), address: "s9:4647".into() };
    cluster.start(moved).await;
    let leader = cluster.leader().await;
    let (id, server) = (cluster.nodes[moved].raft().id(), cluster.nodes[moved].server.clone());
    cluster.nodes[leader].raft().update_address(id, server).await.unwrap();
    cluster.write("there").await;
    cluster.everywhere("there").await;
    assert!(cluster.nodes[moved].raft().refused().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_quorum_is_recovered_with_peers_json_and_everything_acknowledged_is_there() {
    let mut cluster = Cluster::of(3, |_| {}).await;
    for number in 0..10 {
        cluster.write(&format!("n{number}")).await;
    }
    let leader = cluster.leader().await;
    let left = cluster.nodes[leader].raft().id();
    let address = cluster.nodes[leader].server.address.clone();
    for at in 0..3 {
        cluster.kill(at);
    }
    let path = cluster.nodes[leader].folder.0.join("peers.json");
    std::fs::write(&path, "[]").unwrap();
    let error = loop {
        match Raft::open(cluster.config(leader)).await {
            Err(OpenError::InUse { .. }) => {}
            other => break other.unwrap_err().to_string(),
        }
    };
    assert!(error.contains("peers.json") && error.contains("names no voter"), "{error}");
    std::fs::write(&path, format!(r#"[{{"id":"{left}","address":"{address}","non_voter":false}}]"#)).unwrap();
    cluster.revive(leader).await;
    assert!(!path.exists() && path.with_file_name("peers.applied.json").exists());
    let raft = cluster.nodes[leader].raft();
    assert!(raft.leadership().borrow().leading);
    assert_eq!(raft.configuration().members.len(), 1);
    assert!((0..10).all(|number| has(raft, &format!("n{number}"))));
    raft.propose(upsert("after")).await.unwrap();
    cluster.stop(leader).await;
    cluster.start(leader).await;
    assert!(has(cluster.nodes[leader].raft(), "after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_recover_together_with_the_longer_log() {
    let mut cluster = Cluster::of(3, |_| {}).await;
    cluster.write("all").await;
    cluster.everywhere("all").await;
    let leader = cluster.leader().await;
    let behind = (leader + 1) % 3;
    cluster.kill(behind);
    for number in 0..10 {
        cluster.write(&format!("n{number}")).await;
    }
    let list: Vec<String> = [leader, behind]
        .iter()
        .map(|at| {
            let node = &cluster.nodes[*at];
            let version = std::fs::read_to_string(node.folder.0.join("version.json")).unwrap();
            let version: serde_json::Value = serde_json::from_str(&version).unwrap();
            format!(r#"{{"id":{},"address":"{}"}}"#, version["server"], node.server.address)
        })
        .collect();
    cluster.kill(leader);
    cluster.kill((leader + 2) % 3);
    for at in [leader, behind] {
        std::fs::write(cluster.nodes[at].folder.0.join("peers.json"), format!("[{}]", list.join(","))).unwrap();
        cluster.revive(at).await;
    }
    cluster.write("after").await;
    cluster.everywhere("after").await;
    for at in [leader, behind] {
        let raft = cluster.nodes[at].raft();
        assert!((0..10).all(|number| has(raft, &format!("n{number}"))));
        assert_eq!(raft.configuration().members.len(), 2);
    }
}
