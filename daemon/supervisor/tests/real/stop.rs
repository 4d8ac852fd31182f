//! Signals, stops and kills.

use std::time::Duration;

use nomadd_supervisor::SignalError;

use crate::support::{Host, alive, ended, until};

#[tokio::test]
async fn a_signal_reaches_the_task_and_only_a_known_one_is_sent() {
    let host = Host::new();
    let handle = host.start("web", "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.01; done").await;
    until("the trap is set", || host.stdout("web") == "ready\n").await;
    assert_eq!(handle.signal(99).await, Err(SignalError::UnknownSignal(99)));
    assert!(handle.signal_by_name("SIGNOPE").await.is_err());
    handle.signal_by_name("SIGUSR1").await.unwrap();
    assert_eq!(ended(&handle).await.exit_code, 5);
    assert_eq!(host.stdout("web"), "ready\ngot\n");
    assert_eq!(handle.signal(1).await, Err(SignalError::Ended));
}

#[tokio::test]
async fn a_task_that_obeys_its_stop_ends_with_its_own_code() {
    let host = Host::new();
    let handle = host.start("web", "trap 'exit 4' INT; echo ready; while :; do sleep 0.01; done").await;
    until("the trap is set", || host.stdout("web") == "ready\n").await;
    handle.stop(2, Duration::from_secs(1000)).await.unwrap();
    let status = ended(&handle).await;
    assert_eq!((status.exit_code, status.signal), (4, 0));
}

#[tokio::test]
async fn a_task_that_ignores_its_stop_is_killed_with_all_it_started() {
    let host = Host::new();
    let script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.01; done' & wait; wait";
    let handle = host.start("web", script).await;
    until("the child says its id", || host.stdout("web").ends_with('\n')).await;
    let child = crate::support::numbers(&host.stdout("web"))[0];
    handle.stop(15, Duration::from_millis(200)).await.unwrap();
    let status = ended(&handle).await;
    assert_eq!((status.exit_code, status.signal, status.oom_killed), (137, 9, false));
    assert!(!alive(child));
}

#[tokio::test]
async fn a_second_stop_may_shorten_the_wait_and_a_kill_ends_it() {
    let host = Host::new();
    let ignoring = "trap '' INT; echo ready; while :; do sleep 0.01; done";
    let handle = host.start("web", ignoring).await;
    until("the trap is set", || host.stdout("web") == "ready\n").await;
    handle.stop(2, Duration::from_secs(1000)).await.unwrap();
    handle.stop(2, Duration::from_millis(1)).await.unwrap();
    assert_eq!(ended(&handle).await.signal, 9);
    let handle = host.start("other", ignoring).await;
    handle.kill().await.unwrap();
    assert_eq!(ended(&handle).await.signal, 9);
}

#[tokio::test]
async fn an_executor_that_is_told_to_terminate_stops_its_task_in_order() {
    let host = Host::new();
    let handle = host.start("web", "trap 'exit 6' INT; echo ready; while :; do sleep 0.01; done").await;
    until("the trap is set", || host.stdout("web") == "ready\n").await;
    nomadd_executor::process::kill(executor_of(&host, "web"), libc::SIGTERM).unwrap();
    assert_eq!(ended(&handle).await.exit_code, 6);
}

/// The process id that the executor's state file says.
pub fn executor_of(host: &Host, task: &str) -> i32 {
    let bytes = std::fs::read(host.state(task).join(nomadd_executor::STATE_FILE)).unwrap();
    let record = nomadd_executor::record::Record::decode(&bytes).unwrap();
    record.require("executor_pid").unwrap()
}
