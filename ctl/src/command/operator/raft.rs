//! `operator raft`: the servers of the raft configuration.

use clap::Subcommand;
use nomadd_api::{ApiError, Request};
use nomadd_model::{RaftConfiguration, RaftServer};

use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::output::Output;
use crate::table::Table;

/// A command about the raft servers.
#[derive(Debug, Subcommand)]
pub enum Raft {
    /// Show the servers
    ListPeers(List),
    /// Remove a server that will not come back
    RemovePeer(Peer),
    /// Make another server the leader
    TransferLeadership(Peer),
}

/// How the servers are asked.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Any server may answer, even without a leader
    #[arg(long)]
    stale: bool,
    #[command(flatten)]
    output: Output,
}

/// Which server.
#[derive(Debug, clap::Args)]
pub struct Peer {
    /// Its raft address, such as 10.0.0.1:4647
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    peer_address: String,
    /// Its id
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    peer_id: String,
}

impl Raft {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::ListPeers(args) => list(args, &context).await,
            Self::RemovePeer(args) => remove(args, &context).await,
            Self::TransferLeadership(args) => transfer(args, &context).await,
        }
    }
}

async fn list(args: List, context: &Context) -> Outcome {
    let failed = |error: ApiError| Failure::new(format!("Failed to retrieve raft configuration: {}", chain(&error)));
    let request = Request::get("/v1/operator/raft/configuration").query("stale", if args.stale { "true" } else { "" });
    let value = context.client.call::<serde_json::Value>(request).await.map_err(failed)?.value;
    if let Some(text) = args.output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    let found: RaftConfiguration = serde_json::from_value(value).map_err(|error| failed(ApiError::Decode(error)))?;
    println!("{}", table(&found.servers));
    Ok(0)
}

fn table(servers: &[RaftServer]) -> String {
    let mut table = Table::new(&["Node", "ID", "Address", "State", "Voter", "RaftProtocol"]);
    for server in servers {
        let state = if server.leader { "leader" } else { "follower" };
        let protocol = if server.raft_protocol.is_empty() { "unknown" } else { &server.raft_protocol };
        let voter = server.voter.to_string();
        table.row([&server.node, &server.id, &server.address, state, &voter, protocol]);
    }
    table.text()
}

/// The parameter that names a server, and how people are told.
fn named<'a>(args: &'a Peer, command: &str) -> Result<(&'static str, &'a str), Failure> {
    match (args.peer_id.as_str(), args.peer_address.as_str()) {
        ("", "") => Err(Failure::usage("Either '-peer-address' or '-peer-id' must be given", command)),
        (id, "") => Ok(("id", id)),
        ("", address) => Ok(("address", address)),
        _ => Err(Failure::usage("Only one of '-peer-address' and '-peer-id' may be given", command)),
    }
}

async fn remove(args: Peer, context: &Context) -> Outcome {
    let (name, value) = named(&args, "operator raft remove-peer")?;
    let request = Request::delete("/v1/operator/raft/peer").query(name, value);
    let removed = context.client.bytes(request).await;
    removed.map_err(|error| Failure::request("removing raft peer", &error))?;
    println!("Removed peer with {name} {value:?}");
    Ok(0)
}

async fn transfer(args: Peer, context: &Context) -> Outcome {
    let (name, value) = named(&args, "operator raft transfer-leadership")?;
    let request = Request::put("/v1/operator/raft/transfer-leadership").query(name, value);
    let moved = context.client.bytes(request).await;
    moved.map_err(|error| Failure::request("transferring leadership", &error))?;
    println!("Transferred leadership to peer with {name} {value:?}");
    Ok(0)
}
