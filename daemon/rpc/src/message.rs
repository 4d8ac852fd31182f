//! The messages between nodes and servers, and between servers. What raft says, the raft room encodes.

use std::sync::Arc;

use nomadd_model::{
    AllocDeploymentStatus, AllocNetworkStatus, Allocation, AllocationId, Bytes, ClientStatus, Duration, Job, KeyId,
    Node, NodeEvent, NodeId, NodeStatus, TaskState, Text, Time, noun,
};
use std::collections::BTreeMap;

/// The message of the event by which an agent that stops in order says that it is expected back.
pub const AGENT_STOPS: &str = "Agent stops and is expected back";

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
        /// The number of the node's newest batch of updates that servers have; the next ones are above it.
        pub reported: u64 = "Reported",
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

    /// What became of allocations; sent in batches, in order. A batch that comes after a newer one of its node is not taken.
    pub struct NodeAllocationUpdateRequest {
        pub node_id: NodeId = "NodeID",
        pub secret: NodeSecret = "Secret",
        pub updates: Vec<AllocationUpdate> = "Updates",
        /// Rises with every batch, the same one sent again included; zero: taken in any order.
        pub number: u64 = "Number",
    }

    /// The updates are durable, unless a newer batch was there already.
    pub struct NodeAllocationUpdateResponse {
        pub index: u64 = "Index",
        /// The number of the node's newest batch; one above the batch's own: this one was not taken.
        pub reported: u64 = "Reported",
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
        /// The node reads the lean form: see `NodeAllocations::jobs`. Earlier releases do not ask for it.
        pub lean: bool = "Lean",
    }

    /// Allocations of a node. `full` carries all of them (a resync): what is not in it is gone.
    pub struct NodeAllocations {
        pub index: u64 = "Index",
        pub full: bool = "Full",
        pub changed: Vec<AssignedAllocation> = "Changed",
        /// Allocations that the server no longer has: remove them.
        pub removed: Vec<AllocationId> = "Removed",
        /// The lean form: the job versions of `changed`, once each and encoded (`encode`), and no `job` in `changed`. The
        /// version of an allocation that the node was told of before, and that has the same one, is left out, as are the
        /// scheduler's metrics, which no node needs.
        pub jobs: Vec<Bytes> = "Jobs",
    }

    /// An allocation and the version of the job that it runs; in the lean form that is among the jobs of the message.
    pub struct AssignedAllocation {
        pub allocation: Allocation = "Allocation",
        pub job: Option<Arc<Job>> = "Job",
    }

    /// A node offers its control stream: servers reach it through that (`NodeOrder`).
    pub struct NodeControlRequest {
        pub node_id: NodeId = "NodeID",
        pub secret: NodeSecret = "Secret",
    }

    /// Who are you? Says who asks, so that both sides can tell a foreign cluster.
    pub struct ServerHelloRequest {
        /// The asking server, or none when a client asks.
        pub id: NodeId = "ID",
        pub region: Text = "Region",
        /// Asks for the promise to form a new cluster with nobody but the asking server.
        pub bootstrap: bool = "Bootstrap",
    }

    /// A server introduces itself.
    pub struct ServerHelloResponse {
        /// The id of its raft folder.
        pub id: NodeId = "ID",
        /// `NAME.REGION`.
        pub name: Text = "Name",
        pub region: Text = "Region",
        pub datacenter: Text = "Datacenter",
        /// Of the build.
        pub version: Text = "Version",
        /// `bootstrap_expect`; 0 where it is not set.
        pub expect: u32 = "Expect",
        /// The leader that it knows.
        pub leader: Option<ServerAddress> = "Leader",
        /// The servers of its raft configuration; empty before the bootstrap.
        pub members: Vec<ServerAddress> = "Members",
        /// Whether its raft log has a configuration.
        pub bootstrapped: bool = "Bootstrapped",
        /// Whether it gives the promise that was asked for.
        pub promised: bool = "Promised",
        /// The newest set of commands that it can apply; 0 of a release that does not know of sets.
        pub commands: u32 = "Commands",
    }

    /// A server and where it listens for RPC and HTTP.
    pub struct ServerAddress {
        pub id: NodeId = "ID",
        pub name: Text = "Name",
        /// `HOST:PORT` of the RPC port.
        pub rpc: Text = "RPC",
        /// `HOST:PORT` of the HTTP API, for people.
        pub http: Text = "HTTP",
        pub voter: bool = "Voter",
    }

    /// A follower wants to answer a consistent read.
    pub struct ReadIndexRequest {
    }

    /// Everything up to here was acknowledged: answer when it is applied.
    pub struct ReadIndexResponse {
        pub index: u64 = "Index",
    }

    /// A server without root keys asks for them, wrapped for its public key.
    pub struct KeyringWrapRequest {
        pub server: NodeId = "Server",
        /// The server's public wrapping key, of this request only; empty when it brings `wrapped`.
        pub public_key: Bytes = "PublicKey",
        /// The keys as its own keystore wrapped them, to be written.
        pub wrapped: Vec<WrappedKey> = "Wrapped",
    }

    /// The root keys, each wrapped for that key.
    pub struct KeyringWrapResponse {
        pub keys: Vec<WrappedKey> = "Keys",
        /// The leader's public key, of this answer only.
        pub public_key: Bytes = "PublicKey",
    }

    /// One root key, wrapped.
    pub struct WrappedKey {
        pub id: KeyId = "ID",
        pub wrapped: Bytes = "Wrapped",
    }

    /// Do you hold the control stream of this node?
    pub struct NodeHereRequest {
        pub node_id: NodeId = "NodeID",
        /// Looks whether the host of this `HOST:PORT` is alive, too; empty: does not.
        pub probe: Text = "Probe",
    }

    /// Whether the asked server holds it.
    pub struct NodeHereResponse {
        pub here: bool = "Here",
        /// The node is silent there since then; 0 where it is not.
        pub silent_since: Time = "SilentSince",
        /// What the look at the host showed: `answers`, `refuses`, `silent`; empty: nothing.
        pub reach: Text = "Reach",
    }

    /// A node's stream ended or went silent at a server.
    pub struct NodeSilentRequest {
        pub node_id: NodeId = "NodeID",
        /// When it was last heard.
        pub last_heard: Time = "LastHeard",
        /// The node's host refuses connections or closed its stream: it is alive and its agent may be restarting.
        pub closed: bool = "Closed",
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
