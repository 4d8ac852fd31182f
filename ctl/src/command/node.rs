//! The group `node`.

pub mod config;
pub mod drain;
pub mod eligibility;
pub mod list;
pub mod meta;
pub mod pool;
pub mod status;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about nodes.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Show or change which servers this agent's client speaks with
    Config(config::Args),
    /// Move all work off a node
    Drain(drain::Args),
    /// Let a node take new allocations, or not
    Eligibility(eligibility::Args),
    /// Show or change a node's metadata
    #[command(subcommand)]
    Meta(meta::Meta),
    /// Look at node pools and change them
    #[command(subcommand)]
    Pool(pool::Pool),
    /// Show nodes, or everything about one
    Status(status::Args),
}

impl Node {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Config(args) => config::run(args, context).await,
            Self::Drain(args) => drain::run(args, context).await,
            Self::Eligibility(args) => eligibility::run(args, context).await,
            Self::Meta(command) => command.run(context).await,
            Self::Pool(command) => command.run(context).await,
            Self::Status(args) => status::run(args, context).await,
        }
    }
}
