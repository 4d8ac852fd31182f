//! The job as written: everything optional, Nomad's JSON, what `job run -output` prints.
//!
//! Made by `jobspec` and by the API's decoder. `Job::fill_defaults` gives Nomad's client-side canonical form;
//! `crate::canonicalize` makes the canonical `crate::Job` that servers keep.

mod connect;
mod defaults;
mod group;
mod job;
mod resources;
mod service;
mod task;

pub use connect::*;
pub use group::*;
pub use job::*;
pub use resources::*;
pub use service::*;
pub use task::*;
