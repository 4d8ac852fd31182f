//! The control streams of nodes, and the tunnels that are ordered over them: how servers reach nodes, which only dial out.
//!
//! Owns who is connected here. A node of this process is connected as any other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nomadd_model::NodeId;
use nomadd_rpc::{NodeOrder, RpcError, Tunnel, encode};
use tokio::sync::{mpsc, oneshot};

/// How long a node may take to open a tunnel.
const OPENING: Duration = Duration::from_secs(10);
/// How many tunnels may be ordered at a time.
const ORDERED: usize = 4096;

/// The streams of this server.
#[derive(Default)]
pub struct Streams(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    last: u64,
    nodes: BTreeMap<NodeId, (u64, mpsc::Sender<Vec<u8>>)>,
    ordered: BTreeMap<[u8; 16], (NodeId, oneshot::Sender<Tunnel>)>,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("nodes", &self.lock().nodes.len()).finish_non_exhaustive()
    }
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a node's stream; a newer one takes the place of an older. Returns its number.
    pub(crate) fn open(&self, node: NodeId, orders: mpsc::Sender<Vec<u8>>) -> u64 {
        let mut inner = self.lock();
        inner.last += 1;
        let number = inner.last;
        inner.nodes.insert(node, (number, orders));
        number
    }

    /// The stream has ended; says whether it was the node's newest.
    pub(crate) fn close(&self, node: NodeId, number: u64) -> bool {
        let mut inner = self.lock();
        let newest = inner.nodes.get(&node).is_some_and(|(found, _)| *found == number);
        if newest {
            inner.nodes.remove(&node);
        }
        newest
    }

    /// Whether the node is connected here.
    pub fn holds(&self, node: NodeId) -> bool {
        self.lock().nodes.contains_key(&node)
    }

    /// Has a node open a tunnel on which it serves its API. `id` is fresh and secret.
    pub async fn order(&self, node: NodeId, id: [u8; 16]) -> Result<Tunnel, RpcError> {
        let order = encode(&NodeOrder::OpenTunnel { id })?;
        let (sender, receiver) = oneshot::channel();
        let orders = {
            let mut inner = self.lock();
            let Some((_, orders)) = inner.nodes.get(&node) else { return Err(RpcError::Unreachable) };
            let orders = orders.clone();
            if inner.ordered.len() >= ORDERED {
                return Err(RpcError::Busy);
            }
            inner.ordered.insert(id, (node, sender));
            orders
        };
        let waited = async {
            orders.send(order).await.map_err(|_| RpcError::Unreachable)?;
            receiver.await.map_err(|_| RpcError::Unreachable)
        };
        let opened = tokio::time::timeout(OPENING, waited).await.unwrap_or(Err(RpcError::Unreachable));
        self.lock().ordered.remove(&id);
        opened
    }

    /// A node opened the tunnel that was ordered.
    pub(crate) fn arrived(&self, node: NodeId, id: [u8; 16], tunnel: Tunnel) -> Result<(), RpcError> {
        let unknown = || RpcError::Refused("nobody has ordered this tunnel, or it comes too late".to_owned());
        let mut inner = self.lock();
        if inner.ordered.get(&id).is_none_or(|(of, _)| *of != node) {
            return Err(unknown());
        }
        let (_, waiting) = inner.ordered.remove(&id).ok_or_else(unknown)?;
        waiting.send(tunnel).map_err(|_| unknown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([3; 16]);

    #[tokio::test]
    async fn a_node_opens_the_tunnel_that_was_ordered_and_nobody_else_can() {
        let streams = std::sync::Arc::new(Streams::default());
        assert!(matches!(streams.order(NODE, [1; 16]).await, Err(RpcError::Unreachable)));
        let (sender, mut orders) = mpsc::channel(4);
        let number = streams.open(NODE, sender);
        let ordering = tokio::spawn({
            let streams = std::sync::Arc::clone(&streams);
            async move { streams.order(NODE, [1; 16]).await.map(|_| ()) }
        });
        let order: NodeOrder = nomadd_rpc::decode(&orders.recv().await.unwrap()).unwrap();
        assert_eq!(order, NodeOrder::OpenTunnel { id: [1; 16] });
        let tunnel = || Box::new(tokio::io::duplex(16).0) as Tunnel;
        assert!(streams.arrived(NODE, [2; 16], tunnel()).is_err(), "not ordered");
        assert!(streams.arrived(NodeId([4; 16]), [1; 16], tunnel()).is_err(), "another node's");
        streams.arrived(NODE, [1; 16], tunnel()).unwrap();
        ordering.await.unwrap().unwrap();
        assert!(streams.arrived(NODE, [1; 16], tunnel()).is_err(), "only once");
        assert!(streams.close(NODE, number) && !streams.holds(NODE));
    }

    #[test]
    fn the_end_of_an_old_stream_does_not_end_the_new_one() {
        let streams = Streams::default();
        let old = streams.open(NODE, mpsc::channel(1).0);
        streams.open(NODE, mpsc::channel(1).0);
        assert!(!streams.close(NODE, old));
        assert!(streams.holds(NODE));
    }
}
