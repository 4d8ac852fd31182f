//! `node config`: which servers this agent's client speaks with.

use nomadd_api::Request;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Show or change.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show the servers
    #[arg(long)]
    servers: bool,
    /// Replace the servers by those given
    #[arg(long)]
    update_servers: bool,
    /// Addresses of servers
    addresses: Vec<String>,
}

/// Does it.
pub async fn run(args: Args, context: Context) -> Outcome {
    if args.update_servers {
        if args.addresses.is_empty() {
            return Err(Failure::usage("One or more server addresses must be given", "node config"));
        }
        let request = args
            .addresses
            .iter()
            .fold(Request::put("/v1/agent/servers"), |request, address| request.query("address", address));
        context.client.bytes(request).await.map_err(|error| Failure::request("updating server list", &error))?;
        return Ok(0);
    }
    if args.servers {
        let answer = context.client.call::<Option<Vec<String>>>(Request::get("/v1/agent/servers")).await;
        let servers = answer.map_err(|error| Failure::request("querying server list", &error))?.value;
        servers.unwrap_or_default().iter().for_each(|server| println!("{server}"));
        return Ok(0);
    }
    Err(Failure::usage("The '-servers' or '-update-servers' flag(s) must be set", "node config"))
}
