//! The group `eval`.

pub mod delete;
pub mod list;
pub mod status;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about evaluations.
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// Delete evaluations that nothing needs
    Delete(delete::Args),
    /// Show evaluations
    List(list::Args),
    /// Show everything about an evaluation
    Status(status::Args),
}

impl Eval {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Delete(args) => delete::run(args, context).await,
            Self::List(args) => list::run(args, context).await,
            Self::Status(args) => status::run(args, context).await,
        }
    }
}
