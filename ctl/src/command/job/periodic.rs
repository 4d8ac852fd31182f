//! The group `job periodic`.

pub mod force;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about jobs that the clock launches.
#[derive(Debug, Subcommand)]
pub enum Periodic {
    /// Launch a periodic job now
    Force(force::Args),
}

impl Periodic {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Force(args) => force::run(args, context).await,
        }
    }
}
