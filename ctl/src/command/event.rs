//! The group `event`: what happens in the cluster, as it happens. An addition to Nomad's commands.

pub mod stream;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about events.
#[derive(Debug, Subcommand)]
pub enum Event {
    /// Print events as they come, a line each
    Stream(stream::Args),
}

impl Event {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Stream(args) => stream::run(args, context).await,
        }
    }
}
