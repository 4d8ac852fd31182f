//! The group `server`.

pub mod force_leave;
pub mod join;
pub mod members;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about servers.
#[derive(Debug, Subcommand)]
pub enum Server {
    /// Count a server as gone
    ForceLeave(force_leave::Args),
    /// Make this agent's server join others
    Join(join::Args),
    /// Show the servers
    Members(members::Args),
}

impl Server {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::ForceLeave(args) => force_leave::run(args, context).await,
            Self::Join(args) => join::run(args, context).await,
            Self::Members(args) => members::run(args, context).await,
        }
    }
}
