//! The group `job`, and the old short names at the top.

pub mod fate;
pub mod inspect;
pub mod plan;
pub mod resolve;
pub mod run;
pub mod stop;
pub mod validate;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about jobs.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// Show a job as the servers keep it
    Inspect(inspect::Args),
    /// Show what a job would change, without changing anything
    Plan(plan::Args),
    /// Run a new job, or change one that runs
    Run(run::Args),
    /// Stop jobs
    Stop(stop::Args),
    /// Check a job file
    Validate(validate::Args),
}

impl Job {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Inspect(args) => inspect::run(args, context).await,
            Self::Plan(args) => plan::run(args, context).await,
            Self::Run(args) => run::run(args, context).await,
            Self::Stop(args) => stop::run(args, context).await,
            Self::Validate(args) => validate::run(args, context).await,
        }
    }
}

/// Job commands under their old names at the top.
#[derive(Debug, Subcommand)]
pub enum Old {
    /// Show a job as the servers keep it
    Inspect(inspect::Args),
    /// Show what a job would change, without changing anything
    Plan(plan::Args),
    /// Run a new job, or change one that runs
    Run(run::Args),
    /// Stop jobs
    Stop(stop::Args),
    /// Check a job file
    Validate(validate::Args),
}

impl Old {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Inspect(args) => inspect::run(args, context).await,
            Self::Plan(args) => plan::run(args, context).await,
            Self::Run(args) => run::run(args, context).await,
            Self::Stop(args) => stop::run(args, context).await,
            Self::Validate(args) => validate::run(args, context).await,
        }
    }
}
