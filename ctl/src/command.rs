//! The tree of commands. A group is an enum in its own file, a command a file of its own below its group.
//!
//! Every command has `Args` (what clap reads) and `run` (what it does); groups only pass on.

pub mod agent;
pub mod agent_info;
pub mod alloc;
pub mod arguments;
pub mod completions;
pub mod confirm;
pub mod deployment;
pub mod doctor;
pub mod eval;
pub mod event;
pub mod find;
pub mod job;
pub mod man;
pub mod monitor;
pub mod namespace;
pub mod node;
pub mod old;
pub mod operator;
pub mod server;
pub mod status;
pub mod system;
pub mod tls;
pub mod ui;
pub mod version;

use clap::Subcommand;

use crate::context::{Context, Needs};
use crate::failure::Outcome;

/// A command or group at the top.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run, change, look at and stop jobs
    #[command(subcommand)]
    Job(job::Job),
    /// Show what the agent counts and knows of itself
    AgentInfo(agent_info::Args),
    /// Look at allocations and into them
    #[command(subcommand)]
    Alloc(alloc::Alloc),
    /// Look at deployments and change them
    #[command(subcommand)]
    Deployment(deployment::Deployment),
    /// Check whether this host can run an agent and tasks, and say how to repair what is missing
    Doctor(doctor::Args),
    /// Look at evaluations
    #[command(subcommand)]
    Eval(eval::Eval),
    /// Follow what happens in the cluster
    #[command(subcommand)]
    Event(event::Event),
    /// Show the agent's log as it is written
    Monitor(monitor::Args),
    /// Look at namespaces and change them
    #[command(subcommand)]
    Namespace(namespace::Namespace),
    /// Look at nodes and change them
    #[command(subcommand)]
    Node(node::Node),
    /// Run the cluster: raft, scheduler, snapshots, keys, any API call
    #[command(subcommand)]
    Operator(operator::Operator),
    /// Look at servers and change them
    #[command(subcommand)]
    Server(server::Server),
    /// Show all jobs, or whatever an id means
    Status(status::Args),
    /// Collect garbage and count anew
    #[command(subcommand)]
    System(system::System),
    /// Make and look at certificates for the cluster
    #[command(subcommand)]
    Tls(tls::Tls),
    /// Print the address of the web UI
    Ui(ui::Args),
    /// Print the versions of this program and of Nomad's interface
    Version(version::Args),
    /// Write shell completions to standard output
    #[command(hide = true)]
    Completions(completions::Args),
    /// Write man pages into a folder
    #[command(hide = true)]
    Man(man::Args),
    #[command(flatten)]
    Old(job::Old),
    #[command(flatten)]
    Others(old::Old),
}

impl Command {
    /// Whether it asks an agent.
    pub fn needs(&self) -> Needs {
        match self {
            Self::Doctor(_) | Self::Tls(_) | Self::Version(_) | Self::Completions(_) | Self::Man(_) => Needs::Nobody,
            _ => Needs::Agent,
        }
    }
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Job(command) => command.run(context).await,
            Self::AgentInfo(args) => agent_info::run(args, context).await,
            Self::Alloc(command) => command.run(context).await,
            Self::Deployment(command) => command.run(context).await,
            Self::Doctor(args) => doctor::run(args),
            Self::Eval(command) => command.run(context).await,
            Self::Event(command) => command.run(context).await,
            Self::Monitor(args) => monitor::run(args, context).await,
            Self::Namespace(command) => command.run(context).await,
            Self::Node(command) => command.run(context).await,
            Self::Operator(command) => command.run(context).await,
            Self::Server(command) => command.run(context).await,
            Self::Status(args) => status::run(args, context).await,
            Self::System(command) => command.run(context).await,
            Self::Tls(command) => command.run(context).await,
            Self::Ui(args) => ui::run(args, context).await,
            Self::Version(args) => version::run(args, context).await,
            Self::Completions(args) => completions::run(args),
            Self::Man(args) => man::run(args),
            Self::Old(command) => command.run(context).await,
            Self::Others(command) => command.run(context).await,
        }
    }
}
