//! `alloc stop`: stops an allocation and watches what replaces it.

use nomadd_api::Request;
use nomadd_model::AllocStopResponse;

use super::choose;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::monitor;
use crate::text::Length;

/// How to stop.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The allocation's id or the beginning of it
    allocation: Vec<String>,
    /// Return at once, do not monitor
    #[arg(long)]
    detach: bool,
    /// Do not wait for shutdown delays
    #[arg(long)]
    no_shutdown_delay: bool,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// Stops it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.allocation, "<alloc-id>", "alloc stop")?;
    let length = Length::of(args.verbose);
    let chosen = choose::allocation(&context, prefix, length).await?;
    let request = Request::post(format!("/v1/allocation/{}/stop", chosen.id))
        .query("no_shutdown_delay", if args.no_shutdown_delay { "true" } else { "" });
    let answer = chosen.client.call::<AllocStopResponse>(request).await;
    let answer = answer.map_err(|error| Failure::request("stopping allocation", &error))?.value;
    let evaluation = answer.eval_id.to_string();
    if args.detach {
        println!("{evaluation}");
        return Ok(0);
    }
    let context = Context { client: chosen.client, ..context };
    monitor::evaluation(&context, &evaluation, length).await
}
