//! Nodes: what nodes themselves say (register, heartbeat, reports) and what operators want of them.
//!
//! `service` is the RPC surface that nodes call, `updates` writes what they report, `subscription` pushes them their
//! allocations, told by `inbox` which; `silence` and `inquiry` find out that one is gone; `drain` is what operators ask for before they take a node away.

pub(crate) mod drain;
pub(crate) mod inbox;
pub(crate) mod inquiry;
pub(crate) mod registration;
mod service;
pub(crate) mod silence;
mod subscription;
pub(crate) mod updates;

use nomadd_model::{
    Eligibility, EvaluationId, Node, NodeEligibilityUpdateResponse, NodeEvent, NodeId, NodePurgeResponse,
};
use nomadd_state::{Command, EvaluationUpsert, NodeDeregister, NodeEligibilitySet};
use std::sync::Arc;

use crate::caller::Caller;
use crate::error::{Answer, EndpointError};
use crate::evaluation;
use crate::server::Server;

pub use drain::drain;
pub use service::NodeService;

/// Sets whether a node takes allocations: `eligible` or `ineligible`.
pub async fn set_eligibility(
    server: &Server,
    caller: &Caller,
    id: NodeId,
    eligibility: &str,
) -> Answer<(u64, NodeEligibilityUpdateResponse)> {
    caller.resolve()?;
    let wanted: Eligibility = eligibility
        .parse()
        .map_err(|_| EndpointError::bad_request(format!("invalid scheduling eligibility {eligibility:?}")))?;
    let state = server.state();
    let node = find(&state, id)?;
    if wanted == Eligibility::Eligible && node.drain {
        return Err(EndpointError::refused(
            "can not set node's scheduling eligibility to eligible while it is draining",
        ));
    }
    if node.scheduling_eligibility == wanted {
        return Ok((state.index(), NodeEligibilityUpdateResponse::default()));
    }
    let message = match wanted {
        Eligibility::Eligible => "Node marked as eligible for scheduling",
        Eligibility::Ineligible => "Node marked as ineligible for scheduling",
    };
    let evaluations = match wanted {
        Eligibility::Eligible => evaluation::of_node(&state, node, &server.runtime().seeds),
        Eligibility::Ineligible => Vec::new(),
    };
    let ids = ids_of(&evaluations);
    let set =
        NodeEligibilitySet { id, eligibility: wanted, event: Some(event(server, "Cluster", message)), evaluations };
    let index = server.commit(Command::NodeEligibility(set)).await?.index;
    let eval_create_index = if ids.is_empty() { 0 } else { index };
    Ok((index, NodeEligibilityUpdateResponse { eval_create_index, eval_ids: ids, node_modify_index: index }))
}

/// Evaluates every job that a node concerns again.
pub async fn evaluate(server: &Server, caller: &Caller, id: NodeId) -> Answer<(u64, NodePurgeResponse)> {
    caller.resolve()?;
    let state = server.state();
    let node = find(&state, id)?;
    let evaluations = evaluation::of_node(&state, node, &server.runtime().seeds);
    let eval_ids = ids_of(&evaluations);
    let node_modify_index = node.modify_index;
    if evaluations.is_empty() {
        return Ok((state.index(), NodePurgeResponse { node_modify_index, ..NodePurgeResponse::default() }));
    }
    let index = server.commit(Command::EvaluationUpsert(EvaluationUpsert { evaluations })).await?.index;
    Ok((index, NodePurgeResponse { eval_create_index: index, eval_ids, node_modify_index }))
}

/// Removes a node; what ran there is placed elsewhere.
pub async fn purge(server: &Server, caller: &Caller, id: NodeId) -> Answer<(u64, NodePurgeResponse)> {
    caller.resolve()?;
    let state = server.state();
    let node = state.node(id).ok_or_else(|| EndpointError::refused("node not found"))?;
    let evaluations = evaluation::of_node(&state, node, &server.runtime().seeds);
    let eval_ids = ids_of(&evaluations);
    let index = server.commit(Command::NodeDeregister(NodeDeregister { ids: vec![id], evaluations })).await?.index;
    server.liveness().forget(id);
    let eval_create_index = if eval_ids.is_empty() { 0 } else { index };
    Ok((index, NodePurgeResponse { eval_create_index, eval_ids, node_modify_index: index }))
}

pub(crate) fn event(server: &Server, subsystem: &str, message: &str) -> NodeEvent {
    NodeEvent { message: message.into(), subsystem: subsystem.into(), timestamp: server.now(), ..NodeEvent::default() }
}

fn find(state: &nomadd_state::State, id: NodeId) -> Answer<&Arc<Node>> {
    state.node(id).ok_or_else(|| EndpointError::not_found("node not found"))
}

fn ids_of(evaluations: &[nomadd_model::Evaluation]) -> Vec<EvaluationId> {
    evaluations.iter().map(|evaluation| evaluation.id).collect()
}
