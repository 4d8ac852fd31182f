//! `job allocs`: the allocations of a job.

use nomadd_api::Request;
use serde_json::Value;

use super::read;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::Output;
use crate::show::allocations;
use crate::text;

/// Which job.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    /// Allocations of earlier jobs of this name, too
    #[arg(long)]
    all: bool,
    /// Whole ids and times
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// Lists them.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job allocs")?;
    let (found, context) = read::job(prefix, &context).await?;
    if args.output.is_raw() {
        let request = Request::get(found.path("/allocations")).query("all", if args.all { "true" } else { "" });
        let value: Value = read::get(&context, request, "retrieving allocations").await?;
        print!("{}", args.output.render(&value)?.unwrap_or_default());
        return Ok(0);
    }
    let list = read::allocations(&found, &context, args.all).await?;
    println!("{}", allocations::table(&list, args.verbose, text::now()));
    Ok(0)
}
