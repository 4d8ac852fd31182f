//! Pushes a node its allocations: all of them first, then what changed on the server's side.
//!
//! One task per subscription, woken only by changes of that node's allocations. What a client itself has reported is not sent
//! back to it.

use std::collections::BTreeMap;

use nomadd_model::{AllocationId, NodeId};
use nomadd_rpc::{AssignedAllocation, NodeAllocations, encode};
use nomadd_state::{State, WatchKey};
use tokio::sync::mpsc;

use crate::server::Server;

/// Pushes until the node is gone.
pub(super) async fn push(server: Server, id: NodeId, updates: mpsc::Sender<Vec<u8>>) {
    let watcher = server.watch([WatchKey::NodeAllocations(id), WatchKey::Node(id)]);
    let mut sent: BTreeMap<AllocationId, u64> = BTreeMap::new();
    let mut first = true;
    loop {
        let message = next(&server.state(), id, &mut sent, first);
        if first || !message.changed.is_empty() || !message.removed.is_empty() {
            first = false;
            let encoded = match encode(&message) {
                Ok(encoded) => encoded,
                Err(error) => {
                    tracing::error!(node = %id, %error, "the allocations of a node cannot be sent");
                    return;
                }
            };
            if updates.send(encoded).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = watcher.changed() => {}
            () = updates.closed() => return,
        }
    }
}

/// What the node does not know yet.
fn next(state: &State, id: NodeId, sent: &mut BTreeMap<AllocationId, u64>, full: bool) -> NodeAllocations {
    let mut message = NodeAllocations { index: state.index(), full, ..NodeAllocations::default() };
    let mut gone = std::mem::take(sent);
    for allocation in state.allocations_by_node(id) {
        if gone.remove(&allocation.id) != Some(allocation.alloc_modify_index) {
            message.changed.push(AssignedAllocation {
                allocation: nomadd_model::Allocation::clone(allocation),
                job: state.job_of(allocation).cloned(),
            });
        }
        sent.insert(allocation.id, allocation.alloc_modify_index);
    }
    message.removed.extend(gone.into_keys());
    message
}
