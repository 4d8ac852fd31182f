//! Commands about nodes.

use std::sync::Arc;

use nomadd_model::{
    DrainMetadata, DrainStrategy, Eligibility, Evaluation, Node, NodeEvent, NodeId, NodeStatus, SecretId, Text, noun,
};

noun! {
    /// Registers a node, or what changed on it. Eligibility, drain and events of a known node are kept; its status is the one
    /// that is given here.
    pub struct NodeRegister {
        pub node: Arc<Node> = "Node",
        /// What the node proves itself with from now on; a known node must bring the same.
        pub secret: SecretId = "Secret",
        pub evaluations: Vec<Evaluation> = "Evaluations",
    }

    /// Removes nodes; unknown ones are ignored.
    pub struct NodeDeregister {
        pub ids: Vec<NodeId> = "IDs",
        pub evaluations: Vec<Evaluation> = "Evaluations",
    }

    /// Sets the status of a node.
    pub struct NodeStatusSet {
        pub id: NodeId = "ID",
        pub status: NodeStatus = "Status",
        pub description: Text = "Description",
        pub event: Option<NodeEvent> = "Event",
        pub evaluations: Vec<Evaluation> = "Evaluations",
    }

    /// Sets whether a node takes allocations.
    pub struct NodeEligibilitySet {
        pub id: NodeId = "ID",
        pub eligibility: Eligibility = "Eligibility",
        pub event: Option<NodeEvent> = "Event",
        pub evaluations: Vec<Evaluation> = "Evaluations",
    }

    /// Starts or changes (`strategy`) or ends the drain of a node.
    pub struct NodeDrainSet {
        pub id: NodeId = "ID",
        pub strategy: Option<DrainStrategy> = "Strategy",
        /// Ending the drain makes the node eligible again.
        pub mark_eligible: bool = "MarkEligible",
        /// Holds only while the node is drained like this; absent: always. Who ends a drain that is done must not end
        /// one that an operator has changed meanwhile.
        pub of: Option<DrainStrategy> = "Of",
        /// What is told of the drain afterwards; absent: as it was.
        pub last_drain: Option<DrainMetadata> = "LastDrain",
        pub event: Option<NodeEvent> = "Event",
        pub evaluations: Vec<Evaluation> = "Evaluations",
    }

    /// Something that happened on a node.
    pub struct NodeEventEntry {
        pub id: NodeId = "ID",
        pub event: NodeEvent = "Event",
    }

    /// Notes what happened on nodes; the last ten events of a node are kept.
    pub struct NodeEvents {
        pub events: Vec<NodeEventEntry> = "Events",
    }
}
