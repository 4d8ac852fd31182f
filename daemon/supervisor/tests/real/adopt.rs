//! Daemons that die and come back, executors that die.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nomadd_executor::process::kill;
use nomadd_supervisor::{Adopted, LossReason, Supervisor};

use crate::start::join_all;
use crate::stop::executor_of;
use crate::support::{Host, alive, ended, until, within};

/// Not a test: the daemon of those below, in a process of its own that they kill.
#[test]
fn helper_daemon() {
    let Some(folder) = std::env::var_os("NOMADD_TEST_FOLDER") else { return };
    let (parent, script) = (std::env::var("NOMADD_TEST_PARENT").unwrap(), std::env::var("NOMADD_TEST_SCRIPT").unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let host = Host::at(PathBuf::from(folder), &parent);
        let handle = host.start("web", &script).await;
        println!("\nstarted {}", handle.pid().unwrap());
        std::future::pending::<()>().await;
    });
}

/// Not a test: a daemon that starts twenty tasks at once.
#[test]
fn helper_busy_daemon() {
    let Some(folder) = std::env::var_os("NOMADD_TEST_FOLDER") else { return };
    let parent = std::env::var("NOMADD_TEST_PARENT").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let host = Host::at(PathBuf::from(folder), &parent);
        let names: Vec<_> = (0..20).map(|number| format!("t{number}")).collect();
        join_all(names.iter().map(|name| host.start(name, "sleep 1000"))).await;
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn a_daemon_killed_at_any_instant_of_its_starts_leaves_nothing_unaccounted() {
    let host = Host::new();
    for round in 0..20 {
        let mut child = helper("adopt::helper_busy_daemon", &host, "").stdout(Stdio::null()).spawn().unwrap();
        let count = || std::fs::read_dir(host.folder.join("state")).map_or(0, Iterator::count);
        until("some have begun", || count() > round).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let mut running = 0;
        for number in 0..20 {
            let task = format!("t{number}");
            match within(host.direct.adopt(&Host::id(&task), &host.state(&task))).await.unwrap() {
                Adopted::Running(handle) => {
                    running += 1;
                    within(handle.destroy()).await;
                }
                Adopted::Lost(reason) => assert_eq!(reason, LossReason::NeverStarted),
                Adopted::Exited(status) => panic!("it cannot end by itself: {status:?}"),
            }
        }
        eprintln!("round {round}: {running} were running");
        until("no state is left", || count() == 0).await;
        for number in 0..20 {
            let task = format!("t{number}");
            until("no cgroup is left", || host.cgroups(&task).is_empty()).await;
        }
    }
}

fn helper(test: &str, host: &Host, script: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env("NOMADD_EXECUTOR", crate::support::executor())
        .env("NOMADD_TEST_FOLDER", &host.folder)
        .env("NOMADD_TEST_PARENT", &host.parent)
        .env("NOMADD_TEST_SCRIPT", script);
    command
}

fn daemon(host: &Host, script: &str) -> (Child, i32) {
    let mut child = helper("adopt::helper_daemon", host, script).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let pid = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("started ")?.parse().ok());
    (child, pid.unwrap())
}

async fn adopt(host: &Host) -> Adopted {
    within(host.direct.adopt(&Host::id("web"), &host.state("web"))).await.unwrap()
}

#[tokio::test]
async fn a_task_outlives_kill_9_of_its_daemon_and_loses_no_byte() {
    let host = Host::new();
    let (mut child, pid) = daemon(&host, "trap 'exit 9' USR1; i=0; while :; do i=$((i+1)); echo $i; done");
    child.kill().unwrap();
    child.wait().unwrap();
    until("some output comes without a daemon", || host.stdout("web").len() > 10_000).await;
    let Adopted::Running(handle) = adopt(&host).await else { panic!("it runs") };
    assert_eq!(handle.pid(), Some(pid));
    assert!(handle.stats().await.unwrap().pids.contains(&pid));
    handle.signal(libc::SIGUSR1).await.unwrap();
    assert_eq!(ended(&handle).await.exit_code, 9);
    let log = host.stdout("web");
    let expected: String = (1..=log.lines().count()).map(|number| format!("{number}\n")).collect();
    assert!(log == expected);
    within(handle.destroy()).await;
    assert!(!host.state("web").exists());
}

#[tokio::test]
async fn the_end_of_a_task_that_nobody_saw_is_known() {
    let host = Host::new();
    let gate = host.folder.join("gate");
    let (mut child, _) = daemon(&host, &format!("while [ ! -e {} ]; do sleep 0.01; done; exit 42", gate.display()));
    child.kill().unwrap();
    child.wait().unwrap();
    let executor = executor_of(&host, "web");
    std::fs::write(gate, "").unwrap();
    until("the executor has ended", || !alive(executor)).await;
    let Adopted::Exited(status) = adopt(&host).await else { panic!("it ended") };
    assert_eq!(status.exit_code, 42);
    assert!(status.finished_at.0 > 0);
    assert!(host.cgroups("web").is_empty());
}

#[tokio::test]
async fn a_stop_keeps_its_deadline_without_the_daemon() {
    let host = Host::new();
    let handle = host.start("web", "trap '' INT; echo ready; while :; do sleep 0.01; done").await;
    until("the trap is set", || host.stdout("web") == "ready\n").await;
    handle.stop(2, Duration::from_millis(300)).await.unwrap();
    drop(handle);
    until("it is killed", || host.state("web").join(nomadd_executor::EXIT_FILE).exists()).await;
    let Adopted::Exited(status) = adopt(&host).await else { panic!("it ended") };
    assert_eq!(status.signal, 9);
}

#[tokio::test]
async fn a_dropped_handle_does_nothing_and_two_daemons_may_look_at_one_task() {
    let host = Host::new();
    let first = host.start("web", "sleep 1000").await;
    let pid = first.pid();
    let second = host.again();
    let Adopted::Running(handle) = adopt(&second).await else { panic!("it runs") };
    drop(handle);
    let Adopted::Running(handle) = adopt(&second).await else { panic!("it runs") };
    assert_eq!(handle.pid(), pid);
    handle.kill().await.unwrap();
    assert_eq!(ended(&handle).await, ended(&first).await);
}

#[tokio::test]
async fn an_executor_that_dies_takes_its_task_along_and_the_end_says_so() {
    let host = Host::new();
    if host.skip_without_cgroups() {
        return;
    }
    let handle = host.start("web", "setsid sleep 1000 & sleep 1000").await;
    until("both run", || host.members("web").len() == 3).await;
    let members = host.members("web");
    kill(executor_of(&host, "web"), libc::SIGKILL).unwrap();
    let status = ended(&handle).await;
    assert_eq!(status.error.as_deref(), Some("the task's executor died, so the task was killed"));
    assert_eq!(status.signal, 9);
    until("nothing of it runs", || members.iter().all(|pid| !alive(*pid))).await;
    assert!(host.cgroups("web").is_empty());
}

#[tokio::test]
async fn an_executor_that_died_while_no_daemon_looked_is_found_out() {
    let host = Host::new();
    if host.skip_without_cgroups() {
        return;
    }
    let (mut child, pid) = daemon(&host, "setsid sleep 1000 & sleep 1000");
    until("both run", || host.members("web").len() == 3).await;
    let members = host.members("web");
    child.kill().unwrap();
    child.wait().unwrap();
    kill(executor_of(&host, "web"), libc::SIGKILL).unwrap();
    // Without any daemon the main process goes with its executor; the rest when a daemon comes.
    until("the main process is gone", || !alive(pid)).await;
    assert!(matches!(adopt(&host).await, Adopted::Lost(LossReason::ExecutorDied)));
    until("nothing of it runs", || members.iter().all(|pid| !alive(*pid))).await;
    assert!(host.cgroups("web").is_empty());
}

#[tokio::test]
async fn a_task_that_never_started_or_is_of_another_boot_is_lost_with_that_reason() {
    let host = Host::new();
    assert!(matches!(adopt(&host).await, Adopted::Lost(LossReason::NeverStarted)));
    let handle = host.start("web", "sleep 1000").await;
    let state = std::fs::read_to_string(host.state("web").join(nomadd_executor::STATE_FILE)).unwrap();
    within(handle.destroy()).await;
    std::fs::create_dir_all(host.state("web")).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let earlier = state.replace(boot.trim(), "11111111-2222-3333-4444-555555555555");
    std::fs::write(host.state("web").join(nomadd_executor::STATE_FILE), earlier).unwrap();
    assert!(matches!(adopt(&host).await, Adopted::Lost(LossReason::Rebooted)));
    std::fs::write(host.state("web").join(nomadd_executor::STATE_FILE), "garbage").unwrap();
    assert!(host.direct.adopt(&Host::id("web"), &host.state("web")).await.is_err());
}

#[tokio::test]
async fn leftovers_of_an_id_are_killed_and_removed_and_others_stay() {
    let host = Host::new();
    let (gone, stays) = (host.start("web", "sleep 1000").await, host.start("other", "sleep 1000").await);
    within(host.direct.remove_leftovers(&Host::id("web"), &host.state("web"))).await;
    assert_eq!(ended(&gone).await.signal, 9);
    assert!(host.cgroups("web").is_empty() && !host.state("web").exists());
    assert!(stays.exit_status().is_none() && alive(stays.pid().unwrap()));
    within(stays.destroy()).await;
}
