//! The group `system`: housekeeping on demand.

use clap::Subcommand;
use nomadd_api::Request;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// A command about the whole system.
#[derive(Debug, Subcommand)]
pub enum System {
    /// Collect what is over and kept for nobody
    Gc,
    /// Count anew what is counted
    #[command(subcommand)]
    Reconcile(Reconcile),
}

/// What is counted anew.
#[derive(Debug, Subcommand)]
pub enum Reconcile {
    /// The summaries of all jobs
    Summaries,
}

impl System {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        let (path, doing) = match self {
            Self::Gc => ("/v1/system/gc", "running system garbage-collection"),
            Self::Reconcile(Reconcile::Summaries) => {
                ("/v1/system/reconcile/summaries", "running system summary reconciliation")
            }
        };
        context.client.bytes(Request::put(path)).await.map_err(|error| Failure::request(doing, &error))?;
        Ok(0)
    }
}
