//! `deployment status`: everything about one deployment, or all of them.

use nomadd_api::{ApiError, Request};
use nomadd_model::{AllocationListStub, Deployment, DeploymentStatus};
use serde_json::Value;

use super::list;
use crate::command::{arguments, find};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::show::{allocations, deployment};
use crate::text::{self, Length};
use crate::{hint, monitor};

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The deployment's id or the beginning of it; none: all
    deployment: Vec<String>,
    /// Watch it to its end
    #[arg(long)]
    monitor: bool,
    /// With -monitor: how often to look; every change is shown whatever is given here
    #[arg(long, value_name = "DURATION", hide = true)]
    wait: Option<String>,
    /// Only those that an expression is true for (without an id)
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    filter: String,
    /// Show whole ids, and the allocations
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// Shows it.
pub async fn run(args: Args, context: Context) -> Outcome {
    match arguments::optional(&args.deployment, "<deployment id>", "deployment status")? {
        Some(prefix) => show(prefix, args.monitor, args.verbose, args.output, &context).await,
        None => list::all(args.verbose, &args.filter, args.output, &context).await,
    }
}

/// The same for `status`, which knows only the id.
pub async fn of(prefix: &str, verbose: bool, output: Output, context: &Context) -> Outcome {
    show(prefix, false, verbose, output, context).await
}

async fn show(prefix: &str, watch: bool, verbose: bool, output: Output, context: &Context) -> Outcome {
    let length = Length::of(verbose);
    let found = find::deployment(context, prefix, length).await?;
    let context = &find::within(context, &found.namespace);
    let id = found.id.to_string();
    let failed = |error: ApiError| Failure::request("retrieving deployment", &error);
    if output.is_raw() {
        let value = context.client.call::<Value>(Request::get(format!("/v1/deployment/{id}"))).await;
        print!("{}", output.render(&value.map_err(failed)?.value)?.unwrap_or_default());
        return Ok(0);
    }
    if watch {
        println!("{}: Monitoring deployment {:?}", text::local(text::now()), length.id(&id));
        let ended = monitor::deployment(context, &id, length, "    ").await?;
        return Ok(if ended == DeploymentStatus::Successful { 0 } else { 1 });
    }
    println!("{}", deployment::whole(&found, length, context));
    if verbose {
        let request = Request::get(format!("/v1/deployment/allocations/{id}"));
        let placed = context.client.call::<Option<Vec<AllocationListStub>>>(request).await.map_err(failed)?.value;
        let mut placed = placed.unwrap_or_default();
        if !placed.is_empty() {
            allocations::newest_first(&mut placed);
            println!("\n{}\n{}", context.bold("Allocations"), allocations::table(&placed, true, text::now()));
        }
    }
    hinted(&found, context);
    Ok(0)
}

fn hinted(found: &Deployment, context: &Context) {
    hint::web_ui(context, "all deployments for this job", &format!("/jobs/{}/deployments", found.job_id));
}
