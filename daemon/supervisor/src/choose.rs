//! Which supervisor a host gets: systemd's where it can be, the direct one elsewhere, or the one that the operator names.

use std::sync::Arc;

use nomadd_runtime::Runtime;

use crate::direct::{Config, Direct, SetupError};
use crate::process::Supervisor;
use crate::systemd::{Systemd, SystemdError};

/// What the operator says (`client.supervisor`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// systemd's where the host was booted with systemd, its bus can be reached and the agent is root; else the direct one.
    #[default]
    Auto,
    /// systemd's or none.
    Systemd,
    /// The direct one.
    Direct,
}

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// Of either kind.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The operator wants systemd's, and it cannot be.
    #[error("the configuration says supervisor = \"systemd\"")]
    Systemd(#[source] SystemdError),
}

/// Sets a supervisor up.
pub async fn choose(choice: Choice, config: &Config, runtime: Runtime) -> Result<Arc<dyn Supervisor>, ChooseError> {
    if choice != Choice::Direct {
        match Systemd::connect(config, runtime.clone()).await {
            Ok(systemd) => return Ok(Arc::new(systemd)),
            Err(error) if choice == Choice::Systemd => return Err(ChooseError::Systemd(error)),
            Err(reason @ (SystemdError::NotBooted | SystemdError::NotRoot)) => {
                tracing::debug!(%reason, "tasks are not units of systemd");
            }
            Err(error) => {
                let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%error, reason, "tasks are not units of systemd, though this host has it");
            }
        }
    }
    Ok(Arc::new(Direct::new(config, runtime)?))
}
