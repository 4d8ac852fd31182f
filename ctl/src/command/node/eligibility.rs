//! `node eligibility`: whether a node takes new allocations.

use nomadd_api::{ApiError, Request};
use nomadd_model::NodeUpdateEligibilityRequest;

use crate::command::find;
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
    let id = which(&args.node, args.own, "node eligibility", "updating scheduling eligibility", &context).await?;
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

/// The id of the node that somebody means; `doing` names what failed.
pub async fn which(
    words: &[String],
    own: bool,
    command: &str,
    doing: &str,
    context: &Context,
) -> Result<String, Failure> {
    match (words, own) {
        ([], true) => find::own_node(context).await,
        ([prefix], false) => Ok(find::node(context, prefix, Length::Full, doing, "prefix or id").await?.id.to_string()),
        _ => Err(Failure::usage("Node ID must be specified if -self isn't being used", command)),
    }
}
