//! The group `alloc`.

pub mod checks;
pub mod choose;
pub mod exec;
pub mod fs;
pub mod logs;
pub mod restart;
pub mod signal;
pub mod status;
pub mod stop;
pub mod stream;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about allocations.
#[derive(Debug, Subcommand)]
pub enum Alloc {
    /// Show the health checks of an allocation
    Checks(checks::Args),
    /// Run a command beside a task
    Exec(exec::Args),
    /// Show files of an allocation
    Fs(fs::Args),
    /// Show the output of a task
    Logs(logs::Args),
    /// Restart tasks where they are
    Restart(restart::Args),
    /// Send a signal to tasks
    Signal(signal::Args),
    /// Show everything about an allocation
    Status(status::Args),
    /// Stop an allocation; its job gets another one
    Stop(stop::Args),
}

impl Alloc {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Checks(args) => checks::run(args, context).await,
            Self::Exec(args) => exec::run(args, context).await,
            Self::Fs(args) => fs::run(args, context).await,
            Self::Logs(args) => logs::run(args, context).await,
            Self::Restart(args) => restart::run(args, context).await,
            Self::Signal(args) => signal::run(args, context).await,
            Self::Status(args) => status::run(args, context).await,
            Self::Stop(args) => stop::run(args, context).await,
        }
    }
}
