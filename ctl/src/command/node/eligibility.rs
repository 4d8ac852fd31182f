//! `node eligibility`: whether a node takes new allocations.

use nomadd_api::{ApiError, Request};
use nomadd_model::NodeUpdateEligibilityRequest;

use crate::command::{arguments, find};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::text::Length;

/// Which node, and whether.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node's id or the beginning of it
    node: Vec<String>,
    /// It takes no new allocations
    #[arg(long)]
    disable: bool,
    /// It takes new allocations
    #[arg(long)]
    enable: bool,
    /// This agent's own node
    #[arg(long = "self")]
    own: bool,
}

/// Sets it.
pub async fn run(args: Args, context: Context) -> Outcome {
    if args.enable == args.disable {
        return Err(Failure::usage("Either the '-enable' or '-disable' flag must be set", "node eligibility"));
    }
    let id = which(&args.node, args.own, "node eligibility", &context).await?;
    let (word, text) = match args.enable {
        true => ("eligible", "eligible for scheduling"),
        false => ("ineligible", "ineligible for scheduling"),
    };
    let body = NodeUpdateEligibilityRequest { eligibility: word.to_owned(), node_id: id.clone() };
    let failed = |error: ApiError| Failure::request("updating scheduling eligibility", &error);
    let request = Request::put(format!("/v1/node/{id}/eligibility")).json(&body).map_err(failed)?;
    context.client.bytes(request).await.map_err(failed)?;
    println!("Node {id:?} scheduling eligibility set: {text}");
    Ok(0)
}

/// The id of the node that somebody means.
pub async fn which(words: &[String], own: bool, command: &str, context: &Context) -> Result<String, Failure> {
    if own && words.is_empty() {
        return find::own_node(context).await;
    }
    let prefix = arguments::one(words, "<node-id>", command)?;
    let found = find::node(context, prefix, Length::Full, "retrieving node info", "prefix or id").await?;
    Ok(found.id.to_string())
}
