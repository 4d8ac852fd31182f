//! The harness: agents of the real binaries on free ports, nomadctl, and waiting for conditions.

#![expect(clippy::expect_used, reason = "a harness that cannot go on fails its test")]

pub mod agent;
pub mod cluster;
pub mod ctl;
pub mod hosts;
pub mod image;
pub mod lab;
pub mod load;
pub mod machine;
pub mod nodes;
pub mod process;
pub mod wait;

pub use agent::Agent;
pub use cluster::Cluster;
pub use wait::until;
