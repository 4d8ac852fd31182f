//! Watches the heartbeats: a node that is silent for too long is down, or disconnected where its allocations may outlast that.

use nomadd_model::{Duration, NodeEvent, NodeId, NodeStatus};
use nomadd_state::{Command, NodeStatusSet};

use crate::evaluation;
use crate::liveness::status_of_silent;
use crate::server::Server;

/// The longest time without a look at the clock.
const LOOK: Duration = Duration::from_secs(1);

/// Looks for silent nodes, for ever.
pub(super) async fn watch(server: Server) {
    server.restore_liveness();
    loop {
        let now = server.runtime().clock.now();
        let silent = server.liveness().silent(now);
        for id in silent {
            if let Err(error) = declare(&server, id).await {
                tracing::warn!(node = %id, %error, "a silent node could not be marked; it will be tried again");
                server.liveness().heard(id, &server.config().heartbeats, 0.0, server.runtime().clock.now());
            }
        }
        metrics::gauge!("nomad.nomad.heartbeat.active").set(server.liveness().active() as f64);
        let wait =
            server.liveness().next_due().map_or(LOOK, |due| due.since(now)).clamp(Duration::from_millis(1), LOOK);
        tokio::time::sleep(wait.to_std()).await;
    }
}

async fn declare(server: &Server, id: NodeId) -> crate::error::Answer<()> {
    let (state, runtime) = (server.state(), server.runtime());
    let Some(node) = state.node(id).filter(|node| node.status != NodeStatus::Down) else { return Ok(()) };
    let now = runtime.clock.now();
    let status = status_of_silent(&state, id, now);
    metrics::counter!("nomad.nomad.heartbeat.invalidate").increment(1);
    if status == node.status {
        // Still disconnected: look again when the shortest of its allocations may have run out.
        server.liveness().heard(id, &server.config().heartbeats, 0.0, now);
        return Ok(());
    }
    tracing::warn!(node = %id, name = %node.name, %status, "a node missed its heartbeat");
    let event = NodeEvent {
        message: "Node heartbeat missed".into(),
        subsystem: "Cluster".into(),
        timestamp: now,
        ..NodeEvent::default()
    };
    server
        .commit(Command::NodeStatus(NodeStatusSet {
            id,
            status,
            description: "heartbeat missed".into(),
            event: Some(event),
            evaluations: evaluation::of_node(&state, node, &runtime.seeds),
        }))
        .await?;
    if status == NodeStatus::Disconnected {
        // The allocations' own deadlines are evaluations for later; the node itself is looked at again.
        server.liveness().heard(id, &server.config().heartbeats, 0.0, now);
    }
    Ok(())
}
