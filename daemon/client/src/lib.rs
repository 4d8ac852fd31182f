//! What a node does: finds out what the host has, registers, runs the allocations that servers give it, says what became
//! of them, and serves their files, logs, usage and exec sessions.
//!
//! `Client` is the handle that `http` and the binary hold. Decisions are pure state machines in `allocation`; processes are
//! the `supervisor`'s, their configuration the `driver`'s. An unreachable server never stops a task.

pub mod allocation;
pub mod client;
pub mod config;
mod context;
mod control;
pub mod directory;
pub mod environment;
pub mod exec;
pub mod fingerprint;
pub mod fs;
pub mod gc;
pub mod identity;
#[cfg(test)]
mod kept;
pub mod metadata;
mod server;
pub mod servers;
pub mod stats;
pub mod store;
#[cfg(test)]
mod testing;
mod updates;

pub use allocation::shared::RequestError;
pub use client::{Client, StartError};
pub use config::{ClientConfig, Family, GcConfig, HostNetwork, HostVolume, Loopback, NetworkConfig, Reach, Reserved};
pub use control::ServeTunnel;
pub use metadata::{Metadata, MetadataError};
pub use nomadd_network::{Bridge, Hairpin};
pub use nomadd_supervisor::{Choice as SupervisorChoice, Journal};
