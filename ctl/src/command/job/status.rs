//! `job status`: all jobs, or everything about one.

use nomadd_api::Request;
use nomadd_model::{AllocationListStub, Deployment, Evaluation, Job, JobListStub, JobSummary};
use serde_json::{Value, json};

use super::resolve::{self, Found};
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::hint;
use crate::output::{Format, Output};
use crate::show::allocations;
use crate::text;

pub mod block;
pub mod details;
#[cfg(test)]
mod tests;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it; none: all jobs
    job: Vec<String>,
    /// Allocations of earlier jobs of this name, too
    #[arg(long)]
    all_allocs: bool,
    /// Evaluations, too
    #[arg(long)]
    evals: bool,
    /// Only what the job is
    #[arg(long)]
    short: bool,
    /// Whole ids and times
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// Everything about one job.
#[derive(Debug)]
pub struct Whole {
    /// The job.
    pub job: Job,
    /// Counts of its allocations.
    pub summary: JobSummary,
    /// Its allocations, newest first.
    pub allocations: Vec<AllocationListStub>,
    /// Its evaluations, newest first.
    pub evaluations: Vec<Evaluation>,
    /// Its newest deployment.
    pub deployment: Option<Deployment>,
    /// What was launched or dispatched from it.
    pub children: Vec<JobListStub>,
}

/// Shows it.
pub async fn run(args: Args, context: Context) -> Outcome {
    match arguments::optional(&args.job, "<job>", "job status")? {
        None => all(&args, &context).await,
        Some(prefix) => one(&args, prefix, &context).await,
    }
}

/// The same for `status`, which knows only an id or nothing.
pub async fn of(prefix: Option<&str>, verbose: bool, output: Output, context: &Context) -> Outcome {
    let args = Args { job: Vec::new(), all_allocs: false, evals: false, short: false, verbose, output };
    match prefix {
        None => all(&args, context).await,
        Some(prefix) => one(&args, prefix, context).await,
    }
}

async fn all(args: &Args, context: &Context) -> Outcome {
    let failed = |error: &nomadd_api::ApiError| Failure::request("querying jobs", error);
    let answer = context.client.call::<Value>(Request::get("/v1/jobs")).await.map_err(|error| failed(&error))?;
    let read = |value: Value| serde_json::from_value::<Option<Vec<JobListStub>>>(value);
    if args.output.format == Some(Format::Name) {
        print!("{}", args.output.render(&answer.value)?.unwrap_or_default());
        return Ok(0);
    }
    let jobs = read(answer.value).map_err(|error| failed(&nomadd_api::ApiError::Decode(error)))?.unwrap_or_default();
    if args.output.is_raw() {
        let mut all = Vec::new();
        for job in &jobs {
            all.push(raw(&resolve::found(&context.client, job), args.all_allocs).await?);
        }
        print!("{}", args.output.render(&Value::from(all))?.unwrap_or_default());
        return Ok(0);
    }
    if jobs.is_empty() {
        println!("No running jobs");
    } else {
        println!("{}", resolve::list(&jobs, context.client.namespace == "*"));
    }
    hint::web_ui(context, "and manage Nomad jobs", "/jobs");
    Ok(0)
}

async fn one(args: &Args, prefix: &str, context: &Context) -> Outcome {
    let found = resolve::job(&context.client, prefix).await?;
    if args.output.is_raw() {
        let whole = raw(&found, args.all_allocs).await?;
        let value = if args.output.format == Some(Format::Name) { json!([{ "ID": found.id }]) } else { json!([whole]) };
        print!("{}", args.output.render(&value)?.unwrap_or_default());
        return Ok(0);
    }
    let failed = |error: nomadd_api::ApiError| Failure::request("querying job", &error);
    let job = found.client.call::<Job>(Request::get(found.path(""))).await.map_err(failed)?.value;
    println!("{}", block::job(&job));
    if !args.short {
        let whole = read(&found, job, args.all_allocs).await?;
        let options = details::Options { verbose: args.verbose, evaluations: args.evals || args.verbose };
        println!("\n{}", details::text(&whole, options, context, text::now()));
    }
    hint::web_ui(context, "job details and metrics", &format!("/jobs/{}@{}", found.id, context.namespace()));
    Ok(0)
}

/// Reads what belongs to a job.
async fn read(found: &Found, job: Job, all_allocations: bool) -> Result<Whole, Failure> {
    let failed = |what: &'static str| {
        move |error: nomadd_api::ApiError| Failure::request(&format!("querying job {what}"), &error)
    };
    let get = |below: &str| Request::get(found.path(below));
    let summary = found.client.call(get("/summary")).await.map_err(failed("summary"))?.value;
    let mut children = Vec::new();
    if job.periodic.is_some() || job.parameterized_job.is_some() {
        let prefix = format!("{}/", found.id);
        children = resolve::matches(&found.client, &prefix).await?;
        return Ok(Whole {
            job,
            summary,
            allocations: Vec::new(),
            evaluations: Vec::new(),
            deployment: None,
            children,
        });
    }
    let request = get("/allocations").query("all", if all_allocations { "true" } else { "" });
    let mut allocations: Vec<AllocationListStub> =
        found.client.call::<Option<_>>(request).await.map_err(failed("allocations"))?.value.unwrap_or_default();
    allocations::newest_first(&mut allocations);
    let mut evaluations: Vec<Evaluation> = found
        .client
        .call::<Option<_>>(get("/evaluations"))
        .await
        .map_err(failed("evaluations"))?
        .value
        .unwrap_or_default();
    evaluations.sort_by_key(|evaluation| std::cmp::Reverse(evaluation.create_index));
    let deployment = found.client.call(get("/deployment")).await.map_err(failed("deployment"))?.value;
    Ok(Whole { job, summary, allocations, evaluations, deployment, children })
}

/// The same as the servers say it, for JSON and templates.
async fn raw(found: &Found, all_allocations: bool) -> Result<Value, Failure> {
    let failed = |error: nomadd_api::ApiError| Failure::request("querying job", &error);
    let get = |below: &str| Request::get(found.path(below));
    let all = if all_allocations { "true" } else { "" };
    let summary = found.client.call::<Value>(get("/summary")).await.map_err(failed)?.value;
    let allocations = found.client.call::<Value>(get("/allocations").query("all", all)).await.map_err(failed)?.value;
    let evaluations = found.client.call::<Value>(get("/evaluations")).await.map_err(failed)?.value;
    let deployment = found.client.call::<Value>(get("/deployment")).await.map_err(failed)?.value;
    Ok(json!({
        "Allocations": allocations,
        "Evaluations": evaluations,
        "LatestDeployment": deployment,
        "Summary": summary,
    }))
}
