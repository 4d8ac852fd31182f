//! The group `deployment`.

pub mod change;
pub mod list;
pub mod promote;
pub mod status;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;
use change::Change;

/// A command about deployments.
#[derive(Debug, Subcommand)]
pub enum Deployment {
    /// Give a deployment up
    Fail(change::Args),
    /// Show deployments
    List(list::Args),
    /// Hold a deployment until it is resumed
    Pause(change::Args),
    /// Let the canaries become the new version
    Promote(promote::Args),
    /// Let a paused deployment go on
    Resume(change::Args),
    /// Show everything about a deployment
    Status(status::Args),
    /// Let a deployment that waits for other regions go on
    Unblock(change::Args),
}

impl Deployment {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Fail(args) => change::run(args, Change::Fail, context).await,
            Self::List(args) => list::run(args, context).await,
            Self::Pause(args) => change::run(args, Change::Pause, context).await,
            Self::Promote(args) => promote::run(args, context).await,
            Self::Resume(args) => change::run(args, Change::Resume, context).await,
            Self::Status(args) => status::run(args, context).await,
            Self::Unblock(args) => change::run(args, Change::Unblock, context).await,
        }
    }
}
