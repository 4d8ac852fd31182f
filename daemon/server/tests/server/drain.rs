//! Nodes that are drained: onto another node, alone, cancelled, and lost on the way.

use nomadd_model::{
    AllocationId, ClientStatus, DesiredStatus, DrainSpec, Duration, Eligibility, EvaluationStatus, Node, NodeId,
    NodeStatus, NodeUpdateDrainRequest, Trigger,
};
use nomadd_server::{Caller, Config, nodes};
use nomadd_state::State;
use serde_json::json;

use crate::harness::{Behaviour, FakeNode, Host, job, live, running};

const HOUR: i64 = 3600;

async fn drain(host: &Host, id: NodeId, seconds: i64) {
    let spec = DrainSpec { deadline: Duration::from_secs(seconds), ..DrainSpec::default() };
    let meta = [("message".to_owned(), "new kernel".to_owned())].into();
    let request = NodeUpdateDrainRequest { drain_spec: Some(spec), meta, ..NodeUpdateDrainRequest::default() };
    let (index, answer) = nodes::drain(&host.server, &Caller::anonymous(), id, request).await.unwrap();
    assert_eq!(answer.node_modify_index, index);
}

async fn cancel(host: &Host, id: NodeId, mark_eligible: bool) {
    let request = NodeUpdateDrainRequest { mark_eligible, ..NodeUpdateDrainRequest::default() };
    nodes::drain(&host.server, &Caller::anonymous(), id, request).await.unwrap();
}

/// The node once its drain is over.
async fn drained(host: &Host, id: NodeId) -> Node {
    let over = |state: &State| {
        let node = state.node(id)?;
        (node.drain_strategy.is_none() && node.last_drain.is_some()).then(|| Node::clone(node))
    };
    host.until("the node is drained", over).await
}

fn told(node: &Node) -> Vec<&str> {
    node.events.iter().filter(|event| event.subsystem == "Drain").map(|event| event.message.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_on_a_drained_node_moves_to_another_one() {
    let host = Host::start(|_| ()).await;
    let first = FakeNode::start(&host, 1, Behaviour::Run).await;
    let move_two = json!({ "MaxParallel": 2, "HealthCheck": "task_states",
        "MinHealthyTime": 1_000_000_000_i64, "HealthyDeadline": 10_000_000_000_i64 });
    host.register(job("web", |job| {
        job["TaskGroups"][0]["Count"] = 5.into();
        job["TaskGroups"][0]["Migrate"] = move_two;
        job["TaskGroups"][0]["Update"] = json!({ "MaxParallel": 5 });
    }))
    .await;
    host.register(job("agent", |job| job["Type"] = "system".into())).await;
    host.until("all run", |state| (running(state, "web") == 5 && running(state, "agent") == 1).then_some(())).await;
    let old: Vec<AllocationId> = live(&host.server.state(), "web").iter().map(|found| found.id).collect();
    let second = FakeNode::start(&host, 2, Behaviour::Run).await;
    drain(&host, first.id, HOUR).await;
    let node = drained(&host, first.id).await;
    assert_eq!((node.drain, node.scheduling_eligibility), (false, Eligibility::Ineligible));
    assert_eq!(told(&node), ["Node drain strategy set", "Node drain complete"]);
    let last = node.last_drain.unwrap();
    assert_eq!((last.status.as_str(), last.meta["message"].as_str()), ("complete", "new kernel"));
    host.until("all run on the other node", |state| {
        let live = live(state, "web");
        let there = live.len() == 5 && live.iter().all(|found| found.node_id == second.id);
        (there && running(state, "web") == 5).then_some(())
    })
    .await;
    let state = host.server.state();
    for id in old {
        let found = state.allocation(id).unwrap();
        assert_eq!((found.desired_status, found.client_status), (DesiredStatus::Stop, ClientStatus::Complete));
        assert_eq!(found.desired_transition.migrate, Some(true));
    }
    let replaced = state.allocations_by_job("default", "web").filter(|found| found.previous_allocation.is_some());
    assert_eq!(replaced.count(), 5, "each replaces one");
    assert!(state.evaluations().any(|found| found.triggered_by == Trigger::NodeDrain));
    // The system job leaves last, and is back when the node is.
    host.until("the system job left", |state| {
        let mut all = state.allocations_by_node(first.id);
        all.all(|found| found.client_status.is_terminal()).then_some(())
    })
    .await;
    nodes::set_eligibility(&host.server, &Caller::anonymous(), first.id, "eligible").await.unwrap();
    host.until("the system job is back", |state| (running(state, "agent") == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_another_node_the_rest_goes_at_the_deadline_and_the_job_says_why_it_waits() {
    let host = Host::start(|_| ()).await;
    let only = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.register(job("web", |job| job["TaskGroups"][0]["Count"] = 2.into())).await;
    host.register(job("sums", |job| job["Type"] = "batch".into())).await;
    host.until("all run", |state| (running(state, "web") == 2 && running(state, "sums") == 1).then_some(())).await;
    drain(&host, only.id, 3).await;
    host.until("one has left", |state| (live(state, "web").len() == 1).then_some(())).await;
    assert_eq!(running(&host.server.state(), "sums"), 1, "a batch job may end by itself");
    let node = drained(&host, only.id).await;
    let event = node.events.last().unwrap();
    assert_eq!(event.message, "Node drain complete");
    assert_eq!(event.details.get("deadline_reached").map(String::as_str), Some("true"));
    for id in ["web", "sums"] {
        host.until("nothing is left and the job is blocked", |state| {
            let blocked =
                state.evaluations().find(|found| found.job_id == id && found.status == EvaluationStatus::Blocked)?;
            let why = blocked.failed_tg_allocs.get("g")?;
            (live(state, id).is_empty() && why.nodes_evaluated == 0).then_some(())
        })
        .await;
    }
    cancel(&host, only.id, true).await;
    host.until("all are back", |state| (running(state, "web") == 2 && running(state, "sums") == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_can_be_changed_and_cancelled() {
    let host = Host::start(|_| ()).await;
    let only = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.register(job("sums", |job| job["Type"] = "batch".into())).await;
    host.until("it runs", |state| (running(state, "sums") == 1).then_some(())).await;
    drain(&host, only.id, HOUR).await;
    let begun = host.server.state().node(only.id).unwrap().drain_strategy.clone().unwrap();
    drain(&host, only.id, 2 * HOUR).await;
    let state = host.server.state();
    let changed = state.node(only.id).unwrap().drain_strategy.clone().unwrap();
    assert_eq!((changed.started_at, changed.deadline), (begun.started_at, Duration::from_secs(2 * HOUR)));
    assert!(changed.force_deadline > begun.force_deadline);
    let refused = nodes::set_eligibility(&host.server, &Caller::anonymous(), only.id, "eligible").await;
    assert!(refused.is_err(), "a node that is drained cannot be made eligible");
    cancel(&host, only.id, false).await;
    let state = host.server.state();
    let node = state.node(only.id).unwrap();
    assert_eq!((node.drain, node.scheduling_eligibility), (false, Eligibility::Ineligible));
    let last = node.last_drain.as_ref().unwrap();
    assert_eq!((last.status.as_str(), last.meta.len()), ("canceled", 1));
    assert_eq!(told(node), ["Node drain strategy set", "Node drain strategy updated", "Node drain disabled"]);
    cancel(&host, only.id, true).await;
    let state = host.server.state();
    let node = state.node(only.id).unwrap();
    assert_eq!((node.scheduling_eligibility, told(node).len()), (Eligibility::Eligible, 3));
    assert_eq!(running(&state, "sums"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_of_a_node_that_goes_down_is_over() {
    let quick = |config: &mut Config| {
        config.heartbeats.min_ttl = Duration::from_millis(300);
        config.heartbeats.grace = Duration::from_millis(700);
        config.heartbeats.max_per_second = 1e6;
    };
    let host = Host::start(quick).await;
    let only = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.register(job("sums", |job| job["Type"] = "batch".into())).await;
    host.until("it runs", |state| (running(state, "sums") == 1).then_some(())).await;
    drain(&host, only.id, 0).await;
    only.stop();
    let node = drained(&host, only.id).await;
    assert_eq!(node.status, NodeStatus::Down);
    assert_eq!(node.last_drain.unwrap().status, "complete");
}
