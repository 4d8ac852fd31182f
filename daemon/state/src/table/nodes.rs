//! Nodes: what they are, what they have, what is held of it, and the secret that they prove themselves with.

use std::sync::Arc;

use nomadd_model::{Node, NodeId, SecretId};

use super::id_range;
use crate::state::State;
use crate::usage::{Capacity, NodeUsage};

/// What is kept of a node. A change makes a new record, so that who keeps one sees by its address whether it still holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeRecord {
    pub(crate) node: Arc<Node>,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) usage: NodeUsage,
    pub(crate) secret: SecretId,
    /// The index of the last change that matters to whether something fits.
    pub(crate) generation: u64,
}

impl NodeRecord {
    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }
    /// What allocations hold on it.
    pub fn usage(&self) -> &NodeUsage {
        &self.usage
    }
}

impl State {
    /// A node.
    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&id).map(|record| &record.node)
    }
    /// All nodes by id.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = &Arc<Node>> {
        self.nodes.values().map(|record| &record.node)
    }
    /// What is kept of all nodes, by id.
    pub fn node_records(&self) -> impl DoubleEndedIterator<Item = &Arc<NodeRecord>> {
        self.nodes.values()
    }
    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }
    /// The nodes whose id begins with hexadecimal digits, by id.
    pub fn nodes_by_prefix(&self, prefix: &str) -> impl DoubleEndedIterator<Item = &Arc<Node>> {
        id_range(prefix)
            .into_iter()
            .flat_map(|(low, high)| self.nodes.range(NodeId(low)..=NodeId(high)))
            .map(|(_, record)| &record.node)
    }
    /// What allocations hold on a node.
    pub fn node_usage(&self, id: NodeId) -> Option<&NodeUsage> {
        self.nodes.get(&id).map(|record| &record.usage)
    }
    /// What a node has for allocations.
    pub fn node_capacity(&self, id: NodeId) -> Option<&Arc<Capacity>> {
        self.nodes.get(&id).map(|record| &record.capacity)
    }
    /// A number that changes whenever something changes that matters to whether an allocation fits on a node.
    pub fn node_generation(&self, id: NodeId) -> Option<u64> {
        self.nodes.get(&id).map(|record| record.generation)
    }
    /// What a node proves itself with.
    pub fn node_secret(&self, id: NodeId) -> Option<SecretId> {
        self.nodes.get(&id).map(|record| record.secret)
    }
}
