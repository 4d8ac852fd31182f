//! Snapshots: the log is dropped behind them, a damaged one stops the server, saved ones come back whole or not at all.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nomadd_raft::{Config, OpenError, Raft, SnapshotError, archive};
use nomadd_state::{Table, WatchKey};

use crate::support::{Folder, config, has, upsert, wait_until};

fn compacting(folder: &Folder) -> Config {
    let mut config = config(folder);
    config.limits.segment = 4096;
    config.limits.snapshot_threshold = 50;
    config.limits.snapshot_interval = Duration::from_millis(5);
    config.limits.trailing_logs = 10;
    config
}

async fn fill(raft: &Raft, from: u32, to: u32) {
    for number in from..to {
        raft.propose(upsert(&format!("name-{number}"))).await.unwrap();
    }
}

#[tokio::test]
async fn the_log_is_dropped_behind_snapshots_and_both_together_hold_everything() {
    let folder = Folder::new();
    let (raft, _) = Raft::open(compacting(&folder)).await.unwrap();
    fill(&raft, 0, 1000).await;
    wait_until("a snapshot of nearly everything", || raft.stats().last_snapshot_index + 50 > raft.applied_index())
        .await;
    fill(&raft, 1000, 1200).await;
    wait_until("two snapshots and a short log", || folder.count("snapshots") == 2 && folder.count("log") < 12).await;
    raft.shutdown().await;
    let (raft, recovered) = Raft::open(compacting(&folder)).await.unwrap();
    assert!(recovered.snapshot_index.is_some() && recovered.replayed < 400, "{recovered:?}");
    assert!((0..1200).all(|number| has(&raft, &format!("name-{number}"))));
    raft.propose(upsert("more")).await.unwrap();
    raft.shutdown().await;
}

#[tokio::test]
async fn growth_alone_makes_a_snapshot_without_waiting_for_the_interval() {
    let folder = Folder::new();
    let mut config = config(&folder);
    config.limits.snapshot_bytes = 20_000;
    let (raft, _) = Raft::open(config).await.unwrap();
    fill(&raft, 0, 500).await;
    wait_until("a snapshot", || raft.stats().last_snapshot_index > 0).await;
    raft.shutdown().await;
}

#[tokio::test]
async fn a_damaged_snapshot_stops_the_server_and_the_one_before_it_still_serves() {
    let folder = Folder::new();
    let (raft, _) = Raft::open(config(&folder)).await.unwrap();
    fill(&raft, 0, 30).await;
    let older = raft.snapshot_now().await.unwrap();
    fill(&raft, 30, 60).await;
    assert!(raft.snapshot_now().await.unwrap() > older);
    fill(&raft, 60, 70).await;
    raft.shutdown().await;
    std::fs::write(folder.0.join("snapshots/00000000000000009999-1.tmp"), b"a leftover of a crash").unwrap();
    let newest = {
        let mut files: Vec<_> =
            std::fs::read_dir(folder.0.join("snapshots")).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "snapshot"));
        files.into_iter().max().unwrap()
    };
    let sound = std::fs::read(&newest).unwrap();
    for place in [0, 7, 20, sound.len() / 2, sound.len() - 1] {
        let mut bent = sound.clone();
        bent[place] ^= 1;
        std::fs::write(&newest, &bent).unwrap();
        let error = Raft::open(config(&folder)).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OpenError::Snapshot { .. }), "{text}");
        assert!(
            text.contains(&newest.display().to_string()) && text.contains("remove it, and the server starts from"),
            "{text}"
        );
    }
    std::fs::write(&newest, &sound[..sound.len() - 5]).unwrap();
    assert!(matches!(Raft::open(config(&folder)).await, Err(OpenError::Snapshot { .. })), "a cut one");
    std::fs::remove_file(&newest).unwrap();
    let (raft, recovered) = Raft::open(config(&folder)).await.unwrap();
    assert_eq!(recovered.snapshot_index, Some(older));
    assert!((0..70).all(|number| has(&raft, &format!("name-{number}"))));
    assert_eq!(folder.count("snapshots"), 1, "the leftover is gone");
    raft.shutdown().await;
}

#[tokio::test]
async fn a_log_that_does_not_reach_back_to_the_snapshot_is_refused() {
    let folder = Folder::new();
    let (raft, _) = Raft::open(compacting(&folder)).await.unwrap();
    fill(&raft, 0, 500).await;
    wait_until("a short log", || folder.count("snapshots") == 2 && folder.count("log") < 12).await;
    raft.shutdown().await;
    std::fs::remove_dir_all(folder.0.join("snapshots")).unwrap();
    let error = Raft::open(compacting(&folder)).await.unwrap_err();
    assert!(matches!(error, OpenError::Gap { index: 0, .. }), "{error}");
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn reader(bytes: &[u8]) -> impl Read + Send + 'static {
    std::io::Cursor::new(bytes.to_vec())
}

#[tokio::test]
async fn a_saved_snapshot_comes_back_whole_and_the_cluster_goes_on_from_there() {
    let folder = Folder::new();
    let (raft, _) = Raft::open(config(&folder)).await.unwrap();
    fill(&raft, 0, 30).await;
    let saved = Buffer::default();
    let header = raft.snapshot_save(saved.clone()).await.unwrap();
    assert_eq!(header.index, raft.applied_index());
    let saved = saved.0.lock().unwrap().clone();
    let inspected = archive::inspect(&saved[..]).unwrap();
    assert_eq!((inspected.header, inspected.size), (header, saved.len() as u64));
    fill(&raft, 30, 40).await;

    let before = raft.applied_index();
    for bad in [&saved[..saved.len() - 1], &saved[1..], &[][..]] {
        assert!(raft.snapshot_restore(reader(bad)).await.is_err());
    }
    let mut bent = saved.clone();
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    assert!(matches!(raft.snapshot_restore(reader(&bent)).await, Err(SnapshotError::Damaged(_))));
    bent = saved.clone();
    bent[7] = 9;
    assert!(matches!(raft.snapshot_restore(reader(&bent)).await, Err(SnapshotError::Version { found: 9, .. })));
    assert!(raft.applied_index() == before && has(&raft, "name-39"), "nothing changed");

    let watcher = raft.watch([WatchKey::Table(Table::Namespaces)]);
    let mut events = raft.events();
    let index = raft.snapshot_restore(reader(&saved)).await.unwrap();
    watcher.changed().await;
    let told = events.recv().await.unwrap();
    assert!(told.replaced && told.index == index, "who follows the events is told in their order: {told:?}");
    assert!(index > before && raft.applied_index() >= index);
    assert!(has(&raft, "name-29") && !has(&raft, "name-30"));
    raft.propose(upsert("after")).await.unwrap();
    assert!(raft.leadership().borrow().leading);
    assert_eq!(raft.configuration().members.len(), 1);
    raft.shutdown().await;

    let (raft, recovered) = Raft::open(config(&folder)).await.unwrap();
    assert_eq!(recovered.snapshot_index, Some(index));
    assert!(has(&raft, "name-29") && !has(&raft, "name-30") && has(&raft, "after"));
    raft.shutdown().await;

    let elsewhere = Folder::new();
    let (raft, _) = Raft::open(config(&elsewhere)).await.unwrap();
    raft.snapshot_restore(reader(&saved)).await.unwrap();
    assert!(has(&raft, "name-29"));
    assert!(raft.configuration().members.iter().all(|member| member.id == raft.id()), "the servers are this cluster's");
    raft.shutdown().await;
}

#[tokio::test]
async fn a_snapshot_larger_than_allowed_is_refused_before_anything_changes() {
    let folder = Folder::new();
    let mut config = config(&folder);
    config.limits.restore = 100;
    let (raft, _) = Raft::open(config).await.unwrap();
    fill(&raft, 0, 30).await;
    let saved = Buffer::default();
    raft.snapshot_save(saved.clone()).await.unwrap();
    let saved = saved.0.lock().unwrap().clone();
    let error = raft.snapshot_restore(reader(&saved)).await.unwrap_err();
    assert!(matches!(error, SnapshotError::TooLarge(_)), "{error}");
    assert!(has(&raft, "name-29"));
    raft.shutdown().await;
}
