//! The server that holds a node's stream notices that the node is missed, and tells the leader, again and again while it is so.
//!
//! Runs on every server. What the leader makes of it is `liveness` and `inquiry`.

use std::time::Duration;

use nomadd_model::{Duration as Span, NodeId, NodeStatus};
use nomadd_rpc::connection::call;
use nomadd_rpc::{Acknowledged, Link, LinkEnd, Method, NodeSilentRequest, Reach, RpcError};
use nomadd_runtime::TaskKind;

use crate::liveness::{self, Report};
use crate::peers::within;
use crate::server::Server;

/// How often the streams are looked through.
const LOOK: Duration = Duration::from_millis(200);
/// A look that comes later than this shows that this process stood still.
const STALL: Duration = Duration::from_millis(900);
/// The most nodes that are told in one look.
const MOST: usize = 256;
/// How long the leader may take to note it.
const NOTED: Duration = Duration::from_secs(1);
/// The end of a connection is known this long after the end of its streams.
const END: Duration = Duration::from_millis(500);

/// Looks for nodes that are missed, for ever.
pub(crate) async fn watch(server: Server) {
    loop {
        let before = tokio::time::Instant::now();
        tokio::time::sleep(LOOK).await;
        if before.elapsed() > STALL {
            server.streams().was_deaf();
            continue;
        }
        let missed = server.streams().missed(MOST);
        if missed.is_empty() {
            continue;
        }
        let state = server.state();
        for missed in missed {
            let is_gone = |status| matches!(status, NodeStatus::Down | NodeStatus::Disconnected);
            if state.node(missed.node).is_none_or(|node| is_gone(node.status)) {
                server.streams().forget(missed.node);
                continue;
            }
            tracing::debug!(node = %missed.node, quiet = ?missed.quiet, end = ?missed.end, "a node is missed");
            let request = NodeSilentRequest {
                node_id: missed.node,
                last_heard: server.now().plus(Span(-i64::try_from(missed.quiet.as_nanos()).unwrap_or(0))),
                // Where its API is out of reach, nothing tells a slow agent from a host that is gone: it gets the grace, too.
                closed: missed.end == Some(LinkEnd::Closed) || !server.streams().is_reachable(missed.node),
            };
            if server.leads() {
                note(&server, &request);
                continue;
            }
            let Ok(leader) = server.leader_connection() else { continue };
            server.runtime().tasks.spawn(TaskKind::Request, async move {
                let told = call::<_, Acknowledged>(&*leader, Method::NodeSilent, &request);
                // It is told again in a moment.
                drop(within(NOTED, told).await);
            });
        }
    }
}

/// Finds out whether a node that opened its stream can be looked at from here.
pub(crate) async fn look_once(server: &Server, node: NodeId) {
    let address = server.state().node(node).map(|node| node.http_addr.clone()).unwrap_or_default();
    let looked = tokio::time::timeout(NOTED, server.probe(&address)).await;
    server.streams().note_reach(node, looked.unwrap_or(Reach::Silent));
}

/// Follows the end of a node's stream.
pub(crate) async fn ended(server: &Server, node: NodeId, number: u64, link: Link) {
    if !server.streams().close(node, number) {
        return;
    }
    // While the connection lives, the node has only closed the stream: it moves to another server.
    if let Ok(end) = tokio::time::timeout(END, link.ended()).await {
        let quiet = if end == LinkEnd::Silent { link.quiet() } else { Duration::ZERO };
        server.streams().lose(node, end, quiet);
    }
}

/// The leader learns that a node is missed.
pub(crate) fn note(server: &Server, request: &NodeSilentRequest) {
    let NodeSilentRequest { node_id, last_heard: _, closed } = *request;
    let (state, now) = (server.state(), server.now());
    let Some(node) = state.node(node_id).filter(|node| node.status != NodeStatus::Down) else { return };
    let heartbeats = &server.config().heartbeats;
    let waits = closed || liveness::is_announced(node, heartbeats, now);
    let report = if waits { Report::Closed } else { Report::Silent };
    let patience = liveness::patience(node, heartbeats, now);
    server.liveness().suspects().report(node_id, report, patience, now);
    server.suspicion().notify_one();
}

/// What another server says.
pub(crate) fn take(server: &Server, request: &NodeSilentRequest) -> Result<Acknowledged, RpcError> {
    if !server.leads() {
        return Err(RpcError::NoLeader);
    }
    note(server, request);
    Ok(Acknowledged { index: server.state().index() })
}
