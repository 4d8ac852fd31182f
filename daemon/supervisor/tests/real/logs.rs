//! The task's output in its rotated files.

use std::fs;

use nomadd_supervisor::Supervisor;
use nomadd_supervisor::logs::{Stream, list};

use crate::support::{Host, ended};

#[tokio::test]
async fn both_streams_go_to_their_own_files() {
    let host = Host::new();
    ended(&host.start("web", "echo out; echo err >&2; printf unfinished").await).await;
    assert_eq!(host.stdout("web"), "out\nunfinished");
    assert_eq!(host.log("web", Stream::Stderr), "err\n");
}

#[tokio::test]
async fn no_byte_is_lost_over_many_lines_and_files() {
    let host = Host::new();
    let mut spec = host.spec("web", "seq 1 200000");
    spec.log.max_files = 1000;
    spec.log.max_file_size_bytes = 10_000;
    ended(&host.direct.start(spec).await.unwrap()).await;
    let files = list(&host.folder.join("logs"), "web", Stream::Stdout).unwrap();
    assert!(files.len() > 100);
    assert!(files.iter().all(|file| file.size <= 10_000));
    assert!(files.iter().all(|file| fs::read(&file.path).unwrap().ends_with(b"\n")), "lines stay whole");
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(host.stdout("web") == expected);
}

#[tokio::test]
async fn only_the_newest_files_are_kept() {
    let host = Host::new();
    let mut spec = host.spec("web", "seq 1 10000");
    spec.log.max_files = 3;
    spec.log.max_file_size_bytes = 1000;
    ended(&host.direct.start(spec).await.unwrap()).await;
    let files = list(&host.folder.join("logs"), "web", Stream::Stdout).unwrap();
    assert_eq!(files.len(), 3);
    assert!(host.stdout("web").ends_with("9999\n10000\n"));
}

#[tokio::test]
async fn a_restart_appends_to_the_newest_file() {
    let host = Host::new();
    for run in ["one", "two"] {
        ended(&host.start("web", &format!("echo {run}")).await).await;
    }
    assert_eq!(list(&host.folder.join("logs"), "web", Stream::Stdout).unwrap().len(), 1);
    assert_eq!(host.stdout("web"), "one\ntwo\n");
}

#[tokio::test]
async fn disabled_logs_leave_no_file() {
    let host = Host::new();
    let mut spec = host.spec("web", "seq 1 100000");
    spec.log.disabled = true;
    assert!(ended(&host.direct.start(spec).await.unwrap()).await.is_success());
    assert!(fs::read_dir(host.folder.join("logs")).unwrap().next().is_none());
}

#[tokio::test]
async fn a_task_whose_log_directory_vanishes_goes_on_and_the_loss_is_counted() {
    let host = Host::new();
    let script = format!("rm -r {0}/logs; seq 1 100000; exit 3", host.folder.display());
    let mut spec = host.spec("web", &script);
    spec.log.max_file_size_bytes = 1000;
    let status = ended(&host.direct.start(spec).await.unwrap()).await;
    assert_eq!(status.exit_code, 3);
    assert!(status.log_bytes_lost > 500_000, "{status:?}");
}
