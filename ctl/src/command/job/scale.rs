//! `job scale`: changes the count of a group.

use std::collections::BTreeMap;

use nomadd_api::Request;
use nomadd_model::{JobRegisterResponse, JobScaleStatusResponse, ScalingRequest};

use super::{read, run};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::monitor;
use crate::text::Length;

/// What to change.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job, the group (a job of one group needs none) and the count
    words: Vec<String>,
    /// Only when the job's modify index is this one
    #[arg(long, value_name = "INDEX")]
    check_index: Option<u64>,
    /// Return at once, do not monitor
    #[arg(long)]
    detach: bool,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// Changes it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let (prefix, group, count) = match args.words.as_slice() {
        [job, count] => (job, None, count),
        [job, group, count] => (job, Some(group.as_str()), count),
        _ => return Err(Failure::new("Command requires at least two arguments and no more than three")),
    };
    let not_a_number = |_| Failure::new(format!("Failed to convert count string to int: {count:?} is no whole number"));
    let count: i64 = count.parse().map_err(not_a_number)?;
    let (found, context) = read::job(prefix, &context).await?;
    let status: JobScaleStatusResponse =
        read::get(&context, Request::get(found.path("/scale")), "querying job").await?;
    let group = match group {
        Some(group) if status.task_groups.contains_key(group) => group.to_owned(),
        Some(group) => return Err(Failure::new(format!("Group {group} not found within job"))),
        None if status.task_groups.len() == 1 => status.task_groups.into_keys().next().unwrap_or_default(),
        None => {
            let groups: Vec<String> = status.task_groups.into_keys().collect();
            return Err(Failure::new(format!("Group name required: the job has the groups {}", groups.join(", "))));
        }
    };
    let target = [("Namespace", context.namespace().to_owned()), ("Job", found.id.clone()), ("Group", group)];
    let body = ScalingRequest {
        count: Some(count),
        job_modify_index: args.check_index.unwrap_or_default(),
        message: "submitted using the Nomad CLI".to_owned(),
        target: target.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>(),
        ..ScalingRequest::default()
    };
    let request = Request::put(found.path("/scale"));
    let answer: JobRegisterResponse = read::send(&context, request, &body, "submitting scaling request").await?;
    run::warnings(&answer.warnings, &context);
    if answer.eval_id.is_none() {
        return Ok(0);
    }
    if args.detach {
        println!("Evaluation ID: {}", answer.eval_id);
        return Ok(0);
    }
    monitor::evaluation(&context, &answer.eval_id.to_string(), Length::of(args.verbose)).await
}
