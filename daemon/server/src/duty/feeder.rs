//! Carries what was applied to the queue: evaluations that came or changed, nodes that may help blocked ones.
//!
//! Follows the events of the log; when it was too slow for them it looks at everything that is open in the state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nomadd_model::{Eligibility, EvaluationStatus, Node, NodeId, NodeStatus, Text};
use nomadd_state::{Event, EventKind, State, Subject};
use tokio::sync::broadcast;

use crate::queue::Paused;
use crate::server::Server;

/// Fills the queue from the state, then follows the events, for ever.
pub(super) async fn feed(server: Server) {
    // Subscribe first: what is applied in between comes twice, which does no harm.
    let mut events = server.raft().events();
    restore(&server);
    loop {
        match events.recv().await {
            Ok(batch) => take(&server, batch.index, &batch.events),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::debug!(missed, "all open evaluations and nodes are looked at");
                catch_up(&server);
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Feeds everything that is open. What the queue knows stays as it is, above all what is with a worker; what it should have
/// forgotten is noticed by the worker that gets it.
fn catch_up(server: &Server) {
    let state = server.state();
    for node in state.nodes() {
        unblock(server, &state, node.id, state.index());
    }
    state.evaluations().filter(|found| is_open(found.status)).for_each(|found| server.queue().feed(Arc::clone(found)));
}

fn is_open(status: EvaluationStatus) -> bool {
    matches!(status, EvaluationStatus::Pending | EvaluationStatus::Blocked)
}

/// Fills the queue with the open evaluations of the state.
pub(super) fn restore(server: &Server) {
    let state = server.state();
    let paused = if state.scheduler_configuration().pause_eval_broker { Paused::Yes } else { Paused::No };
    server.queue().restore(state.evaluations().filter(|found| is_open(found.status)), &helpful(&state), paused);
}

/// The nodes that can take something, with the index of the change that let them. Such a change is told only to whoever
/// leads at that moment: the leader before may have ended between the change and what it would have helped, and nodes come
/// while a leader begins.
fn helpful(state: &State) -> Vec<(NodeId, Text, u64)> {
    if !state.evaluations().any(|found| found.status == EvaluationStatus::Blocked) {
        return Vec::new();
    }
    let mut freed: BTreeMap<NodeId, u64> = BTreeMap::new();
    for allocation in state.allocations().filter(|found| found.client_status.is_terminal()) {
        let index = freed.entry(allocation.node_id).or_default();
        *index = allocation.modify_index.max(*index);
    }
    let helpful = state.nodes().filter(|node| can_take(node));
    helpful
        .map(|node| {
            let freed = freed.get(&node.id).copied().unwrap_or_default();
            (node.id, node.computed_class.clone(), node.modify_index.max(freed))
        })
        .collect()
}

fn can_take(node: &Node) -> bool {
    node.status == NodeStatus::Ready && node.scheduling_eligibility == Eligibility::Eligible && !node.drain
}

fn take(server: &Server, index: u64, events: &[Event]) {
    let state = server.state();
    let mut nodes: BTreeSet<NodeId> = BTreeSet::new();
    for event in events {
        match &event.subject {
            Subject::Evaluation(id) => {
                if let Some(evaluation) = state.evaluation(*id) {
                    server.queue().feed(Arc::clone(evaluation));
                }
            }
            Subject::Node(id) => {
                nodes.insert(*id);
            }
            // A client that is done with an allocation has room again.
            Subject::Allocation(id) if event.kind == EventKind::AllocationUpdated => {
                if let Some(allocation) = state.allocation(*id)
                    && allocation.client_status.is_terminal()
                {
                    nodes.insert(allocation.node_id);
                }
            }
            _ => {}
        }
    }
    for id in nodes {
        unblock(server, &state, id, index);
    }
}

fn unblock(server: &Server, state: &State, id: NodeId, index: u64) {
    let Some(node) = state.node(id) else { return };
    if can_take(node) {
        server.queue().unblock(id, &node.computed_class, index);
    }
}
