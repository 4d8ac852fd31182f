//! `server join`: makes this agent's server join others.

use nomadd_api::Request;
use serde_json::Value;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Whom to join.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Addresses of servers
    addresses: Vec<String>,
}

/// Joins them.
pub async fn run(args: Args, context: Context) -> Outcome {
    if args.addresses.is_empty() {
        return Err(Failure::usage("One or more node addresses must be given as arguments", "server join"));
    }
    let request = args
        .addresses
        .iter()
        .fold(Request::put("/v1/agent/join"), |request, address| request.query("address", address));
    let answer = context.client.call::<Value>(request).await;
    let answer = answer.map_err(|error| Failure::request("joining", &error))?.value;
    if let Some(error) = answer["error"].as_str().filter(|error| !error.is_empty()) {
        return Err(Failure::new(format!("Error joining: {error}")));
    }
    println!("Joined {} servers successfully", answer["num_joined"].as_u64().unwrap_or_default());
    Ok(0)
}
