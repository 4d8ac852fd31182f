//! `deployment list`: all deployments, newest first.

use nomadd_api::{ApiError, Request};
use serde_json::Value;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::show::deployment;
use crate::text::Length;

/// Which deployments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only those that an expression is true for
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    filter: String,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// Shows them.
pub async fn run(args: Args, context: Context) -> Outcome {
    list(&args, &context).await
}

/// All of them, for `deployment status` without an id.
pub async fn all(verbose: bool, filter: &str, output: Output, context: &Context) -> Outcome {
    list(&Args { filter: filter.to_owned(), verbose, output }, context).await
}

async fn list(args: &Args, context: &Context) -> Outcome {
    let failed = |error: ApiError| Failure::request("retrieving deployments", &error);
    let request = Request::get("/v1/deployments").query("reverse", "true").query("filter", &args.filter);
    let value = context.client.call::<Value>(request).await.map_err(failed)?.value;
    if let Some(text) = args.output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    let found: Option<Vec<_>> = serde_json::from_value(value).map_err(|error| failed(ApiError::Decode(error)))?;
    println!("{}", deployment::table(&found.unwrap_or_default(), Length::of(args.verbose)));
    Ok(0)
}
