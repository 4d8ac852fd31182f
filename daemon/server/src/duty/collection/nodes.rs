//! Nodes that are down for long and have nothing on them.

use nomadd_model::NodeStatus;
use nomadd_state::{Command, NodeDeregister, State};

use super::{CHUNK, Cutoffs};

pub(super) fn find(state: &State, cutoffs: &Cutoffs) -> Vec<Command> {
    // Nodes keep the time of their status in seconds.
    let cutoff = cutoffs.nodes.0 / 1_000_000_000;
    let over = state.nodes().filter(|node| {
        node.status == NodeStatus::Down
            && node.status_updated_at <= cutoff
            && state
                .allocations_by_node(node.id)
                .all(|allocation| allocation.client_status.is_terminal() || allocation.desired_status.is_terminal())
    });
    let ids: Vec<_> = over.map(|node| node.id).collect();
    ids.chunks(CHUNK)
        .map(|chunk| Command::NodeDeregister(NodeDeregister { ids: chunk.to_vec(), ..NodeDeregister::default() }))
        .collect()
}
