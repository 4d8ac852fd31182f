//! The methods: their names on the wire, who may call them, whether they are calls or subscriptions, how large a request
//! may be.
//!
//! The listener checks all of that before a `Service` sees a call; the service checks node secrets.

use crate::peer::Role;

macro_rules! methods {
    ($( $(#[$meta:meta])* $name:ident = $text:literal, $kind:ident, $roles:expr, $limit:expr; )*) => {
        /// What can be asked of a server (subscriptions included).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum Method { $( $(#[$meta])* $name, )* }

        impl Method {
            /// Every method.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// The name on the wire.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $text),* } }
            /// Whether it is a call or a subscription.
            pub const fn kind(self) -> Kind { match self { $(Self::$name => Kind::$kind),* } }
            /// The roles that may call it.
            pub const fn roles(self) -> &'static [Role] { match self { $(Self::$name => $roles),* } }
            /// The largest request, in bytes.
            pub const fn request_limit(self) -> usize { match self { $(Self::$name => $limit),* } }
            /// The method of a name on the wire.
            pub fn from_name(name: &str) -> Option<Self> { match name { $($text => Some(Self::$name),)* _ => None } }
        }
    };
}

/// How a method answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Once.
    Call,
    /// With a stream of messages.
    Subscription,
}

/// Servers run clients, too, and those present the server's certificate.
const ANY: &[Role] = &[Role::Client, Role::Server];
const SERVERS: &[Role] = &[Role::Server];
const SMALL: usize = 1 << 20;
const NODE: usize = 8 << 20;
const LARGE: usize = crate::codec::MAX_MESSAGE;

methods! {
    /// `NodeRegisterRequest` → `NodeRegisterResponse`.
    NodeRegister = "node-register", Call, ANY, NODE;
    /// `NodeHeartbeatRequest` → `NodeHeartbeatResponse`.
    NodeHeartbeat = "node-heartbeat", Call, ANY, SMALL;
    /// `NodeAllocationUpdateRequest` → `NodeAllocationUpdateResponse`; a batch is applied whole before it is answered.
    NodeUpdateAllocations = "node-update-allocations", Call, ANY, LARGE;
    /// `NodeEventsRequest` → `Acknowledged`.
    NodeEvents = "node-events", Call, ANY, NODE;
    /// A subscription: `NodeAllocationsRequest` → a stream of `NodeAllocations`.
    NodeAllocations = "node-allocations", Subscription, ANY, SMALL;
    /// A subscription: `NodeControlRequest` → a stream of `NodeOrder`; it is how servers reach a node.
    NodeControl = "node-control", Subscription, ANY, SMALL;
    /// Entries of the log, as the raft room encodes them.
    RaftAppend = "raft-append", Call, SERVERS, LARGE;
    /// A candidate asks for a vote.
    RaftVote = "raft-vote", Call, SERVERS, SMALL;
    /// A would-be candidate asks whether it would get one.
    RaftPreVote = "raft-pre-vote", Call, SERVERS, SMALL;
    /// A piece of a snapshot.
    RaftSnapshot = "raft-snapshot", Call, SERVERS, LARGE;
    /// The leader hands over.
    RaftTransfer = "raft-transfer", Call, SERVERS, SMALL;
    /// `ServerHelloRequest` → `ServerHelloResponse`: who are you?
    ServerHello = "server-hello", Call, ANY, SMALL;
    /// `ReadIndexRequest` → `ReadIndexResponse`: the leader answers an applied index.
    ReadIndex = "read-index", Call, SERVERS, SMALL;
    /// A worker's plan, for the leader's applier.
    PlanSubmit = "plan-submit", Call, SERVERS, LARGE;
    /// A worker asks the leader's broker for an evaluation.
    EvaluationDequeue = "evaluation-dequeue", Call, SERVERS, SMALL;
    /// A worker is done with an evaluation.
    EvaluationAcknowledge = "evaluation-acknowledge", Call, SERVERS, SMALL;
    /// A worker could not process an evaluation.
    EvaluationRefuse = "evaluation-refuse", Call, SERVERS, SMALL;
    /// A worker's changed and new evaluations.
    EvaluationsWrite = "evaluations-write", Call, SERVERS, LARGE;
    /// `KeyringWrapRequest` → `KeyringWrapResponse`: the leader wraps the root keys for a new server.
    KeyringWrap = "keyring-wrap", Call, SERVERS, SMALL;
    /// `NodeHereRequest` → `NodeHereResponse`: do you hold the control stream of this node?
    NodeHere = "node-here", Call, SERVERS, SMALL;
    /// `NodeSilentRequest` → `Acknowledged`: a server tells the leader that a node's stream went silent.
    NodeSilent = "node-silent", Call, SERVERS, SMALL;
}

impl Method {
    /// Whether servers of other regions may call it.
    pub const fn crosses_regions(self) -> bool {
        matches!(self, Self::ServerHello)
    }
}
impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
