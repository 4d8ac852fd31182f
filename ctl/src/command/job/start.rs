//! `job start`: runs a stopped job again, as its newest version that was not stopped.

use nomadd_api::Request;
use nomadd_model::{Job, JobRegisterResponse};
use serde_json::{Value, json};

use super::{read, run};
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

/// Starts it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job start")?;
    let (found, context) = read::job(prefix, &context).await?;
    let job: Job = read::get(&context, Request::get(found.path("")), "querying job").await?;
    if !job.stop {
        return Err(Failure::new(format!("Job {:?} has not been stopped", found.id)));
    }
    let mut answer: Value =
        read::get(&context, Request::get(found.path("/versions")), "retrieving job versions").await?;
    let versions = answer["Versions"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let running = versions.into_iter().find(|version| version["Stop"] != true);
    // Versions that ran may be forgotten: then the stopped one says enough.
    let mut wanted = match running {
        Some(version) => version,
        None => read::get(&context, Request::get(found.path("")), "querying job").await?,
    };
    let request = Request::get(found.path("/submission")).query("version", wanted["Version"].to_string());
    let submission = context.client.call::<Value>(request).await.map(|answer| answer.value).unwrap_or_default();
    wanted["Stop"] = json!(false);
    let body = json!({ "Job": wanted, "Submission": submission });
    let answer: JobRegisterResponse = read::send(&context, Request::put("/v1/jobs"), &body, "submitting job").await?;
    run::warnings(&answer.warnings, &context);
    if args.detach || answer.eval_id.is_none() {
        println!("Job registration successful");
        if answer.eval_id.is_some() {
            println!("Evaluation ID: {}", answer.eval_id);
        }
        return Ok(0);
    }
    monitor::evaluation(&context, &answer.eval_id.to_string(), Length::of(args.verbose)).await
}
