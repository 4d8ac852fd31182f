//! The control streams of nodes, and the tunnels that are ordered over them: how servers reach nodes, which only dial out.
//!
//! Owns who is connected here. A node of this process is connected as any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nomadd_model::NodeId;
use nomadd_rpc::{Link, LinkEnd, NodeOrder, Reach, RpcError, Tunnel, encode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How long a node may take to open a tunnel.
const OPENING: Duration = Duration::from_secs(10);
/// How many tunnels may be ordered at a time.
const ORDERED: usize = 4096;

/// After this long without a word a node is missed; it says something each second.
const QUIET: Duration = Duration::from_millis(1900);
/// A node that closed its stream is missed when it has not opened another by then.
const REOPENS: Duration = Duration::from_millis(1500);
/// How often a node that is missed is told.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a node is missed after its stream has ended.
const REMEMBERED: Duration = Duration::from_secs(30);

/// A node of this server that is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missed {
    pub node: NodeId,
    /// How long ago it was heard.
    pub quiet: Duration,
    /// How its connection ended: nothing while it is only quiet.
    pub end: Option<LinkEnd>,
}

struct Open {
    number: u64,
    orders: mpsc::Sender<Vec<u8>>,
    link: Link,
    told: Option<Instant>,
}

struct Lost {
    end: LinkEnd,
    heard: Instant,
    ended: Instant,
    told: Option<Instant>,
}

/// The streams of this server.
#[derive(Default)]
pub struct Streams(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    last: u64,
    nodes: BTreeMap<NodeId, Open>,
    /// Nodes whose stream ended with their connection, and that did not come back here.
    lost: BTreeMap<NodeId, Lost>,
    /// Nodes whose API could be reached from here when they opened their stream.
    reachable: BTreeSet<NodeId>,
    /// This process stood still until then: quiet before that is its own.
    deaf_until: Option<Instant>,
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
    pub(crate) fn open(&self, node: NodeId, orders: mpsc::Sender<Vec<u8>>, link: Link) -> u64 {
        let mut inner = self.lock();
        inner.last += 1;
        let number = inner.last;
        inner.nodes.insert(node, Open { number, orders, link, told: None });
        inner.lost.remove(&node);
        number
    }

    /// The stream has ended; says whether it was the node's newest.
    pub(crate) fn close(&self, node: NodeId, number: u64) -> bool {
        let mut inner = self.lock();
        let newest = inner.nodes.get(&node).is_some_and(|open| open.number == number);
        if newest {
            inner.nodes.remove(&node);
        }
        newest
    }

    /// The connection of a node whose stream has ended has ended, too.
    pub(crate) fn lose(&self, node: NodeId, end: LinkEnd, quiet: Duration) {
        let mut inner = self.lock();
        if !inner.nodes.contains_key(&node) {
            let ended = Instant::now();
            let heard = ended.checked_sub(quiet).unwrap_or(ended);
            inner.lost.insert(node, Lost { end, heard, ended, told: None });
        }
    }

    /// Notes whether a node's API can be reached from here: only then its silence there says something.
    pub(crate) fn note_reach(&self, node: NodeId, reach: Reach) {
        let mut inner = self.lock();
        match reach {
            Reach::Answers => inner.reachable.insert(node),
            _ => inner.reachable.remove(&node),
        };
    }
    /// Whether a node's API could be reached from here.
    pub(crate) fn is_reachable(&self, node: NodeId) -> bool {
        self.lock().reachable.contains(&node)
    }

    /// Nobody needs to be told of a node any more.
    pub(crate) fn forget(&self, node: NodeId) {
        self.lock().lost.remove(&node);
    }

    /// Notes that this process stood still: nobody could be heard.
    pub(crate) fn was_deaf(&self) {
        self.lock().deaf_until = Some(Instant::now());
    }

    /// The nodes that are missed and have to be told of now, `most` of them.
    pub(crate) fn missed(&self, most: usize) -> Vec<Missed> {
        let now = Instant::now();
        let mut inner = self.lock();
        let Inner { nodes, lost, deaf_until, .. } = &mut *inner;
        let hearing = deaf_until.map_or(Duration::MAX, |until| now.duration_since(until));
        let again = |told: Option<Instant>| told.is_none_or(|told| now.duration_since(told) >= AGAIN);
        let mut missed = Vec::new();
        lost.retain(|_, lost| now.duration_since(lost.ended) < REMEMBERED);
        for (node, open) in nodes {
            let quiet = open.link.quiet();
            if quiet.min(hearing) >= QUIET && again(open.told) && missed.len() < most {
                open.told = Some(now);
                missed.push(Missed { node: *node, quiet, end: open.link.end() });
            }
        }
        for (node, lost) in lost {
            let waits = lost.end == LinkEnd::Closed && now.duration_since(lost.ended) < REOPENS;
            if !waits && again(lost.told) && missed.len() < most {
                lost.told = Some(now);
                missed.push(Missed { node: *node, quiet: now.duration_since(lost.heard), end: Some(lost.end) });
            }
        }
        missed
    }

    /// Whether the node is connected here.
    pub fn holds(&self, node: NodeId) -> bool {
        self.lock().nodes.contains_key(&node)
    }

    /// For how long nothing was heard of a node that is connected here.
    pub(crate) fn quiet(&self, node: NodeId) -> Option<Duration> {
        self.lock().nodes.get(&node).map(|open| open.link.quiet())
    }
    /// Whether a node is connected here and says something.
    pub(crate) fn hears(&self, node: NodeId) -> bool {
        self.quiet(node).is_some_and(|quiet| quiet < QUIET)
    }

    /// Has a node open a tunnel on which it serves its API. `id` is fresh and secret.
    pub async fn order(&self, node: NodeId, id: [u8; 16]) -> Result<Tunnel, RpcError> {
        let order = encode(&NodeOrder::OpenTunnel { id })?;
        let (sender, receiver) = oneshot::channel();
        let orders = {
            let mut inner = self.lock();
            let Some(open) = inner.nodes.get(&node) else { return Err(RpcError::Unreachable) };
            let orders = open.orders.clone();
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

    fn link() -> Link {
        nomadd_rpc::Peer::in_process().link
    }

    #[tokio::test]
    async fn a_node_opens_the_tunnel_that_was_ordered_and_nobody_else_can() {
        let streams = std::sync::Arc::new(Streams::default());
        assert!(matches!(streams.order(NODE, [1; 16]).await, Err(RpcError::Unreachable)));
        let (sender, mut orders) = mpsc::channel(4);
        let number = streams.open(NODE, sender, link());
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
        let old = streams.open(NODE, mpsc::channel(1).0, link());
        streams.open(NODE, mpsc::channel(1).0, link());
        assert!(!streams.close(NODE, old));
        assert!(streams.holds(NODE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_missed_when_its_connection_fell_silent_and_a_closed_one_when_it_does_not_come_back() {
        let streams = Streams::default();
        let missed = || streams.missed(8).into_iter().map(|missed| missed.end).collect::<Vec<_>>();
        let number = streams.open(NODE, mpsc::channel(1).0, link());
        assert_eq!(missed(), []);
        assert!(streams.hears(NODE) && streams.close(NODE, number));
        streams.lose(NODE, LinkEnd::Silent, QUIET);
        assert_eq!(missed(), [Some(LinkEnd::Silent)]);
        assert_eq!(missed(), [], "not all the time");
        tokio::time::advance(AGAIN).await;
        assert_eq!(missed(), [Some(LinkEnd::Silent)]);
        let number = streams.open(NODE, mpsc::channel(1).0, link());
        tokio::time::advance(AGAIN).await;
        assert_eq!(missed(), [], "it is back");
        streams.close(NODE, number);
        streams.lose(NODE, LinkEnd::Closed, Duration::ZERO);
        assert_eq!(missed(), []);
        tokio::time::advance(REOPENS).await;
        assert_eq!(missed(), [Some(LinkEnd::Closed)]);
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(missed(), []);
    }
}
