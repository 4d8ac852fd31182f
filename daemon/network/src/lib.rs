//! The network of allocations: their namespaces, the CNI plugins that connect these, the files that name hosts and name servers,
//! and who holds which port of the host.
//!
//! Knows nothing of jobs: `client` says which mode, ports and names are wanted and hands the namespace to whoever starts
//! processes. What was set up is kept in a folder, so that another agent finds it again or takes it down.

pub mod chain;
pub mod configuration;
pub mod files;
pub mod fingerprint;
pub mod namespace;
pub mod networks;
pub mod outcome;
pub mod plugin;
pub mod ports;
mod record;
pub mod rules;

pub use configuration::{Bridge, Configuration, ConfigurationError, Hairpin};
pub use networks::{AttachError, Attachment, Config, Kept, Mode, Networks, Request};
pub use plugin::PortMapping;
