//! The resources of the API, one file each: decode, ask, answer.

pub mod agent;
pub mod allocations;
pub mod client;
pub mod deployments;
pub mod evaluations;
pub mod events;
pub mod exec;
pub mod files;
pub mod host;
pub mod jobs;
pub mod logs;
pub mod metrics;
pub mod namespaces;
pub mod node_pools;
pub mod nodes;
pub mod operator;
pub mod scaling;
pub mod search;
pub mod status;
pub mod system;
