//! The group `job`, and the old short names at the top.

pub mod inspect;
pub mod resolve;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about jobs.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// Show a job as the servers keep it
    Inspect(inspect::Args),
}

impl Job {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Inspect(args) => inspect::run(args, context).await,
        }
    }
}

/// Job commands under their old names at the top.
#[derive(Debug, Subcommand)]
pub enum Old {
    /// Show a job as the servers keep it
    Inspect(inspect::Args),
}

impl Old {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Inspect(args) => inspect::run(args, context).await,
        }
    }
}
