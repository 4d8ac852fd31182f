//! The group `operator`.

pub mod api;
pub mod autopilot;
pub mod debug;
pub mod gossip;
pub mod keyring;
pub mod metrics;
pub mod raft;
pub mod scheduler;
pub mod snapshot;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A command for whoever runs the cluster.
#[derive(Debug, Subcommand)]
pub enum Operator {
    /// Send any request to the agent's HTTP API
    Api(api::Args),
    /// Look at how servers take care of each other
    #[command(subcommand)]
    Autopilot(autopilot::Autopilot),
    /// Capture the state, metrics and logs of the cluster into one archive
    Debug(debug::Args),
    /// Look at the keys of gossip and change them
    #[command(subcommand)]
    Gossip(gossip::Gossip),
    /// Show the agent's metrics
    Metrics(metrics::Args),
    /// Look at the raft servers and change them
    #[command(subcommand)]
    Raft(raft::Raft),
    /// Look at the cluster's own keys
    #[command(subcommand)]
    Root(keyring::Root),
    /// Look at how the scheduler works and change it
    #[command(subcommand)]
    Scheduler(scheduler::Scheduler),
    /// Save and restore the cluster's state
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
}

impl Operator {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Api(args) => api::run(args, context).await,
            Self::Autopilot(command) => command.run(context).await,
            Self::Debug(args) => debug::run(args, context).await,
            Self::Gossip(command) => command.run(context).await,
            Self::Metrics(args) => metrics::run(args, context).await,
            Self::Raft(command) => command.run(context).await,
            Self::Root(command) => command.run(context).await,
            Self::Scheduler(command) => command.run(context).await,
            Self::Snapshot(command) => command.run(context).await,
        }
    }
}
