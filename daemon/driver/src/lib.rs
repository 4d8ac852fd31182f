//! From a task's `config` block to what is run: one file per driver, all behind the registry.
//!
//! A driver checks its configuration strictly and yields a process for the supervisor, or (mock_driver) a task that
//! lives in this process. It starts nothing by itself and knows no allocation runner; `client` calls it.

mod denied;
pub mod docker;
pub mod exec;
mod isolation;
pub mod java;
pub mod mock;
pub mod qemu;
pub mod raw_exec;
pub mod registry;
pub mod schema;
pub mod task;
#[cfg(test)]
mod testing;

pub use docker::DockerConfig;
pub use isolation::IsolationConfig;
pub use mock::MockSpec;
pub use qemu::QemuConfig;
pub use raw_exec::RawExecConfig;
pub use registry::{Capabilities, DriverConfig, Fingerprint, Launch, PrepareError, Registry};
pub use schema::ConfigError;
pub use task::{TaskContext, TaskNetwork, TaskVolume};
