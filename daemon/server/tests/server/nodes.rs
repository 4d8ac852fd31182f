//! Nodes that fall silent, come back, lie, and are taken out of service.

use nomadd_model::{DesiredStatus, Duration, NodeStatus};
use nomadd_rpc::connection::call;
use nomadd_rpc::{Method, NodeHeartbeatRequest, NodeHeartbeatResponse, NodeSecret, RpcError};
use nomadd_server::allocations::{self, ShutdownDelay};
use nomadd_server::{Caller, Config};

use crate::harness::{Behaviour, FakeNode, Host, job, live, node, running};

/// Silence is noticed after a moment.
fn quick(config: &mut Config) {
    config.heartbeats.min_ttl = Duration::from_millis(300);
    config.heartbeats.grace = Duration::from_millis(700);
    config.heartbeats.max_per_second = 1e6;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_down_and_what_ran_there_is_placed_elsewhere() {
    let host = Host::start(quick).await;
    let first = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.register(job("web", |job| job["TaskGroups"][0]["Count"] = 2.into())).await;
    host.until("both run", |state| (running(state, "web") == 2).then_some(())).await;
    let second = FakeNode::start(&host, 2, Behaviour::Run).await;
    first.stop();
    host.until("the node is down", |state| (state.node(first.id)?.status == NodeStatus::Down).then_some(())).await;
    host.until("replacements run", |state| {
        let live = live(state, "web");
        (running(state, "web") == 2 && live.iter().all(|found| found.node_id == second.id)).then_some(())
    })
    .await;
    let state = host.server.state();
    let node = state.node(first.id).unwrap();
    assert!(node.events.iter().any(|event| event.message == "Node heartbeat missed"), "{:?}", node.events);
    assert!(first.heartbeat().await.heartbeat_ttl.0 > 0);
    host.until("it is back", |state| (state.node(first.id)?.status == NodeStatus::Ready).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_job_runs_on_a_node_that_comes_later() {
    let host = Host::start(|_| ()).await;
    let _first = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.register(job("everywhere", |job| job["Type"] = "system".into())).await;
    host.until("one runs", |state| (running(state, "everywhere") == 1).then_some(())).await;
    let _second = FakeNode::start(&host, 2, Behaviour::Run).await;
    host.until("two run", |state| (running(state, "everywhere") == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_secret_is_turned_away_and_an_unknown_one_is_told_so() {
    let host = Host::start(|_| ()).await;
    let fake = FakeNode::start(&host, 1, Behaviour::Run).await;
    let mut request = NodeHeartbeatRequest { node_id: fake.id, secret: NodeSecret([9; 16]), status: NodeStatus::Ready };
    let answer = call::<_, NodeHeartbeatResponse>(&*host.connection, Method::NodeHeartbeat, &request).await;
    assert!(matches!(answer, Err(RpcError::Refused(_))), "{answer:?}");
    request.node_id = node(7).id;
    let answer: NodeHeartbeatResponse = call(&*host.connection, Method::NodeHeartbeat, &request).await.unwrap();
    assert!(answer.unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_allocation_is_placed_again_and_an_ineligible_node_takes_none() {
    let host = Host::start(|_| ()).await;
    let first = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.register(job("web", |_| ())).await;
    let old =
        host.until("it runs", |state| live(state, "web").first().filter(|_| running(state, "web") == 1).cloned()).await;
    let second = FakeNode::start(&host, 2, Behaviour::Run).await;
    let caller = Caller::anonymous();
    nomadd_server::nodes::set_eligibility(&host.server, &caller, first.id, "ineligible").await.unwrap();
    let stopped = allocations::stop(&host.server, &caller, old.id, ShutdownDelay::Keep).await.unwrap();
    assert!(stopped.1.eval_id.is_some());
    let new = host
        .until("another runs", |state| {
            live(state, "web").into_iter().find(|found| found.id != old.id && running(state, "web") == 1)
        })
        .await;
    assert_eq!((new.node_id, new.previous_allocation), (second.id, old.id));
    assert_eq!(host.server.state().allocation(old.id).unwrap().desired_status, DesiredStatus::Stop);
    let error = nomadd_server::nodes::set_eligibility(&host.server, &caller, first.id, "perhaps").await.unwrap_err();
    assert_eq!(error.status, 400);
    nomadd_server::nodes::purge(&host.server, &caller, first.id).await.unwrap();
    let error = nomadd_server::nodes::purge(&host.server, &caller, first.id).await.unwrap_err();
    assert_eq!((error.status, error.message.as_str()), (500, "node not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_collection_takes_nodes_that_are_down_and_empty_and_no_others() {
    let host = Host::start(quick).await;
    let caller = Caller::anonymous();
    let (first, second) =
        (FakeNode::start(&host, 1, Behaviour::Run).await, FakeNode::start(&host, 2, Behaviour::Run).await);
    let pinned = |id: &str, node: u8| {
        job(id, |job| {
            job["Constraints"] = serde_json::json!([
                { "LTarget": "${node.unique.name}", "RTarget": format!("node{node}"), "Operand": "=" }
            ]);
        })
    };
    host.register(pinned("one", 1)).await;
    host.register(pinned("two", 2)).await;
    host.until("both run", |state| (running(state, "one") + running(state, "two") == 2).then_some(())).await;
    first.stop();
    host.until("what ran there is lost", |state| {
        let gone = state.node(first.id)?.status == NodeStatus::Down && live(state, "one").is_empty();
        gone.then_some(())
    })
    .await;
    nomadd_server::system::collect_garbage(&host.server, &caller).await.unwrap();
    let state = host.server.state();
    assert!(state.node(first.id).is_none() && state.node(second.id).is_some());
    assert_eq!(running(&state, "two"), 1);
    assert!(first.heartbeat().await.unknown, "if it comes back it has to register anew");
}
