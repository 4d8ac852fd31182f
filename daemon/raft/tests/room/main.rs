//! The room from outside, on a real disk: what was acknowledged is there again, whatever happened in between.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod chaos;
mod cluster;
mod disk;
mod killer;
mod servers;
mod several;
mod simulated;
mod snapshots;
mod support;

use std::time::Duration;

use nomadd_raft::disk::Faults;
use nomadd_raft::{OpenError, ProposeError, Raft, Role, Size};
use nomadd_state::{Command, CommandSet, CommandSetRaise, Rehearsal, Table, WatchKey};
use support::{Folder, config, faulty, has, upsert};

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
    assert_eq!(configuration.members[0].server.address, "127.0.0.1:4647");
    raft.shutdown().await;
    assert!(matches!(raft.propose(Command::Noop).await, Err(ProposeError::Stopped)));

    let (raft, recovered) = Raft::open(config(&folder)).await.unwrap();
    assert!(recovered.index > first.index + 100 && recovered.replayed > 100, "{recovered:?}");
    assert_eq!(raft.id(), id);
    assert!((0..100).all(|n| has(&raft, &format!("many-{n}"))) && has(&raft, "first"));
    raft.shutdown().await;
}

#[tokio::test]
async fn a_folder_in_use_or_of_another_version_is_refused() {
    let folder = Folder::new();
    let (raft, _) = Raft::open(config(&folder)).await.unwrap();
    let error = Raft::open(config(&folder)).await.unwrap_err();
    assert!(matches!(&error, OpenError::InUse { pid, .. } if *pid == std::process::id().to_string()), "{error}");
    raft.shutdown().await;
    std::fs::write(folder.0.join("version.json"), r#"{"format":9}"#).unwrap();
    let error = Raft::open(config(&folder)).await.unwrap_err();
    assert!(matches!(error, OpenError::Version { found: 9, known: 1, .. }), "{error}");
}

#[tokio::test]
async fn dropping_the_last_handle_gives_the_folder_free() {
    let folder = Folder::new();
    let (raft, _) = Raft::open(config(&folder)).await.unwrap();
    raft.propose(upsert("kept")).await.unwrap();
    drop(raft);
    let mut opened = None;
    for _ in 0..500 {
        match Raft::open(config(&folder)).await {
            Ok((raft, _)) => {
                opened = Some(raft);
                break;
            }
            Err(OpenError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(has(&opened.unwrap(), "kept"));
}

#[tokio::test]
async fn a_change_wakes_its_watchers_and_only_after_it_can_be_read() {
    let folder = Folder::new();
    let (raft, _) = Raft::open(config(&folder)).await.unwrap();
    let watcher = raft.watch([WatchKey::Table(Table::Namespaces)]);
    let other = raft.watch([WatchKey::Table(Table::Nodes)]);
    let (proposed, ()) = tokio::join!(raft.propose(upsert("seen")), async {
        watcher.changed().await;
        assert!(has(&raft, "seen"));
    });
    proposed.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), other.changed()).await.is_err(), "nothing changed there");
    raft.shutdown().await;
}

#[tokio::test]
async fn a_command_that_is_too_large_is_refused_and_changes_nothing() {
    let folder = Folder::new();
    let mut config = config(&folder);
    config.limits.entry = 10_000;
    let (raft, _) = Raft::open(config).await.unwrap();
    let before = raft.applied_index();
    let error = raft.propose(upsert(&"x".repeat(20_000))).await.unwrap_err();
    assert!(matches!(error, ProposeError::TooLarge { most: Size(10_000), .. }), "{error}");
    assert_eq!(raft.applied_index(), before);
    raft.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_may_wait_is_refused_as_busy() {
    let folder = Folder::new();
    let (mut config, faults) = faulty(&folder);
    config.limits.waiting = 2048;
    config.limits.patience = Duration::from_millis(20);
    let (raft, _) = Raft::open(config).await.unwrap();
    let hold = |faults: std::sync::Arc<Faults>,
                (held, free): (tokio::sync::oneshot::Sender<()>, std::sync::mpsc::Receiver<()>)| {
        std::thread::spawn(move || {
            let _gate = faults.gate.write();
            held.send(()).unwrap();
            let _told = free.recv();
        })
    };
    let (held, is_held) = tokio::sync::oneshot::channel();
    let (free, wait) = std::sync::mpsc::channel();
    let holder = hold(faults, (held, wait));
    is_held.await.unwrap();
    let writes: Vec<_> = (0..2).map(|n| raft.propose(upsert(&format!("waits-{n}")))).collect();
    let refused = async {
        let mut refusals = 0;
        while refusals == 0 {
            refusals += u32::from(matches!(raft.propose(upsert("late")).await, Err(ProposeError::Busy)));
        }
        free.send(()).unwrap();
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(writes), refused);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    holder.join().unwrap();
    raft.shutdown().await;
}

#[tokio::test]
async fn what_only_the_next_release_can_apply_waits_for_it_and_stops_the_one_before() {
    let folder = Folder::new();
    let next = || nomadd_raft::Config { commands: CommandSet::NEXT, ..config(&folder) };
    let note = || Command::Rehearsal(Rehearsal { note: "n".into() });
    let raise = || Command::CommandSetRaise(CommandSetRaise { set: CommandSet::NEXT.number() });
    let (raft, _) = Raft::open(config(&folder)).await.unwrap();
    for command in [note(), raise(), Command::Batch(vec![Command::Noop, note()])] {
        let error = raft.propose(command).await.unwrap_err();
        assert!(matches!(error, ProposeError::NotYet { needed: CommandSet::NEXT, .. }), "{error}");
    }
    raft.shutdown().await;

    let (raft, _) = Raft::open(next()).await.unwrap();
    let error = raft.propose(note()).await.unwrap_err();
    assert!(matches!(error, ProposeError::NotYet { used: CommandSet::CURRENT, .. }), "not while others could be older");
    let mut before = Vec::new();
    raft.propose(raise()).await.unwrap();
    raft.propose(note()).await.unwrap();
    assert_eq!((raft.state().rehearsal().as_str(), raft.state().command_set()), ("n", CommandSet::NEXT));
    let file = folder.0.join("saved");
    raft.snapshot_save(std::fs::File::create(&file).unwrap()).await.unwrap();
    std::io::Read::read_to_end(&mut std::fs::File::open(&file).unwrap(), &mut before).unwrap();
    raft.shutdown().await;

    let text = Raft::open(config(&folder)).await.unwrap_err().to_string();
    assert!(text.contains("needs command set 2 of a newer release, and this one knows sets up to 1"), "{text}");
    let (raft, _) = Raft::open(next()).await.unwrap();
    assert_eq!(raft.state().rehearsal().as_str(), "n", "nothing was skipped or lost");
    raft.shutdown().await;

    let other = Folder::new();
    let (raft, _) = Raft::open(config(&other)).await.unwrap();
    let error = raft.snapshot_restore(std::io::Cursor::new(before)).await.unwrap_err();
    assert!(matches!(error, nomadd_raft::SnapshotError::Newer { .. }), "{error}");
    raft.shutdown().await;
}
