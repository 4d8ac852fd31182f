//! `alloc status`: everything about one allocation.

use std::collections::BTreeMap;

use nomadd_api::{ApiError, Client, Request};
use nomadd_model::{AllocCheckStatus, AllocResourceUsage, Allocation, Evaluation};
use serde_json::Value;

use super::choose;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::hint;
use crate::output::Output;
use crate::text::{self, Length};

pub mod block;
pub mod details;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The allocation's id or the beginning of it
    allocation: Vec<String>,
    /// Only the last event of each task
    #[arg(long)]
    short: bool,
    /// All that is known of the use of resources
    #[arg(long)]
    stats: bool,
    /// Whole ids, times and the scores of the placement
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// An allocation and what is known around it.
#[derive(Debug, Default)]
pub struct Whole {
    /// The allocation.
    pub allocation: Allocation,
    /// Its job as the servers say it.
    pub job: Value,
    /// What it uses, when somebody answered that.
    pub usage: Option<AllocResourceUsage>,
    /// The evaluation that tries it again later.
    pub followup: Option<Evaluation>,
    /// The results of its checks.
    pub checks: BTreeMap<String, AllocCheckStatus>,
}

/// Shows it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = match args.allocation.as_slice() {
        [prefix] => prefix,
        [] if args.output.is_raw() => return list(&args, &context).await,
        _ => {
            let text = "This command takes one of the following argument conditions:\n * A single <allocation>\n * No arguments, with output format specified";
            return Err(Failure::usage(text, "alloc status"));
        }
    };
    show(&args, prefix, &context).await
}

/// The same for `status`, which knows only the id.
pub async fn of(prefix: &str, verbose: bool, output: Output, context: &Context) -> Outcome {
    let args = Args { allocation: Vec::new(), short: false, stats: false, verbose, output };
    show(&args, prefix, context).await
}

async fn show(args: &Args, prefix: &str, context: &Context) -> Outcome {
    let chosen = choose::allocation(context, prefix, Length::of(args.verbose)).await?;
    let value = chosen.read().await?;
    if let Some(text) = args.output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    let mut whole = decode(value)?;
    whole.usage = usage(&chosen.client, &whole.allocation).await;
    whole.followup = followup(&chosen.client, &whole.allocation).await?;
    whole.checks = checks(&chosen.client, &chosen.id).await;
    let now = text::now();
    if args.short {
        println!("{}", block::short(&whole, args.verbose, context, now));
    } else {
        let options = details::Options { verbose: args.verbose, stats: args.stats };
        println!("{}", details::text(&whole, options, context, now));
    }
    hint::web_ui(context, "allocation details", &format!("/allocations/{}", chosen.id));
    Ok(0)
}

/// All allocations, as they are listed.
async fn list(args: &Args, context: &Context) -> Outcome {
    let answer = context.client.call::<Value>(Request::get("/v1/allocations")).await;
    let value = answer.map_err(|error| Failure::request("querying allocations", &error))?.value;
    print!("{}", args.output.render(&value)?.unwrap_or_default());
    Ok(0)
}

/// The allocation and its job from the servers' answer.
fn decode(mut value: Value) -> Result<Whole, Failure> {
    let job = value.get_mut("Job").map(Value::take).unwrap_or_default();
    let allocation = serde_json::from_value(value)
        .map_err(|error| Failure::request("querying allocation", &ApiError::Decode(error)))?;
    Ok(Whole { allocation, job, ..Whole::default() })
}

/// What its node says that it uses; without an answer the limits are shown alone.
async fn usage(client: &Client, allocation: &Allocation) -> Option<AllocResourceUsage> {
    if allocation.client_status.is_terminal() {
        return None;
    }
    let request = Request::get(format!("/v1/client/allocation/{}/stats", allocation.id));
    client.call(request).await.ok().map(|answer| answer.value)
}

async fn followup(client: &Client, allocation: &Allocation) -> Result<Option<Evaluation>, Failure> {
    if allocation.followup_eval_id.is_none() {
        return Ok(None);
    }
    let request = Request::get(format!("/v1/evaluation/{}", allocation.followup_eval_id));
    match client.call(request).await {
        Ok(answer) => Ok(Some(answer.value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(Failure::request("querying evaluation", &error)),
    }
}

/// Checks are the node's to tell; one that does not answer has none to show.
async fn checks(client: &Client, id: &str) -> BTreeMap<String, AllocCheckStatus> {
    let request = Request::get(format!("/v1/client/allocation/{id}/checks"));
    let answer = client.call::<Option<BTreeMap<String, AllocCheckStatus>>>(request).await;
    answer.ok().and_then(|answer| answer.value).unwrap_or_default()
}
