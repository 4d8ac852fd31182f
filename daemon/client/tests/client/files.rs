//! Files, logs, usage, exec and garbage of allocations, and what tries to get out of them.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Agent, Server, TempDir, allocation, script, until};
use nomadd_client::fs::{Follow, FsError, Origin};
use nomadd_model::{AllocationId, ClientStatus, JobType};
use nomadd_supervisor::logs::Stream;
use tokio::io::AsyncReadExt as _;

async fn sleeping(name: &str, before: &str) -> (std::sync::Arc<Server>, TempDir, Agent, AllocationId) {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let id = server.assign(allocation(JobType::Service, vec![script(name, &format!("{before}; exec sleep 1000"))]));
    server.wait_status(id, ClientStatus::Running).await;
    (server, dir, agent, id)
}

async fn end(server: &Server, id: AllocationId, agent: Agent) {
    server.stop(id);
    server.wait_status(id, ClientStatus::Complete).await;
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_listed_described_and_read() {
    let (server, dir, agent, id) = sleeping("web", "echo 0123456789; echo '{}' > local/x.json").await;
    let path = dir.path().join(format!("alloc/{id}/web/local/x.json"));
    until("the file", || fs::read(&path).is_ok_and(|bytes| !bytes.is_empty())).await;
    // What a task prints passes the executor before it is in the log.
    let log = dir.path().join(format!("alloc/{id}/alloc/logs/web.stdout.0"));
    until("the log", || fs::read(&log).is_ok_and(|bytes| bytes.len() > 10)).await;
    let files = agent.client.files(id).unwrap();
    let names = |entries: Vec<nomadd_model::AllocFileInfo>| {
        entries.into_iter().map(|entry| format!("{} {}", entry.file_mode, entry.name)).collect::<Vec<_>>()
    };
    assert_eq!(names(files.list("/").await.unwrap()), ["drwxrwxrwx alloc", "drwxrwxrwx web"]);
    let inside = names(files.list("web").await.unwrap());
    assert_eq!(inside, ["drwxrwxrwx local", "drwxrwxrwx private", "drwxrwxrwx secrets", "dtrwxrwxrwx tmp"]);
    let stat = files.stat("web/local/x.json").await.unwrap();
    assert_eq!((stat.name.as_str(), stat.size, stat.content_type.as_str()), ("x.json", 3, "application/json"));
    let mut reader = files.read("/alloc/logs/web.stdout.0", 2, Some(4)).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), b"2345");
    assert!(reader.next().await.unwrap().is_none());
    let missing = files.stat("alloc/nope").await.unwrap_err().to_string();
    assert_eq!(
        missing,
        format!("stat {}: no such file or directory", dir.path().join(format!("alloc/{id}/alloc/nope")).display())
    );
    assert!(matches!(files.list("alloc/logs/web.stdout.0").await, Err(FsError::NotDirectory(_))));
    assert!(matches!(files.read("alloc", 0, None).await, Err(FsError::Directory(_))));
    assert!(matches!(agent.client.files(AllocationId::NONE), Err(FsError::UnknownAllocation(_))));
    end(&server, id, agent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_an_allocation() {
    let (server, dir, agent, id) = sleeping("web", "true").await;
    let root = dir.path().join(format!("alloc/{id}"));
    let local = root.join("web/local");
    symlink("/etc/passwd", local.join("passwd")).unwrap();
    symlink("/etc", local.join("etc")).unwrap();
    symlink("../../../../../../etc/passwd", local.join("up")).unwrap();
    symlink("../../alloc/data/inner", local.join("inner")).unwrap();
    symlink("/proc/self/root/etc/passwd", local.join("magic")).unwrap();
    symlink("loop", local.join("loop")).unwrap();
    symlink("../secrets/token", local.join("token")).unwrap();
    fs::write(root.join("alloc/data/inner"), "inside").unwrap();
    fs::write(root.join("web/secrets/token"), "secret").unwrap();
    assert!(std::process::Command::new("mkfifo").arg(local.join("fifo")).status().unwrap().success());
    let files = agent.client.files(id).unwrap();
    for path in [
        "../../../../etc/passwd",
        "web/../../../../etc/passwd",
        "web/local/passwd",
        "web/local/etc/passwd",
        "web/local/up",
        "web/local/magic",
        "web/local/loop",
    ] {
        let error = files.read(path, 0, None).await.unwrap_err();
        assert!(matches!(error, FsError::Escapes(_)), "{path}: {error}");
        let error = files.stat(path).await.unwrap_err();
        assert!(matches!(error, FsError::Escapes(_)), "{path}: {error}");
        assert!(files.stream(path, Origin::Start, 0, Follow::No).await.is_err(), "{path}");
    }
    assert!(matches!(files.list("web/local/etc").await, Err(FsError::Escapes(_))));
    let error = files.read("web/local/fifo", 0, None).await.unwrap_err();
    assert_eq!(error.to_string(), "file \"web/local/fifo\" is a FIFO; only regular files can be read");
    for path in ["web/secrets/token", "web/local/token", "web/local/../secrets/token"] {
        let error = files.read(path, 0, None).await.unwrap_err();
        assert_eq!(error.to_string(), format!("Reading secret file prohibited: {path}"));
    }
    let mut reader = files.read("web/local/inner", 0, None).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), b"inside");
    // A task that puts something else in the place of its logs shows nobody's files.
    fs::rename(root.join("alloc/logs"), root.join("alloc/old")).unwrap();
    symlink("/var/log", root.join("alloc/logs")).unwrap();
    assert!(files.logs("web", Stream::Stdout, Origin::Start, 0, Follow::No).await.is_err());
    end(&server, id, agent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_followed_over_rotated_files_to_the_end_of_the_task() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let go = dir.path().join("go");
    let lines = "i=0; while test $i -lt 30000; do echo \"$i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"; i=$((i+1)); done";
    let wait = format!("echo begin; until test -e {}; do sleep 0.01; done; {lines}", go.display());
    let mut task = script("t", &wait);
    task.log_config.max_files = 10;
    let id = server.assign(allocation(JobType::Batch, vec![task]));
    server.wait_status(id, ClientStatus::Running).await;
    let files = agent.client.files(id).unwrap();
    let mut logs = files.logs("t", Stream::Stdout, Origin::Start, 0, Follow::Yes).await.unwrap();
    let first = logs.next().await.unwrap().unwrap();
    assert_eq!((first.data.0.as_slice(), first.offset), (&b"begin\n"[..], 6));
    assert_eq!(first.file, "alloc/logs/t.stdout.0");
    fs::write(&go, "").unwrap();
    let (mut all, mut names) = (Vec::new(), std::collections::BTreeSet::new());
    while let Some(frame) = logs.next().await.unwrap() {
        all.extend(frame.data.0);
        names.insert(frame.file);
    }
    let text = String::from_utf8(all).unwrap();
    assert_eq!(text.lines().count(), 30_000);
    assert!(text.lines().enumerate().all(|(number, line)| line.starts_with(&format!("{number} "))));
    assert!(names.len() > 1, "{names:?}");
    let mut tail = files.logs("t", Stream::Stdout, Origin::End, 10, Follow::No).await.unwrap();
    assert_eq!(tail.next().await.unwrap().unwrap().data.0, b"xxxxxxxxx\n");
    assert!(tail.next().await.unwrap().is_none());
    let unknown = files.logs("nope", Stream::Stdout, Origin::Start, 0, Follow::No).await.unwrap_err();
    assert_eq!(unknown.to_string(), "unknown task name \"nope\"");
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_file_tells_of_growth_truncation_and_deletion() {
    let (server, dir, agent, id) = sleeping("web", "true").await;
    let path = dir.path().join(format!("alloc/{id}/alloc/data/f"));
    fs::write(&path, "0123456789").unwrap();
    let files = agent.client.files(id).unwrap();
    let mut stream = files.stream("alloc/data/f", Origin::End, 3, Follow::Yes).await.unwrap();
    let frame = stream.next().await.unwrap().unwrap();
    assert_eq!((frame.data.0.as_slice(), frame.offset), (&b"789"[..], 10));
    fs::write(&path, "ab").unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().file_event, "file truncated");
    assert_eq!(stream.next().await.unwrap().unwrap().data.0, b"ab");
    fs::remove_file(&path).unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().file_event, "file deleted");
    assert!(stream.next().await.unwrap().is_none());
    end(&server, id, agent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_beside_a_task_also_after_the_agent_was_killed() {
    let (server, dir, agent, id) = sleeping("web", "true").await;
    agent.crash().await;
    let agent = Agent::start(&server, &dir).await;
    let argv = ["sh", "-c", "echo $NOMAD_TASK_NAME; pwd; exit 3"].map(str::to_owned).to_vec();
    let mut session = agent.client.exec(id, "web", argv.clone(), None).await.unwrap();
    let mut out = String::new();
    session.stdout.read_to_string(&mut out).await.unwrap();
    assert_eq!(out, format!("web\n{}\n", dir.path().join(format!("alloc/{id}/web")).display()));
    assert_eq!(session.control.wait().await.exit_code, 3);
    let error = agent.client.exec(id, "nope", argv.clone(), None).await.unwrap_err();
    assert_eq!(error.to_string(), "task not found");
    let stats = agent.client.allocation_stats(id, None).await.unwrap();
    assert!(stats.tasks["web"].resource_usage.as_ref().unwrap().memory_stats.as_ref().unwrap().rss > 0);
    assert!(!stats.tasks["web"].pids.is_empty());
    let host = agent.client.stats().await;
    assert!(host.memory.unwrap().total > 0 && !host.cpu.is_empty() && host.alloc_dir_stats.unwrap().size > 0);
    server.stop(id);
    server.wait_status(id, ClientStatus::Complete).await;
    let error = agent.client.exec(id, "web", argv, None).await.unwrap_err();
    assert_eq!(error.to_string(), "task \"web\" is not running.");
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_and_signal_reach_the_tasks_and_say_what_is_wrong() {
    let (server, dir, agent, id) =
        sleeping("web", "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.02; done").await;
    let log = dir.path().join(format!("alloc/{id}/alloc/logs/web.stdout.0"));
    until("the trap", || fs::read_to_string(&log).is_ok_and(|text| text == "ready\n")).await;
    agent.client.signal(id, None, "SIGUSR1").await.unwrap();
    until("the signal", || fs::read_to_string(&log).is_ok_and(|text| text == "ready\nusr1\n")).await;
    let error = agent.client.signal(id, Some("web"), "SIGNOPE").await.unwrap_err().to_string();
    assert!(error.starts_with("1 error occurred:\n\t* Failed to signal task: web, err: "), "{error}");
    let error = agent.client.restart(id, Some("nope")).await.unwrap_err().to_string();
    assert_eq!(error, "Could not find task \"nope\" in the allocation");
    agent.client.restart(id, Some("web")).await.unwrap();
    let restarted = |update: &nomadd_rpc::AllocationUpdate| {
        update.task_states["web"].restarts == 1 && update.client_status == ClientStatus::Running
    };
    server.wait(id, "the restart", restarted).await;
    server.stop(id);
    server.wait_status(id, ClientStatus::Complete).await;
    let error = agent.client.restart(id, None).await.unwrap_err().to_string();
    assert_eq!(error, "restart of an alloc that should not run");
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn allocations_that_are_over_are_removed_when_there_are_too_many_or_somebody_asks() {
    let (server, dir) = (Server::new(), TempDir::new());
    let few = |config: &mut nomadd_client::ClientConfig| {
        config.gc.max_allocs = 1;
        config.gc.interval = nomadd_model::Duration::from_millis(100);
    };
    let agent = Agent::start_with(&server, &dir, few).await;
    let kept = server.assign(allocation(JobType::Service, vec![script("web", "exec sleep 1000")]));
    server.wait_status(kept, ClientStatus::Running).await;
    let over = server.assign(allocation(JobType::Batch, vec![script("t", "true")]));
    server.wait_status(over, ClientStatus::Complete).await;
    until("the files to go", || !dir.path().join(format!("alloc/{over}")).exists()).await;
    assert_eq!(agent.client.allocations(), [kept]);
    let error = agent.client.collect(kept).await.unwrap_err().to_string();
    assert!(error.contains("still running"), "{error}");
    agent.client.collect_garbage().await;
    assert_eq!(agent.client.allocations(), [kept]);
    end(&server, kept, agent).await;
}
