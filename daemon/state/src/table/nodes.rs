//! Nodes: what they are, what they have, what is held of it, and the secret that they prove themselves with.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use nomadd_model::{Node, NodeId, SecretId};

use super::id_range;
use crate::state::State;
use crate::usage::{Capacity, NodeUsage};

/// What is kept of a node. A change makes a new record, so that who keeps one sees by its address whether it still holds.
#[derive(Clone, Debug, Default)]
pub struct NodeRecord {
    pub(crate) node: Arc<Node>,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) usage: NodeUsage,
    pub(crate) secret: SecretId,
    /// The index of the last change that matters to whether something fits.
    pub(crate) generation: u64,
}

/// The same record is equal without a look into it: tables are compared with earlier ones often.
impl PartialEq for NodeRecord {
    fn eq(&self, other: &Self) -> bool {
        if std::ptr::eq(self, other) {
            return true;
        }
        let Self { node, capacity, usage, secret, generation } = self;
        *generation == other.generation
            && *usage == other.usage
            && *secret == other.secret
            && (Arc::ptr_eq(node, &other.node) || *node == other.node)
            && (Arc::ptr_eq(capacity, &other.capacity) || *capacity == other.capacity)
    }
}

/// The nodes of a state at one time, kept to ask later what has changed (`State::node_changes`).
#[derive(Clone, Debug, Default)]
pub struct NodeTable(OrdMap<NodeId, Arc<NodeRecord>>);

/// How a node differs from an earlier state.
#[derive(Clone, Copy, Debug)]
pub enum NodeChange<'a> {
    /// It was there, and is otherwise now.
    Changed(&'a Arc<NodeRecord>),
    /// It came or went.
    Other,
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
    /// The nodes as they are now.
    pub fn node_table(&self) -> NodeTable {
        NodeTable(self.nodes.clone())
    }
    /// What differs from an earlier time, by id. Costs about as much as there are changes, not nodes.
    pub fn node_changes<'a>(&'a self, since: &'a NodeTable) -> impl Iterator<Item = NodeChange<'a>> {
        since.0.diff(&self.nodes).map(|difference| match difference {
            DiffItem::Update { new: (_, record), .. } => NodeChange::Changed(record),
            DiffItem::Add(..) | DiffItem::Remove(..) => NodeChange::Other,
        })
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
    /// The number of a node's newest batch of what became of its allocations; 0 before the first numbered one.
    pub fn reported(&self, id: NodeId) -> u64 {
        self.reports.get(&id).copied().unwrap_or(0)
    }
    /// What a node proves itself with.
    pub fn node_secret(&self, id: NodeId) -> Option<SecretId> {
        self.nodes.get(&id).map(|record| record.secret)
    }
}
