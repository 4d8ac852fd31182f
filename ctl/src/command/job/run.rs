//! `job run`: registers a job and watches what becomes of it.

use nomadd_api::Request;
use nomadd_model::{DeploymentStatus, JobRegisterRequest, JobRegisterResponse};
use serde_json::json;

use super::fate;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::hint;
use crate::jobfile::{self, JobFile};
use crate::monitor;
use crate::output::Output;
use crate::text::Length;

/// How to run it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job file, or - for standard input
    path: Vec<String>,
    #[command(flatten)]
    file: jobfile::Flags,
    /// Register only when the job's modify index is this one; 0: only when there is no such job
    #[arg(long, value_name = "INDEX")]
    check_index: Option<String>,
    /// Return at once, do not monitor
    #[arg(long)]
    detach: bool,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
    /// Print the JSON that would be sent, and send nothing
    #[arg(long)]
    output: bool,
    /// Priority of the evaluations instead of the job's
    #[arg(long, value_name = "PRIORITY", default_value_t = 0, hide_default_value = true)]
    eval_priority: i64,
    /// Override soft mandatory policies
    #[arg(long, hide = true)]
    policy_override: bool,
    /// Keep the counts of groups that run already
    #[arg(long)]
    preserve_counts: bool,
    /// Keep the resources of tasks that run already
    #[arg(long)]
    preserve_resources: bool,
    /// Namespace of Consul that goes into the job
    #[arg(long, value_name = "NAMESPACE", hide = true)]
    consul_namespace: Option<String>,
    /// Stay until the job has succeeded or failed; its fate is the exit code
    #[arg(long, conflicts_with = "detach")]
    wait: bool,
}

/// Runs it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let path = arguments::one(&args.path, "<path>", "job run")?;
    let mut file = jobfile::read(path, &args.file)?;
    if let Some(namespace) = &args.consul_namespace {
        file.job.consul_namespace = Some(namespace.as_str().into());
    }
    if args.output {
        let shown = Output { json: true, ..Output::default() }.render(&json!({ "Job": file.job }))?;
        print!("{}", shown.unwrap_or_default());
        return Ok(0);
    }
    let context = file.context(&context);
    let check_index = args.check_index.as_deref().map(index).transpose()?;
    say(&file.warnings);
    let answer = register(&args, &file, check_index, &context).await?;
    warnings(&answer.warnings, &context);
    let length = Length::of(args.verbose);
    let watched = !(args.detach || file.is_periodic() || file.is_parameterized());
    if !watched {
        println!("Job registration successful");
        if !file.is_periodic() && !file.is_parameterized() {
            println!("Evaluation ID: {}", answer.eval_id);
        }
        hint::web_ui(&context, "this job", &format!("/jobs/{}@{}", file.id(), context.namespace()));
        return Ok(0);
    }
    hint::web_ui(&context, "this job", &format!("/jobs/{}@{}", file.id(), context.namespace()));
    let ended = monitor::watch(&context, &answer.eval_id.to_string(), length).await?;
    match (args.wait, ended.deployment) {
        (false, _) => Ok(ended.code()),
        (true, Some(status)) if status != DeploymentStatus::Successful => Ok(1),
        (true, Some(_)) => Ok(0),
        (true, None) if ended.unplaced => Ok(2),
        (true, None) => fate::wait(&context, &file.id(), answer.job_modify_index).await,
    }
}

fn index(text: &str) -> Result<u64, Failure> {
    let invalid = |_| Failure::new(format!("Error parsing check-index value {text:?}: a whole number is expected"));
    text.parse().map_err(invalid)
}

async fn register(
    args: &Args,
    file: &JobFile,
    check_index: Option<u64>,
    context: &Context,
) -> Result<JobRegisterResponse, Failure> {
    let body = JobRegisterRequest {
        enforce_index: check_index.is_some(),
        eval_priority: args.eval_priority,
        job: Some(file.job.clone()),
        job_modify_index: check_index.unwrap_or_default(),
        policy_override: args.policy_override,
        preserve_counts: args.preserve_counts,
        preserve_resources: args.preserve_resources,
        submission: file.submission.clone(),
        ..JobRegisterRequest::default()
    };
    let request = Request::put("/v1/jobs").json(&body).map_err(|error| Failure::request("submitting job", &error))?;
    match context.client.call(request).await {
        Ok(answer) => Ok(answer.value),
        Err(error) => {
            let text = error.to_string();
            match text.find("Enforcing job modify index") {
                Some(start) => {
                    let reason = text[start..].strip_suffix(')').unwrap_or(&text[start..]);
                    Err(Failure::new(format!("{reason}\nJob not updated")))
                }
                None => Err(Failure::request("submitting job", &error)),
            }
        }
    }
}

/// What the reader of the file found odd: standard error, so that output stays what the servers said.
pub fn say(warnings: &[String]) {
    for warning in warnings {
        eprintln!("Warning: {warning}");
    }
}

/// What the servers found odd.
pub fn warnings(warnings: &str, context: &Context) {
    if !warnings.is_empty() {
        println!("{}\n", context.paint("1;33", &format!("Job Warnings:\n{}", warnings.trim_end())));
    }
}
