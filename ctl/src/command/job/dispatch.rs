//! `job dispatch`: runs a parameterized job with a payload and meta values.

use std::collections::BTreeMap;
use std::io::Read as _;

use nomadd_api::Request;
use nomadd_model::{Bytes, JobDispatchRequest, JobDispatchResponse};

use super::{fate, resolve};
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::monitor;
use crate::table::Block;
use crate::text::Length;

/// What to dispatch.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job, and the file of its payload (- is standard input)
    words: Vec<String>,
    /// Return at once, do not monitor
    #[arg(long)]
    detach: bool,
    /// A value for the job; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
    /// What the new job's id has between the parent's id and the time
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    id_prefix_template: String,
    /// A dispatch with the same token happens once
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    idempotency_token: String,
    /// Priority instead of the job's
    #[arg(long, value_name = "PRIORITY", default_value_t = 0, hide_default_value = true)]
    priority: i64,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
    /// Stay until the job has ended; its fate is the exit code
    #[arg(long, conflicts_with = "detach")]
    wait: bool,
}

/// Dispatches.
pub async fn run(args: Args, context: Context) -> Outcome {
    let (prefix, source) = match args.words.as_slice() {
        [job] => (job, None),
        [job, source] => (job, Some(source.as_str())),
        _ => {
            return Err(Failure::usage(
                "This command takes one or two argument: <parameterized job> [input source]",
                "job dispatch",
            ));
        }
    };
    let mut meta = BTreeMap::new();
    for word in &args.meta {
        let (key, value) =
            word.split_once('=').ok_or_else(|| Failure::new(format!("Error parsing meta value: {word}")))?;
        meta.insert(key.to_owned(), value.to_owned());
    }
    let payload = source.map(read).transpose()?.unwrap_or_default();
    let mut jobs = resolve::matches(&context.client, prefix).await?;
    jobs.retain(|job| job.parameterized_job);
    if jobs.is_empty() {
        return Err(Failure::new(format!("No parameterized job(s) with prefix or ID {prefix:?} found")));
    }
    let found = resolve::found(&context.client, resolve::choose(&jobs, prefix, context.client.namespace == "*")?);
    let context = Context { client: found.client.clone(), ..context };
    let body = JobDispatchRequest {
        id_prefix_template: args.id_prefix_template,
        job_id: found.id.clone(),
        meta,
        payload: Bytes(payload),
        priority: args.priority,
    };
    let failed = |error: nomadd_api::ApiError| Failure::new(format!("Failed to dispatch job: {}", chain(&error)));
    let request = Request::put(found.path("/dispatch")).query("idempotency_token", args.idempotency_token);
    let request = request.json(&body).map_err(failed)?;
    let answer = context.client.call::<JobDispatchResponse>(request).await.map_err(failed)?.value;
    let length = Length::of(args.verbose);
    let mut block = Block::new().with("Dispatched Job ID", &answer.dispatched_job_id);
    if answer.eval_id.is_some() {
        block.put("Evaluation ID", length.id(answer.eval_id));
    }
    println!("{}", block.text());
    if args.detach || answer.eval_id.is_none() {
        return Ok(0);
    }
    println!();
    let ended = monitor::watch(&context, &answer.eval_id.to_string(), length).await?;
    if args.wait && ended.code() == 0 {
        return fate::wait(&context, &answer.dispatched_job_id, answer.job_create_index).await;
    }
    Ok(ended.code())
}

fn read(source: &str) -> Result<Vec<u8>, Failure> {
    let mut payload = Vec::new();
    let read = match source {
        "-" => std::io::stdin().lock().read_to_end(&mut payload).map(|_| payload),
        path => std::fs::read(path),
    };
    read.map_err(|error| Failure::new(format!("Error reading input data: {source}: {error}")))
}
