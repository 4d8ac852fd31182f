//! `job periodic force`: launches a periodic job now.

use nomadd_api::Request;
use nomadd_model::JobRegisterResponse;

use super::super::{read, resolve};
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::monitor;
use crate::text::Length;

/// Which job.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    /// Return at once, do not monitor
    #[arg(long)]
    detach: bool,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// Launches it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job id>", "job periodic force")?;
    let mut jobs = resolve::matches(&context.client, prefix).await?;
    jobs.retain(|job| job.periodic);
    if jobs.is_empty() {
        return Err(Failure::new(format!("No periodic job(s) with prefix or ID {prefix:?} found")));
    }
    let job = resolve::choose(&jobs, prefix, context.client.namespace == "*")?;
    let found = resolve::found(&context.client, job);
    let context = Context { client: found.client.clone(), ..context };
    let request = Request::put(found.path("/periodic/force"));
    let answer: JobRegisterResponse =
        read::get(&context, request, &format!("forcing periodic job {:?}", found.id)).await?;
    if args.detach {
        println!("Force periodic successful\nEvaluation ID: {}", answer.eval_id);
        return Ok(0);
    }
    monitor::evaluation(&context, &answer.eval_id.to_string(), Length::of(args.verbose)).await
}
