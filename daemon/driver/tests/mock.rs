//! The mock driver under a paused clock, and real processes through the registry.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nomadd_driver::registry::{Support, Switch};
use nomadd_driver::{DriverConfig, Launch, MockSpec, RawExecConfig, Registry, TaskContext, TaskNetwork};
use nomadd_runtime::Runtime;
use nomadd_supervisor::logs::{Stream, list};
use nomadd_supervisor::start::Again;
use nomadd_supervisor::{ExitStatus, Handle, Labels, Limits, LogSpec, SignalError, StartError, TaskHandleId};
use serde_json::{Value, json};
use tokio::time::Instant;

fn log(directory: &Path) -> LogSpec {
    LogSpec {
        directory: directory.to_owned(),
        task: "web".to_owned(),
        max_files: 3,
        max_file_size_bytes: 1 << 20,
        disabled: false,
    }
}

fn spec(config: Value) -> MockSpec {
    MockSpec::read(TaskHandleId::new("a", "web"), &config, log(Path::new("/no/such"))).unwrap()
}

async fn start(config: Value) -> Handle {
    spec(config).start(&Runtime::simulated(1)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_for_its_time_and_ends_as_it_says() {
    let start_time = Instant::now();
    let handle = start(json!({"run_for": "90s", "exit_code": 3, "exit_err_msg": "oh"})).await;
    let status = handle.wait().await;
    assert_eq!(start_time.elapsed().as_secs(), 90);
    assert_eq!((status.exit_code, status.error.as_deref()), (3, Some("oh")));
    assert_eq!(handle.signal(1).await, Err(SignalError::Ended));
    assert!(start(json!({})).await.wait().await.is_success());
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_and_fails_as_it_says() {
    let start_time = Instant::now();
    let config = json!({"start_block_for": "5s", "start_error": "no luck", "start_error_recoverable": true});
    let error = spec(config).start(&Runtime::simulated(1)).await.unwrap_err();
    assert_eq!(start_time.elapsed().as_secs(), 5);
    assert_eq!((error.to_string().as_str(), error.again()), ("no luck", Again::Worthwhile));
    let error = spec(json!({"start_error": "never"})).start(&Runtime::simulated(1)).await.unwrap_err();
    assert!(matches!(error, StartError::Driver { again: Again::Pointless, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_obeyed_after_kill_after_or_ends_in_a_kill() {
    let start_time = Instant::now();
    let handle = start(json!({"run_for": "1h", "kill_after": "3s", "exit_code": 2})).await;
    handle.stop(2, Duration::from_secs(5)).await.unwrap();
    assert_eq!(handle.wait().await.exit_code, 2);
    assert_eq!(start_time.elapsed().as_secs(), 3);
    let handle = start(json!({"run_for": "1h", "kill_after": "30s"})).await;
    handle.stop(2, Duration::from_secs(5)).await.unwrap();
    let ExitStatus { exit_code, signal, .. } = handle.wait().await;
    assert_eq!((exit_code, signal, start_time.elapsed().as_secs()), (137, 9, 8));
}

#[tokio::test(start_paused = true)]
async fn signals_are_taken_or_refused_as_it_says_and_a_kill_kills() {
    let handle = start(json!({"run_for": "1h", "signal_error": "not now"})).await;
    assert_eq!(handle.signal(1).await, Err(SignalError::Refused("not now".into())));
    handle.kill().await.unwrap();
    assert_eq!(handle.wait().await.signal, 9);
    let handle = start(json!({"run_for": "1h"})).await;
    handle.signal_by_name("SIGHUP").await.unwrap();
    assert!(handle.exit_status().is_none());
    handle.destroy().await;
    assert!(handle.exit_status().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_task_taken_up_again_runs_for_what_is_left() {
    let runtime = Runtime::simulated(1);
    let started_at = runtime.clock.now();
    runtime.clock.advance(nomadd_model::Duration::from_secs(50));
    let start_time = Instant::now();
    let handle = spec(json!({"run_for": "60s", "exit_code": 1})).resume(&runtime, started_at);
    assert_eq!(handle.wait().await.exit_code, 1);
    assert_eq!(start_time.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn output_is_written_and_repeated_into_the_log_files() {
    let folder = std::env::temp_dir().join(format!("nomadd-mock-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let config = json!({
        "run_for": "10s", "stdout_string": "tick\n", "stdout_repeat": 3, "stdout_repeat_duration": "2s",
        "stderr_string": "once",
    });
    let spec = MockSpec::read(TaskHandleId::new("a", "web"), &config, log(&folder)).unwrap();
    spec.start(&Runtime::simulated(1)).await.unwrap().wait().await;
    let read = |stream| std::fs::read_to_string(&list(&folder, "web", stream).unwrap()[0].path).unwrap();
    assert_eq!(read(Stream::Stdout), "tick\n".repeat(4));
    assert_eq!(read(Stream::Stderr), "once");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_tasks_are_nothing() {
    let runtime = Runtime::simulated(1);
    let mut handles = Vec::new();
    for number in 0..10_000 {
        let spec = spec(json!({"run_for": "60s", "exit_code": number % 7}));
        handles.push(spec.start(&runtime).await.unwrap());
    }
    for (number, handle) in handles.iter().enumerate() {
        assert_eq!(handle.wait().await.exit_code, number as i32 % 7);
    }
}

#[test]
fn the_registry_yields_what_each_driver_runs_and_refuses_others() {
    let raw_exec = RawExecConfig { enabled: true, ..RawExecConfig::default() };
    let registry =
        Registry::new(&DriverConfig { raw_exec, mock_driver: Switch::On, ..DriverConfig::default() }).unwrap();
    let context = |config: Value| TaskContext {
        id: TaskHandleId::new("a", "web"),
        labels: Labels::default(),
        config,
        env: BTreeMap::new(),
        user: None,
        task_directory: PathBuf::from("/tmp"),
        alloc_directory: PathBuf::from("/tmp"),
        volumes: Vec::new(),
        image: None,
        network: TaskNetwork::default(),
        limits: Limits::default(),
        log: log(Path::new("/tmp")),
        state_directory: PathBuf::from("/tmp/state"),
        kill_signal: 2,
        kill_timeout: Duration::from_secs(5),
    };
    let launch = registry.prepare("raw_exec", context(json!({"command": "sh"}))).unwrap();
    assert!(matches!(launch, Launch::Process(_)));
    assert!(matches!(registry.prepare("mock_driver", context(json!({}))).unwrap(), Launch::Mock(_)));
    let error = registry.prepare("rawexec", context(json!({}))).unwrap_err().to_string();
    assert_eq!(error, "driver \"rawexec\" is not available on this node; did you mean \"raw_exec\"?");
    assert_eq!(registry.capabilities("raw_exec").unwrap().exec, Support::Yes);
    assert_eq!(registry.capabilities("docker"), None);
}
