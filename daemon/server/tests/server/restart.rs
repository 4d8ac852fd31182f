//! A server that starts again knows what is open: pending, blocked and later evaluations.

use nomadd_model::{Duration, EvaluationStatus, NodeStatus};
use nomadd_server::Caller;

use crate::harness::{Behaviour, FakeNode, Host, job, running};

#[tokio::test(flavor = "multi_thread")]
async fn open_evaluations_are_worked_on_after_a_restart() {
    // Nobody works on evaluations here.
    let host = Host::start(|config| config.schedulers = 0).await;
    let pending = host.register(job("pending", |_| ())).await;
    let folder = host.stop().await;
    let host = Host::open(folder, |_| ()).await;
    let blocked = host
        .until("the pending evaluation is done and another waits for a node", |state| {
            let done = state.evaluation(pending.eval_id)?;
            (done.status == EvaluationStatus::Complete).then_some(done.blocked_eval)
        })
        .await;
    let folder = host.stop().await;
    let host = Host::open(folder, |_| ()).await;
    let _node = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.until("the job runs", |state| (running(state, "pending") == 1).then_some(())).await;
    host.until("the blocked evaluation is done", |state| {
        (state.evaluation(blocked)?.status == EvaluationStatus::Complete).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_could_help_is_worked_on_though_the_leader_ended_before_it_was() {
    let host = Host::start(|_| ()).await;
    host.register(job("waiting", |_| ())).await;
    host.until("it waits for a node", |state| {
        state.evaluations().find(|found| found.status == EvaluationStatus::Blocked).map(|_| ())
    })
    .await;
    let folder = host.stop().await;
    // The node comes while nobody works on evaluations.
    let host = Host::open(folder, |config| config.schedulers = 0).await;
    let node = FakeNode::start(&host, 1, Behaviour::Run).await;
    let id = node.id;
    host.until("the node is ready", |state| (state.node(id)?.status == NodeStatus::Ready).then_some(())).await;
    let folder = host.stop().await;
    let host = Host::open(folder, |_| ()).await;
    host.until("the job is placed", |state| state.allocations_by_job("default", "waiting").next().map(|_| ())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_waiting_evaluations_of_a_job_only_the_newest_is_worked_on() {
    let host = Host::start(|config| config.schedulers = 0).await;
    let first = host.register(job("web", |_| ())).await;
    let second = host.register(job("web", |_| ())).await;
    let third = host.register(job("web", |_| ())).await;
    let folder = host.stop().await;
    let host = Host::open(folder, |_| ()).await;
    let status = |id| move |state: &nomadd_state::State| state.evaluation(id).map(|found| found.status);
    host.until("all three are over", |state| {
        let over =
            [first.eval_id, second.eval_id, third.eval_id].map(|id| status(id)(state)?.is_terminal().then_some(()));
        over.into_iter().collect::<Option<Vec<_>>>().map(|_| ())
    })
    .await;
    let state = host.server.state();
    assert_eq!(status(first.eval_id)(&state), Some(EvaluationStatus::Complete));
    assert_eq!(status(second.eval_id)(&state), Some(EvaluationStatus::Canceled));
    assert_eq!(status(third.eval_id)(&state), Some(EvaluationStatus::Complete));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_waited_for_after_a_restart() {
    let quick = |config: &mut nomadd_server::Config| {
        config.heartbeats.failover_ttl = Duration::from_millis(500);
    };
    let host = Host::start(quick).await;
    let node = FakeNode::start(&host, 1, Behaviour::Run).await;
    let id = node.id;
    let folder = host.stop().await;
    let host = Host::open(folder, quick).await;
    host.until("the node is down", |state| (state.node(id)?.status == NodeStatus::Down).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_restores_jobs_and_what_is_open() {
    let host = Host::start(|_| ()).await;
    let caller = Caller::anonymous();
    host.register(job("kept", |_| ())).await;
    host.until("it waits for a node", |state| {
        state.evaluations().find(|found| found.status == EvaluationStatus::Blocked).map(|_| ())
    })
    .await;
    let path = host.folder().join("snapshot");
    nomadd_server::operator::save_snapshot(&host.server, &caller, std::fs::File::create(&path).unwrap()).await.unwrap();
    let options = nomadd_server::jobs::StopOptions { purge: true, ..Default::default() };
    nomadd_server::jobs::deregister(&host.server, &caller, "default", "kept", options).await.unwrap();
    host.until("it is gone", |state| state.job("default", "kept").is_none().then_some(())).await;
    nomadd_server::operator::restore_snapshot(&host.server, &caller, std::fs::File::open(&path).unwrap())
        .await
        .unwrap();
    host.until("it is back", |state| state.job("default", "kept").map(|_| ())).await;
    let _node = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.until("it runs", |state| (running(state, "kept") == 1).then_some(())).await;
    let error = nomadd_server::operator::restore_snapshot(&host.server, &caller, &b"not a snapshot at all"[..])
        .await
        .unwrap_err();
    assert_eq!(error.status, 400, "{error}");
}
