//! What is over goes, and what is not stays.

use nomadd_model::{DeploymentStatus, JobStatus};
use nomadd_server::jobs::{self, StopOptions};
use nomadd_server::{Caller, evaluations, operator, system};

use crate::harness::{Behaviour, FakeNode, Host, job, running};

#[tokio::test(flavor = "multi_thread")]
async fn garbage_collection_takes_dead_jobs_whole_and_leaves_live_ones() {
    let host = Host::start(|_| ()).await;
    let caller = Caller::anonymous();
    let _node = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.register(job("dead", |_| ())).await;
    host.register(job("live", |_| ())).await;
    host.until("both are deployed", |state| {
        let deployed =
            |id| (state.latest_deployment("default", id)?.status == DeploymentStatus::Successful).then_some(());
        deployed("dead").and(deployed("live"))
    })
    .await;
    jobs::deregister(&host.server, &caller, "default", "dead", StopOptions::default()).await.unwrap();
    host.until("a dead job without open evaluations", |state| {
        let quiet = state.evaluations().all(|found| found.status.is_terminal())
            && state.allocations_by_job("default", "dead").all(|found| found.client_status.is_terminal());
        (quiet && state.job("default", "dead")?.status == JobStatus::Dead).then_some(())
    })
    .await;
    system::collect_garbage(&host.server, &caller).await.unwrap();
    let state = host.server.state();
    assert!(state.job("default", "dead").is_none());
    assert_eq!(state.allocations_by_job("default", "dead").count(), 0);
    assert_eq!(state.evaluations_by_job("default", "dead").count(), 0);
    assert_eq!(state.deployments_by_job("default", "dead").count(), 0);
    assert!(state.job("default", "live").is_some());
    assert_eq!(running(&state, "live"), 1);
    assert!(state.node_count() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluations_are_deleted_only_while_the_broker_is_paused() {
    let host = Host::start(|_| ()).await;
    let caller = Caller::anonymous();
    let made = host.register(job("web", |_| ())).await;
    host.until("it is done", |state| state.evaluation(made.eval_id)?.status.is_terminal().then_some(())).await;
    let error = evaluations::delete(&host.server, &caller, &[made.eval_id]).await.unwrap_err();
    assert_eq!(error.message, "eval broker is enabled; eval broker must be paused to delete evals");
    let mut config = host.server.state().scheduler_configuration().clone();
    config.pause_eval_broker = true;
    let (_, set) = operator::set_scheduler_configuration(&host.server, &caller, config.clone(), Some(1)).await.unwrap();
    assert!(!set, "somebody else changed it");
    let index = config.modify_index;
    let (_, set) =
        operator::set_scheduler_configuration(&host.server, &caller, config.clone(), Some(index)).await.unwrap();
    assert!(set);
    evaluations::delete(&host.server, &caller, &[made.eval_id]).await.unwrap();
    assert!(host.server.state().evaluation(made.eval_id).is_none());
    let waits = host.register(job("waits", |_| ())).await;
    assert_eq!(host.server.queue_stats().broker.in_flight, 0);
    config.pause_eval_broker = false;
    operator::set_scheduler_configuration(&host.server, &caller, config, None).await.unwrap();
    host.until("it goes on", |state| state.evaluation(waits.eval_id)?.status.is_terminal().then_some(())).await;
}
