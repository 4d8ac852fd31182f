//! The room from outside, on a real disk: what was acknowledged is there again, whatever happened in between.


mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nomadd_raft::disk::{Faults, FaultyDisk, RealDisk};
use nomadd_raft::{OpenError, ProposeError, Raft, Role, Size};
use nomadd_state::{Command, Table, WatchKey};
use support::{Folder, config, has, upsert, wait_until};

#[tokio::test]
async fn what_is_acknowledged_is_there_after_a_restart() {
    let folder = Folder::new();
    let (raft, recovered) = Raft::open(config(&folder)).await.unwrap();
    assert_eq!((recovered.snapshot_index, recovered.torn), (None, 0));
    let id = raft.id();
    assert!(raft.leadership().borrow().leading);
    let first = raft.propose(upsert("first")).await.unwrap();
    assert!(has(&raft, "first"));
    let many = raft.propose_many((0..100).map(|n| upsert(&format!("many-{n}"))).collect()).await;
    let indexes: Vec<u64> = many.into_iter().map(|one| one.unwrap().index).collect();
    assert_eq!(indexes, (first.index + 1..=first.index + 100).collect::<Vec<_>>());
    assert_eq!(raft.read_barrier().await.unwrap(), first.index + 100);
    assert_eq!(raft.wait_for(first.index + 100).await.index(), first.index + 100);
    let stats = raft.stats();
    assert_eq!((stats.role, stats.num_peers, stats.fsm_pending), (Role::Leader, 0, 0));
    assert_eq!((stats.applied_index, stats.commit_index), (first.index + 100, first.index + 100));
    let configuration = raft.configuration();
    assert_eq!(configuration.members.len(), 1);
    assert!(configuration.members[0].voter && configuration.members[0].leader && configuration.members[0].id == id);
    raft.shutdown().await;
    assert!(matches!(raft.propose(Command::Noop).await, Err(ProposeError::Stopped)));

    let (raft, recovered) = Raft::open(config(&folder)).await.unwrap();
    assert!(recovered.index > first.index + 100 && recovered.replayed > 100, "{recovered:?}");
    assert_eq!(raft.id(), id);
    assert!((0..100).all(|n| has(&raft, &format!("many-{n}"))) && has(&raft, "first"));
    raft.shutdown().await;
}
