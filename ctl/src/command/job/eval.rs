//! `job eval`: lets the scheduler look at a job again.

use nomadd_api::Request;
use nomadd_model::{EvalOptions, JobEvaluateRequest, JobRegisterResponse};

use super::read;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::Outcome;
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
    /// Place failed allocations again, whatever their reschedule policy says
    #[arg(long)]
    force_reschedule: bool,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// Makes an evaluation.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job eval")?;
    let (found, context) = read::job(prefix, &context).await?;
    let body = JobEvaluateRequest {
        eval_options: EvalOptions { force_reschedule: args.force_reschedule },
        job_id: found.id.clone(),
        ..JobEvaluateRequest::default()
    };
    let answer: JobRegisterResponse =
        read::send(&context, Request::put(found.path("/evaluate")), &body, "evaluating job").await?;
    let length = Length::of(args.verbose);
    if args.detach {
        println!("Created eval ID: {:?} ", length.id(answer.eval_id));
        return Ok(0);
    }
    monitor::evaluation(&context, &answer.eval_id.to_string(), length).await
}
