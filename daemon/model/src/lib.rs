//! The nouns of nomadd: jobs, nodes, allocations, evaluations, deployments, and what is said about them.
//!
//! Owns the types and both their encodings (the API's JSON and the stored MessagePack) from one definition each. Pure: no
//! clock, no randomness, no I/O. Every other room uses it; it uses none.

pub mod field;
mod noun;
pub mod small_map;
pub mod value;

pub mod agent;
pub mod allocation;
pub mod autopilot;
pub mod canonicalize;
pub mod deployment;
pub mod diff;
pub mod evaluation;
pub mod group;
pub mod job;
pub mod metric;
pub mod node;
pub mod plan;
pub mod registration;
pub mod request;
pub mod resources;
pub mod secret;
pub mod service;
pub mod spec;
pub mod stub;
pub mod submission;
pub mod summary;
pub mod task;
pub mod task_state;
pub mod update;
pub mod usage;
pub mod volume;
pub mod word;

pub use agent::*;
pub use allocation::*;
pub use autopilot::*;
pub use deployment::*;
pub use evaluation::*;
pub use group::*;
pub use job::*;
pub use metric::*;
pub use node::*;
pub use plan::*;
pub use registration::*;
pub use request::*;
pub use resources::*;
pub use secret::SecretId;
pub use service::*;
pub use small_map::SmallMap;
pub use stub::*;
pub use submission::*;
pub use summary::*;
pub use task::*;
pub use task_state::{TaskEvent, TaskState, detail};
pub use usage::*;
pub use value::*;
pub use volume::*;
pub use word::*;
