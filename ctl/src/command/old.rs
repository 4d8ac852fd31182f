//! Old names at the top that are still typed: `logs`, `exec`, `alloc-status`, `node-status`, `server-members` and the like.

use clap::Subcommand;

use super::{alloc, eval, node, operator, server};
use crate::context::Context;
use crate::failure::Outcome;

/// Commands under their old names.
#[derive(Debug, Subcommand)]
pub enum Old {
    /// Run a command beside a task
    Exec(alloc::exec::Args),
    /// Show files of an allocation
    Fs(alloc::fs::Args),
    /// Show the output of a task
    Logs(alloc::logs::Args),
    /// Show everything about an allocation
    #[command(hide = true)]
    AllocStatus(alloc::status::Args),
    /// Show or change which servers this agent's client speaks with
    #[command(hide = true)]
    ClientConfig(node::config::Args),
    /// Capture the state, metrics and logs of the cluster into one archive
    #[command(hide = true)]
    Debug(operator::debug::Args),
    /// Show everything about an evaluation
    #[command(hide = true)]
    EvalStatus(eval::status::Args),
    /// Move all work off a node
    #[command(hide = true)]
    NodeDrain(node::drain::Args),
    /// Show nodes, or everything about one
    #[command(hide = true)]
    NodeStatus(node::status::Args),
    /// Count a server as gone
    #[command(hide = true)]
    ServerForceLeave(server::force_leave::Args),
    /// Make this agent's server join others
    #[command(hide = true)]
    ServerJoin(server::join::Args),
    /// Show the servers
    #[command(hide = true)]
    ServerMembers(server::members::Args),
}

impl Old {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Exec(args) => alloc::exec::run(args, context).await,
            Self::Fs(args) => alloc::fs::run(args, context).await,
            Self::Logs(args) => alloc::logs::run(args, context).await,
            Self::AllocStatus(args) => alloc::status::run(args, context).await,
            Self::ClientConfig(args) => node::config::run(args, context).await,
            Self::Debug(args) => operator::debug::run(args, context).await,
            Self::EvalStatus(args) => eval::status::run(args, context).await,
            Self::NodeDrain(args) => node::drain::run(args, context).await,
            Self::NodeStatus(args) => node::status::run(args, context).await,
            Self::ServerForceLeave(args) => server::force_leave::run(args, context).await,
            Self::ServerJoin(args) => server::join::run(args, context).await,
            Self::ServerMembers(args) => server::members::run(args, context).await,
        }
    }
}
