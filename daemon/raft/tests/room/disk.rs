//! The disk fails or is full: writes say so, reads go on, and writes do again once it answers.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command as Process;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nomadd_raft::{ProposeError, Raft, Size};

use crate::support::{Folder, config, config_at, faulty, has, upsert};

/// Proposes until it is taken; what else is answered meanwhile must be a clear refusal.
async fn until_taken(raft: &Raft, name: &str) {
    let deadline = Instant::now() + crate::support::DEADLINE;
    loop {
        match raft.propose(upsert(name)).await {
            Ok(_) => return,
            Err(ProposeError::Storage { .. } | ProposeError::DiskFull { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        assert!(Instant::now() < deadline, "writes did not come back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn after_a_failed_sync_the_file_is_not_trusted_and_nothing_acknowledged_is_lost() {
    let folder = Folder::new();
    let (config, faults) = faulty(&folder);
    let (raft, _) = Raft::open(config.clone()).await.unwrap();
    for round in 0..5 {
        raft.propose(upsert(&format!("before-{round}"))).await.unwrap();
        let inode = std::fs::metadata(folder.newest("log")).unwrap().ino();
        faults.fail_sync.store(true, Ordering::SeqCst);
        let error = raft.propose(upsert(&format!("during-{round}"))).await.unwrap_err();
        assert!(matches!(error, ProposeError::Storage { .. }), "{error}");
        let again = raft.propose(upsert("refused")).await.unwrap_err();
        assert!(again.to_string().contains("reads go on"), "{again}");
        assert!(has(&raft, &format!("before-{round}")), "reads go on");
        faults.fail_sync.store(false, Ordering::SeqCst);
        until_taken(&raft, &format!("after-{round}")).await;
        assert_ne!(std::fs::metadata(folder.newest("log")).unwrap().ino(), inode, "another file took its place");
        assert!(raft.leadership().borrow().leading);
    }
    assert!(raft.stats().restarts >= 5);
    raft.shutdown().await;
    let (raft, _) = Raft::open(config).await.unwrap();
    for round in 0..5 {
        assert!(has(&raft, &format!("before-{round}")) && has(&raft, &format!("after-{round}")));
    }
    raft.shutdown().await;
}

#[tokio::test]
async fn a_write_that_fails_is_answered_and_the_log_goes_on_when_it_can() {
    let folder = Folder::new();
    let (config, faults) = faulty(&folder);
    let (raft, _) = Raft::open(config.clone()).await.unwrap();
    raft.propose(upsert("before")).await.unwrap();
    faults.fail_write.store(true, Ordering::SeqCst);
    let error = raft.propose(upsert("during")).await.unwrap_err();
    assert!(matches!(error, ProposeError::Storage { .. }), "{error}");
    faults.fail_write.store(false, Ordering::SeqCst);
    until_taken(&raft, "after").await;
    assert!(has(&raft, "before") && !has(&raft, "during"));
    raft.shutdown().await;
}

#[tokio::test]
async fn too_little_room_refuses_writes_with_path_and_figures_until_there_is_more() {
    let folder = Folder::new();
    let (mut config, faults) = faulty(&folder);
    config.limits.free = 256 << 20;
    faults.free.store(u64::MAX - 1, Ordering::SeqCst);
    let (raft, _) = Raft::open(config).await.unwrap();
    raft.propose(upsert("before")).await.unwrap();
    faults.free.store(255 << 20, Ordering::SeqCst);
    let deadline = Instant::now() + crate::support::DEADLINE;
    let error = loop {
        // The last answer of the file system counts for 50 ms.
        match raft.propose(upsert("meanwhile")).await {
            Ok(_) => assert!(Instant::now() < deadline, "never refused"),
            Err(error) => break error,
        }
    };
    let text = error.to_string();
    assert!(
        matches!(error, ProposeError::DiskFull { free: Size(267_386_880), needed: Size(268_435_456), .. }),
        "{text}"
    );
    assert!(
        text.contains(&folder.0.display().to_string()) && text.contains("255.0 MiB free, 256.0 MiB needed"),
        "{text}"
    );
    assert!(has(&raft, "before"));
    faults.free.store(256 << 20, Ordering::SeqCst);
    raft.propose(upsert("after")).await.unwrap();
    assert!(raft.stats().restarts == 0, "nothing was started again");
    raft.shutdown().await;
}

/// A file system of a few MiB, for root only.
struct Tiny(Folder);

impl Tiny {
    fn mount() -> Option<Self> {
        let folder = Folder::new();
        std::fs::create_dir_all(&folder.0).unwrap();
        let mut mount = Process::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(&folder.0).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: cannot mount a small file system here");
            return None;
        }
        Some(Self(folder))
    }
    fn path(&self) -> &Path {
        &self.0.0
    }
}
impl Drop for Tiny {
    fn drop(&mut self) {
        let _gone = Process::new("umount").arg(self.path()).output();
    }
}

#[tokio::test]
async fn a_disk_that_is_really_full_loses_nothing_and_writes_again_when_it_is_not() {
    let Some(tiny) = Tiny::mount() else { return };
    let data = tiny.path().join("raft");
    let (raft, _) = Raft::open(config_at(&data)).await.unwrap();
    let filler = tiny.path().join("filler");
    let mut kept = Vec::new();
    for round in 0..3 {
        // Fill it to the last block, behind the gate's back (these tests have no reserve).
        let mut filled = Vec::new();
        for step in 0..13 * 256 {
            filled.resize((step + 1) * 4096, 7);
        }
        let _full = std::fs::write(&filler, &filled).unwrap_err();
        let mut number = 0;
        let error = loop {
            let name = format!("full-{round}-{number}");
            match raft.propose(upsert(&format!("{name}-{}", "x".repeat(10_000)))).await {
                Ok(_) => kept.push(format!("{name}-{}", "x".repeat(10_000))),
                Err(error) => break error,
            }
            number += 1;
            assert!(number < 10_000, "it never became full");
        };
        assert!(matches!(error, ProposeError::Storage { .. }), "{error}");
        assert!(kept.iter().all(|name| has(&raft, name)), "reads go on");
        std::fs::remove_file(&filler).unwrap();
        until_taken(&raft, &format!("after-{round}")).await;
        kept.push(format!("after-{round}"));
    }
    raft.shutdown().await;
    let (raft, _) = Raft::open(config_at(&data)).await.unwrap();
    assert!(kept.iter().all(|name| has(&raft, name)));
    raft.shutdown().await;
}

#[tokio::test]
async fn damage_in_the_middle_of_the_log_stops_the_server_with_a_sentence() {
    let folder = Folder::new();
    let (raft, _) = Raft::open(config(&folder)).await.unwrap();
    for number in 0..50 {
        raft.propose(upsert(&format!("entry-{number}"))).await.unwrap();
    }
    raft.shutdown().await;
    let file = folder.newest("log");
    let mut bytes = std::fs::read(&file).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[written / 2] ^= 4;
    std::fs::write(&file, &bytes).unwrap();
    let error = Raft::open(config(&folder)).await.unwrap_err().to_string();
    assert!(error.contains("the log is damaged in") && error.contains(&file.display().to_string()), "{error}");
    assert!(error.contains("at byte") && error.contains("backup"), "{error}");
    bytes[written / 2] ^= 4;
    std::fs::write(&file, &bytes).unwrap();
    let (raft, _) = Raft::open(config(&folder)).await.unwrap();
    assert!((0..50).all(|number| has(&raft, &format!("entry-{number}"))));
    raft.shutdown().await;
}
