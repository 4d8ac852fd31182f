//! What a server does: the endpoints, and on the leader the broker, the plan applier, the watch over nodes and deployments, and
//! garbage collection.
//!
//! Each endpoint is a module of functions that take the `Server`, the `Caller` and a request noun. Decisions are pure
//! (`broker`, `blocked`, `liveness`, `duty::*`'s decisions, `search`); what is around them performs them.
//! Called by `http` for people and by nodes through `nodes::NodeService`.

mod applier;
pub mod autopilot;
mod batch;
pub mod blocked;
pub mod broker;
mod caller;
pub mod cluster;
pub mod config;
mod duty;
mod error;
mod evaluation;
mod liveness;
pub mod members;
pub mod peers;
pub mod queue;
mod remote;
mod reschedule;
mod server;
mod streams;
mod surface;
mod worker;

pub mod allocations;
pub mod deployments;
pub mod evaluations;
pub mod events;
pub mod jobs;
pub mod keyring;
pub mod namespaces;
pub mod node_pools;
pub mod nodes;
pub mod operator;
pub mod search;
pub mod status;
pub mod system;

pub use caller::{Caller, Rights};
pub use config::Config;
pub use error::{Answer, EndpointError};
pub use server::{Server, StartError};
pub use streams::Streams;
pub use surface::{ServeHttp, Surface};
