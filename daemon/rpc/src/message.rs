//! The messages between a node and a server.

use std::sync::Arc;

use nomadd_model::{
    AllocDeploymentStatus, AllocNetworkStatus, Allocation, AllocationId, ClientStatus, Duration, Job, Node, NodeEvent,
    NodeId, NodeStatus, TaskState, Text, Time, noun,
};
use std::collections::BTreeMap;

/// The methods that a server offers to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Method {
    /// `NodeRegisterRequest` → `NodeRegisterResponse`.
    NodeRegister,
    /// `NodeHeartbeatRequest` → `NodeHeartbeatResponse`.
    NodeHeartbeat,
    /// `NodeAllocationUpdateRequest` → `NodeAllocationUpdateResponse`; a batch is applied whole before it is answered.
    NodeUpdateAllocations,
    /// `NodeEventsRequest` → `Acknowledged`.
    NodeEvents,
    /// A subscription: `NodeAllocationsRequest` → a stream of `NodeAllocations`.
    NodeAllocations,
}

noun! {
    /// A node says that it is here, what it has, and proves that it is the same node with its secret.
    pub struct NodeRegisterRequest {
        pub node: Node = "Node",
        pub secret: NodeSecret = "Secret",
    }

    /// The node is known now.
    pub struct NodeRegisterResponse {
        pub index: u64 = "Index",
        /// How long until the next heartbeat is due.
        pub heartbeat_ttl: Duration = "HeartbeatTTL",
    }

    /// A node is still here.
    pub struct NodeHeartbeatRequest {
        pub node_id: NodeId = "NodeID",
        pub secret: NodeSecret = "Secret",
        pub status: NodeStatus = "Status",
    }

    /// The heartbeat was noted.
    pub struct NodeHeartbeatResponse {
        pub index: u64 = "Index",
        pub heartbeat_ttl: Duration = "HeartbeatTTL",
        /// The server does not know the node (any more): register again.
        pub unknown: bool = "Unknown",
    }

    /// What became of allocations; sent in batches, in order.
    pub struct NodeAllocationUpdateRequest {
        pub node_id: NodeId = "NodeID",
        pub secret: NodeSecret = "Secret",
        pub updates: Vec<AllocationUpdate> = "Updates",
    }

    /// The updates are durable.
    pub struct NodeAllocationUpdateResponse {
        pub index: u64 = "Index",
    }

    /// What a client says of one allocation.
    pub struct AllocationUpdate {
        pub id: AllocationId = "ID",
        pub client_status: ClientStatus = "ClientStatus",
        pub client_description: Text = "ClientDescription",
        pub task_states: BTreeMap<Text, TaskState> = "TaskStates",
        pub deployment_status: Option<AllocDeploymentStatus> = "DeploymentStatus",
        pub network_status: Option<AllocNetworkStatus> = "NetworkStatus",
        pub time: Time = "Time",
    }

    /// Things that happened to a node.
    pub struct NodeEventsRequest {
        pub node_id: NodeId = "NodeID",
        pub secret: NodeSecret = "Secret",
        pub events: Vec<NodeEvent> = "Events",
    }

    /// Done.
    pub struct Acknowledged {
        pub index: u64 = "Index",
    }

    /// A node wants its allocations: first all, then what changes.
    pub struct NodeAllocationsRequest {
        pub node_id: NodeId = "NodeID",
        pub secret: NodeSecret = "Secret",
    }

    /// Allocations of a node. `full` carries all of them (a resync): what is not in it is gone.
    pub struct NodeAllocations {
        pub index: u64 = "Index",
        pub full: bool = "Full",
        pub changed: Vec<AssignedAllocation> = "Changed",
        /// Allocations that the server no longer has: remove them.
        pub removed: Vec<AllocationId> = "Removed",
    }

    /// An allocation and the version of the job that it runs.
    pub struct AssignedAllocation {
        pub allocation: Allocation = "Allocation",
        pub job: Option<Arc<Job>> = "Job",
    }
}

/// The secret that proves that a node is the one that registered first; its Debug prints nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NodeSecret(pub [u8; 16]);

impl std::fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeSecret(…)")
    }
}
impl nomadd_model::field::Field for NodeSecret {
    fn is_zero(&self) -> bool {
        self.0 == [0; 16]
    }
}
