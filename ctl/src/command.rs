//! The tree of commands. A group is an enum in its own file, a command a file of its own below its group.
//!
//! Every command has `Args` (what clap reads) and `run` (what it does); groups only pass on.

pub mod agent;
pub mod arguments;
pub mod completions;
pub mod confirm;
pub mod job;
pub mod man;
pub mod version;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command or group at the top.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run, change, look at and stop jobs
    #[command(subcommand)]
    Job(job::Job),
    /// Print the versions of this program and of Nomad's interface
    Version(version::Args),
    /// Write shell completions to standard output
    #[command(hide = true)]
    Completions(completions::Args),
    /// Write man pages into a folder
    #[command(hide = true)]
    Man(man::Args),
    #[command(flatten)]
    Old(job::Old),
}

impl Command {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Job(command) => command.run(context).await,
            Self::Version(args) => version::run(args, context).await,
            Self::Completions(args) => completions::run(args),
            Self::Man(args) => man::run(args),
            Self::Old(command) => command.run(context).await,
        }
    }
}
