//! Allocations on real processes: they run, fail, restart, end in order, and are found again by the next agent.

use std::fs;

use crate::support::{Agent, Server, TempDir, allocation, assigned, messages, script, until};
use nomadd_model::spec::TaskLifecycle;
use nomadd_model::{ClientStatus, Duration, JobType, RestartPolicy, TaskStatus};

fn log(dir: &TempDir, id: nomadd_model::AllocationId, name: &str) -> String {
    let path = dir.path().join(format!("alloc/{id}/alloc/logs/{name}"));
    fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_task_runs_and_completes() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let id = server.assign(allocation(JobType::Batch, vec![script("say", "echo $NOMAD_TASK_NAME $NOMAD_ALLOC_INDEX")]));
    let update = server.wait_status(id, ClientStatus::Complete).await;
    let expected = ["Task received by client", "Building Task Directory", "Task started by client", "Exit Code: 0"];
    let said: Vec<String> =
        messages(&update, "say").into_iter().filter(|message| !message.starts_with("not enforced")).collect();
    assert_eq!(said, expected);
    assert_eq!(update.client_description.as_str(), "All tasks have completed");
    assert_eq!(log(&dir, id, "say.stdout.0"), "say 0\n");
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_runs_until_servers_want_it_no_more() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let id = server.assign(allocation(JobType::Service, vec![script("web", "exec sleep 1000")]));
    let update = server.wait_status(id, ClientStatus::Running).await;
    assert_eq!(update.task_states["web"].state, TaskStatus::Running);
    server.stop(id);
    let update = server.wait_status(id, ClientStatus::Complete).await;
    let said = messages(&update, "web");
    assert!(
        said.ends_with(&[
            "Sent interrupt. Waiting 5s before force killing".to_owned(),
            "Exit Code: 130, Signal: 2".to_owned(),
            "Task successfully killed".to_owned(),
        ]),
        "{said:?}"
    );
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ignores_its_signal_is_killed_after_its_timeout() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let mut task = script("stubborn", "trap 'echo got TERM' TERM; echo ready; while :; do sleep 0.1; done");
    task.kill_signal = "SIGTERM".to_owned();
    task.kill_timeout = Duration::from_millis(300);
    let id = server.assign(allocation(JobType::Service, vec![task]));
    until("the trap", || log(&dir, id, "stubborn.stdout.0") == "ready\n").await;
    server.stop(id);
    let update = server.wait_status(id, ClientStatus::Complete).await;
    let late = "Exit Code: 137, Signal: 9, Exit Message: \"killed: it did not end within its kill_timeout\"";
    assert!(messages(&update, "stubborn").contains(&late.to_owned()));
    assert!(log(&dir, id, "stubborn.stdout.0").contains("got TERM"));
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_task_is_restarted_as_its_policy_says() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let policy = RestartPolicy {
        attempts: 1,
        delay: Duration::from_millis(20),
        interval: Duration::from_secs(60),
        mode: "fail".to_owned(),
        render_templates: false,
    };
    let id = server.assign(assigned(JobType::Service, vec![script("boom", "echo x; exit 7")], |group, _| {
        group.restart_policy = policy;
    }));
    let update = server.wait_status(id, ClientStatus::Failed).await;
    let state = &update.task_states["boom"];
    assert_eq!((state.restarts, state.failed), (1, true));
    let said = messages(&update, "boom");
    assert_eq!(said.last().unwrap(), "Exceeded allowed attempts 1 in interval 1m0s and mode is \"fail\"");
    assert_eq!(log(&dir, id, "boom.stdout.0"), "x\nx\n");
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_binary_or_user_fails_the_task_with_its_name() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let mut missing = script("t", "");
    missing.config.insert("command".to_owned(), "/no/such/binary".into());
    let missing = server.assign(allocation(JobType::Batch, vec![missing]));
    let mut nobody = script("t", "true");
    nobody.user = "no-such-user".to_owned();
    let nobody = server.assign(allocation(JobType::Batch, vec![nobody]));
    let update = server.wait_status(missing, ClientStatus::Failed).await;
    assert!(messages(&update, "t").iter().any(|message| message.contains("/no/such/binary")), "{update:#?}");
    let update = server.wait_status(nobody, ClientStatus::Failed).await;
    let expected =
        "failed driver config validation: failed to identify user \"no-such-user\": user: unknown user no-such-user";
    assert!(messages(&update, "t").iter().any(|message| message == expected), "{update:#?}");
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_around_the_main_task() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let hook = |name: &str, hook: &str, sidecar| {
        let wait = if sidecar { "; exec sleep 1000" } else { "" };
        let mut task = script(name, &format!("echo {name} >> $NOMAD_ALLOC_DIR/order{wait}"));
        task.lifecycle = Some(TaskLifecycle { hook: hook.to_owned(), sidecar });
        task
    };
    let tasks = vec![
        hook("init", "prestart", false),
        hook("side", "prestart", true),
        script(
            "main",
            "echo main >> $NOMAD_ALLOC_DIR/order; until grep -q after $NOMAD_ALLOC_DIR/order; do sleep 0.01; done",
        ),
        hook("after", "poststart", false),
        hook("cleanup", "poststop", false),
    ];
    let id = server.assign(allocation(JobType::Batch, tasks));
    let update = server.wait_status(id, ClientStatus::Complete).await;
    let order = fs::read_to_string(dir.path().join(format!("alloc/{id}/alloc/order"))).unwrap();
    let mut lines: Vec<&str> = order.lines().filter(|line| *line != "side").collect();
    assert_eq!(lines, ["init", "main", "after", "cleanup"]);
    lines.clear();
    assert!(messages(&update, "side").contains(&"Main tasks in the group died".to_owned()));
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_on_over_the_death_of_the_agent_and_loses_no_line() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let count = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done";
    let id = server.assign(allocation(JobType::Service, vec![script("count", count)]));
    let before = server.wait_status(id, ClientStatus::Running).await;
    let node = agent.client.node_id();
    agent.crash().await;
    let lines = log(&dir, id, "count.stdout.0").lines().count();
    until("more lines while nobody looks", || log(&dir, id, "count.stdout.0").lines().count() > lines + 3).await;
    server.reachable(false);
    server.reachable(true);
    let agent = Agent::start(&server, &dir).await;
    assert_eq!(agent.client.node_id(), node);
    agent.client.signal(id, Some("count"), "SIGSTOP").await.unwrap();
    agent.client.signal(id, None, "SIGCONT").await.unwrap();
    server.stop(id);
    let update = server.wait_status(id, ClientStatus::Complete).await;
    let (earlier, later) = (&before.task_states["count"], &update.task_states["count"]);
    assert_eq!((earlier.started_at, later.restarts), (later.started_at, 0));
    let log = log(&dir, id, "count.stdout.0");
    assert!(log.lines().enumerate().all(|(number, line)| line == number.to_string()), "{log}");
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_a_task_that_ended_while_no_agent_looked_is_known() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let go = dir.path().join("go");
    let wait = format!("until test -e {}; do sleep 0.01; done; exit 5", go.display());
    let id = server.assign(allocation(JobType::Batch, vec![script("t", &wait)]));
    server.wait_status(id, ClientStatus::Running).await;
    let executor = dir.path().join(format!("client/allocations/{id}/tasks/t/executor.exit"));
    agent.crash().await;
    fs::write(&go, "").unwrap();
    until("the exit to be noted", || executor.exists()).await;
    let agent = Agent::start(&server, &dir).await;
    let update = server.wait_status(id, ClientStatus::Failed).await;
    assert!(messages(&update, "t").contains(&"Exit Code: 5".to_owned()));
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_stops_nothing_and_hears_of_everything_later() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let service = server.assign(allocation(JobType::Service, vec![script("web", "exec sleep 1000")]));
    let go = dir.path().join("go");
    let wait = format!("until test -e {}; do sleep 0.01; done", go.display());
    let batch = server.assign(allocation(JobType::Batch, vec![script("t", &wait)]));
    server.wait_status(service, ClientStatus::Running).await;
    server.wait_status(batch, ClientStatus::Running).await;
    server.reachable(false);
    fs::write(&go, "").unwrap();
    until("the end of the batch task", || agent.client.allocation_status(batch).unwrap() == ClientStatus::Complete)
        .await;
    assert_eq!(agent.client.allocation_status(service).unwrap(), ClientStatus::Running);
    server.reachable(true);
    server.wait_status(batch, ClientStatus::Complete).await;
    server.stop(service);
    server.wait_status(service, ClientStatus::Complete).await;
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocation_that_servers_no_longer_list_goes_with_its_files() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let told = server.assign(allocation(JobType::Service, vec![script("web", "exec sleep 1000")]));
    let silent = server.assign(allocation(JobType::Service, vec![script("web", "exec sleep 1000")]));
    server.wait_status(told, ClientStatus::Running).await;
    server.wait_status(silent, ClientStatus::Running).await;
    server.remove(told);
    until("the files to go", || !dir.path().join(format!("alloc/{told}")).exists()).await;
    agent.crash().await;
    server.forget(silent);
    let agent = Agent::start(&server, &dir).await;
    until("the files to go", || !dir.path().join(format!("alloc/{silent}")).exists()).await;
    until("the state to go", || !dir.path().join(format!("client/allocations/{silent}")).exists()).await;
    assert!(agent.client.allocations().is_empty());
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_of_an_allocation_is_told_to_its_deployment() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let judged = |script: nomadd_model::Task, min_healthy_time: Duration| {
        assigned(JobType::Service, vec![script], |group, allocation| {
            group.update = Some(nomadd_model::UpdateStrategy {
                health_check: "task_states".to_owned(),
                min_healthy_time,
                healthy_deadline: Duration::from_secs(600),
                ..nomadd_model::UpdateStrategy::default()
            });
            allocation.deployment_id = nomadd_model::DeploymentId::from_random([9; 16]);
        })
    };
    let good = server.assign(judged(script("web", "exec sleep 1000"), Duration::from_millis(50)));
    // On a slow machine even this runs for a while, and must not pass for healthy.
    let bad = server.assign(judged(script("web", "exit 1"), Duration::from_secs(300)));
    let healthy = |update: &nomadd_rpc::AllocationUpdate| update.deployment_status.as_ref().and_then(|s| s.healthy);
    server.wait(good, "health", |update| healthy(update) == Some(true)).await;
    let update = server.wait(bad, "health", |update| healthy(update) == Some(false)).await;
    assert!(messages(&update, "web").contains(&"Unhealthy because of failed task".to_owned()));
    // A newer version that changes it in place is judged anew.
    server.change(good, |allocation| allocation.deployment_id = nomadd_model::DeploymentId::from_random([8; 16]));
    let told = server.told(good).len();
    until("a new verdict", || server.told(good)[told..].iter().any(|update| healthy(update) == Some(true))).await;
    server.stop(good);
    server.wait_status(good, ClientStatus::Complete).await;
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_as_its_user_in_its_directory() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let mut task = script("t", "id -un; echo x > $NOMAD_TASK_DIR/x && echo y > $NOMAD_SECRETS_DIR/y && pwd");
    task.user = "daemon".to_owned();
    let id = server.assign(allocation(JobType::Batch, vec![task]));
    server.wait_status(id, ClientStatus::Complete).await;
    let pwd = dir.path().join(format!("alloc/{id}/t"));
    assert_eq!(log(&dir, id, "t.stdout.0"), format!("daemon\n{}\n", pwd.display()));
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_behind_ends_nothing() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let newer = |allocation: &mut nomadd_model::Allocation| allocation.create_index = 1_000;
    let id = server.assign(assigned(JobType::Service, vec![script("web", "exec sleep 1000")], |_, allocation| {
        newer(allocation);
    }));
    server.wait_status(id, ClientStatus::Running).await;
    agent.crash().await;
    server.forget(id);
    let agent = Agent::start(&server, &dir).await;
    let later = server.assign(allocation(JobType::Batch, vec![script("t", "true")]));
    server.wait_status(later, ClientStatus::Complete).await;
    assert_eq!(agent.client.allocation_status(id).unwrap(), ClientStatus::Running);
    agent.client.end_everything().await;
    assert!(!dir.path().join(format!("alloc/{id}")).exists());
    agent.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_short_tasks_all_complete() {
    let (server, dir) = (Server::new(), TempDir::new());
    let agent = Agent::start(&server, &dir).await;
    let begun = std::time::Instant::now();
    let mut changes = server.changes();
    let mut task = script("t", "");
    task.config = serde_json::json!({"command": "/bin/true"}).as_object().unwrap().clone();
    server.assign_all((0..200).map(|_| allocation(JobType::Batch, vec![task.clone()])).collect());
    let complete = async {
        while server.count(ClientStatus::Complete) < 200 {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), complete).await.unwrap();
    println!("200 tasks in {:?}", begun.elapsed());
    agent.crash().await;
}
