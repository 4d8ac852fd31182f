//! The harness: agents of the real binaries on free ports, nomadctl, and waiting for conditions.

pub mod agent;
pub mod ctl;
pub mod process;
pub mod wait;

pub use agent::Agent;
pub use wait::until;
