//! A node registers, and says that it is still here.

use std::sync::Arc;

use nomadd_model::{Duration, Eligibility, Evaluation, Node, NodeEvent, NodeId, NodeStatus, SecretId};
use nomadd_state::{Command, NodeEventEntry, NodeEvents, NodeRegister, NodeStatusSet, State};

use crate::error::{Answer, EndpointError};
use crate::evaluation;
use crate::liveness::held_until;
use crate::nodes::event;
use crate::server::Server;

/// A node that is held back asks again not sooner.
const SHORTEST_HOLD: Duration = Duration::from_millis(500);

/// Registers a node, or what changed on it. Returns the index and the time to its next heartbeat.
pub(crate) async fn register(server: &Server, mut node: Node, secret: SecretId) -> Answer<(u64, Duration)> {
    check(server, &node, secret)?;
    if node.node_pool.is_empty() {
        node.node_pool = "default".into();
    }
    crate::node_pools::check_node(&node.node_pool).map_err(EndpointError::bad_request)?;
    node.computed_class = nomadd_state::class::computed_class(&node).into();
    let state = server.state();
    let old = state.node(node.id);
    let held = old.and_then(|old| held(server, old));
    if held.is_some() {
        node.status = NodeStatus::Down;
    }
    let changed = old.is_none_or(|old| differs(old, &node));
    let id = node.id;
    if changed {
        let evaluations = evaluations(server, &state, old.map(AsRef::as_ref), &node);
        let register = NodeRegister { node: Arc::new(node), secret, evaluations };
        server.commit(Command::NodeRegister(register)).await?;
    }
    let ttl = server.heard(id);
    Ok((server.state().index(), held.map_or(ttl, |held| held.min(ttl))))
}

/// For how long a node that is down stays so although it is heard of: it went down several times in a row.
fn held(server: &Server, node: &Node) -> Option<Duration> {
    let until = held_until(node).filter(|_| node.status == NodeStatus::Down)?;
    let left = until.since(server.now());
    (left.0 > 0).then_some(left.max(SHORTEST_HOLD))
}

/// A node is still here. `None`: it is not known (any more).
pub(crate) async fn heartbeat(server: &Server, id: NodeId, status: NodeStatus) -> Answer<Option<(u64, Duration)>> {
    let state = server.state();
    let Some(node) = state.node(id) else { return Ok(None) };
    if let Some(left) = held(server, node).filter(|_| status == NodeStatus::Ready) {
        let ttl = server.heard(id);
        return Ok(Some((state.index(), left.min(ttl))));
    }
    if node.status != status && matches!(status, NodeStatus::Ready | NodeStatus::Initializing | NodeStatus::Down) {
        let back = matches!(node.status, NodeStatus::Down | NodeStatus::Disconnected) && status == NodeStatus::Ready;
        let mut changed = Node::clone(node);
        changed.status = status;
        let evaluations = if evaluation::status_matters(node.status, status) {
            evaluation::of_node(&state, &changed, &server.runtime().seeds)
        } else {
            Vec::new()
        };
        let set = NodeStatusSet {
            id,
            status,
            description: "".into(),
            event: back.then(|| event(server, "Cluster", "Node reregistered by heartbeat")),
            evaluations,
        };
        server.commit(Command::NodeStatus(set)).await?;
    }
    if status == NodeStatus::Down {
        server.liveness().forget(id);
        return Ok(Some((state.index(), server.config().heartbeats.min_ttl)));
    }
    Ok(Some((state.index(), server.heard(id))))
}

/// Notes what happened on a node.
pub(crate) async fn note(server: &Server, id: NodeId, events: Vec<NodeEvent>) -> Answer<u64> {
    let events: Vec<_> = events.into_iter().take(10).map(|event| NodeEventEntry { id, event }).collect();
    if events.is_empty() {
        return Ok(server.state().index());
    }
    Ok(server.commit(Command::NodeEvents(NodeEvents { events })).await?.index)
}

fn check(server: &Server, node: &Node, secret: SecretId) -> Answer<()> {
    let missing = |what: &str| EndpointError::bad_request(format!("missing {what} for client registration"));
    if node.id.is_none() {
        return Err(missing("node ID"));
    }
    if secret == SecretId::default() {
        return Err(missing("node secret ID"));
    }
    if node.datacenter.is_empty() {
        return Err(missing("datacenter"));
    }
    if node.name.is_empty() {
        return Err(missing("node name"));
    }
    match server.state().node_secret(node.id) {
        Some(known) if known != secret => Err(EndpointError::new(403, "node secret ID does not match")),
        _ => Ok(()),
    }
}

/// Whether a registration says anything new. What servers keep of a node does not count.
fn differs(old: &Node, new: &Node) -> bool {
    let kept = |node: &Node| Node {
        create_index: 0,
        modify_index: 0,
        events: Vec::new(),
        scheduling_eligibility: Eligibility::Eligible,
        drain: false,
        drain_strategy: None,
        last_drain: None,
        last_alloc_update_index: 0,
        last_missed_heartbeat_index: 0,
        status_updated_at: 0,
        status_description: String::new(),
        ..node.clone()
    };
    kept(old) != kept(new)
}

/// System jobs and what waited for this node look at it when it is ready, new, or of another class than before.
fn evaluations(server: &Server, state: &State, old: Option<&Node>, new: &Node) -> Vec<Evaluation> {
    let interesting = match old {
        None => new.status == NodeStatus::Ready,
        Some(old) => evaluation::status_matters(old.status, new.status) || old.computed_class != new.computed_class,
    };
    if interesting { evaluation::of_node(state, new, &server.runtime().seeds) } else { Vec::new() }
}
