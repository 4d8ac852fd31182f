//! The group `job`, and the old short names at the top.

pub mod allocs;
pub mod deployments;
pub mod dispatch;
pub mod eval;
pub mod fate;
pub mod history;
pub mod init;
pub mod inspect;
pub mod logs;
pub mod periodic;
pub mod plan;
pub mod promote;
pub mod read;
pub mod resolve;
pub mod restart;
pub mod revert;
pub mod run;
pub mod scale;
pub mod scaling_events;
pub mod start;
pub mod status;
pub mod stop;
pub mod tag;
pub mod validate;
pub mod why;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about jobs.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// Show the allocations of a job
    Allocs(allocs::Args),
    /// Show the deployments of a job
    Deployments(deployments::Args),
    /// Run a parameterized job with values
    Dispatch(dispatch::Args),
    /// Let the scheduler look at a job again
    Eval(eval::Args),
    /// Show the versions of a job that are kept
    History(history::Args),
    /// Write an example job file
    Init(init::Args),
    /// Show a job as the servers keep it
    Inspect(inspect::Args),
    /// Show the logs of all allocations of a job
    Logs(logs::Args),
    /// Jobs that the clock launches
    #[command(subcommand)]
    Periodic(periodic::Periodic),
    /// Show what a job would change, without changing anything
    Plan(plan::Args),
    /// Make the canaries of a job its new version
    Promote(promote::Args),
    /// Restart the tasks of a job, or move its allocations
    Restart(restart::Args),
    /// Return to an earlier version of a job
    Revert(revert::Args),
    /// Run a new job, or change one that runs
    Run(run::Args),
    /// Change the count of a group
    Scale(scale::Args),
    /// Show who changed counts, and when
    ScalingEvents(scaling_events::Args),
    /// Start a stopped job
    Start(start::Args),
    /// Show jobs, or everything about one
    Status(status::Args),
    /// Stop jobs
    Stop(stop::Args),
    /// Names for versions
    #[command(subcommand)]
    Tag(tag::Tag),
    /// Check a job file
    Validate(validate::Args),
    /// Say why something of a job is not placed or not running
    Why(why::Args),
}

impl Job {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Allocs(args) => allocs::run(args, context).await,
            Self::Deployments(args) => deployments::run(args, context).await,
            Self::Dispatch(args) => dispatch::run(args, context).await,
            Self::Eval(args) => eval::run(args, context).await,
            Self::History(args) => history::run(args, context).await,
            Self::Init(args) => init::run(args, context).await,
            Self::Inspect(args) => inspect::run(args, context).await,
            Self::Logs(args) => logs::run(args, context).await,
            Self::Periodic(command) => command.run(context).await,
            Self::Plan(args) => plan::run(args, context).await,
            Self::Promote(args) => promote::run(args, context).await,
            Self::Restart(args) => restart::run(args, context).await,
            Self::Revert(args) => revert::run(args, context).await,
            Self::Run(args) => run::run(args, context).await,
            Self::Scale(args) => scale::run(args, context).await,
            Self::ScalingEvents(args) => scaling_events::run(args, context).await,
            Self::Start(args) => start::run(args, context).await,
            Self::Status(args) => status::run(args, context).await,
            Self::Stop(args) => stop::run(args, context).await,
            Self::Tag(command) => command.run(context).await,
            Self::Validate(args) => validate::run(args, context).await,
            Self::Why(args) => why::run(args, context).await,
        }
    }
}

/// Job commands under their old names at the top.
#[derive(Debug, Subcommand)]
pub enum Old {
    /// Write an example job file
    Init(init::Args),
    /// Show a job as the servers keep it
    Inspect(inspect::Args),
    /// Show what a job would change, without changing anything
    Plan(plan::Args),
    /// Run a new job, or change one that runs
    Run(run::Args),
    /// Start a stopped job
    Start(start::Args),
    /// Stop jobs
    Stop(stop::Args),
    /// Check a job file
    Validate(validate::Args),
}

impl Old {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Init(args) => init::run(args, context).await,
            Self::Inspect(args) => inspect::run(args, context).await,
            Self::Plan(args) => plan::run(args, context).await,
            Self::Run(args) => run::run(args, context).await,
            Self::Start(args) => start::run(args, context).await,
            Self::Stop(args) => stop::run(args, context).await,
            Self::Validate(args) => validate::run(args, context).await,
        }
    }
}
