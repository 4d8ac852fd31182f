//! The group `job tag`: names for versions, which keep them from being forgotten.

pub mod apply;
pub mod unset;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command about tags.
#[derive(Debug, Subcommand)]
pub enum Tag {
    /// Name a version of a job
    Apply(apply::Args),
    /// Take the name of a version away
    Unset(unset::Args),
}

impl Tag {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Apply(args) => apply::run(args, context).await,
            Self::Unset(args) => unset::run(args, context).await,
        }
    }
}
