//! `job revert`: returns to an earlier version of a job.

use nomadd_api::Request;
use nomadd_model::{JobRegisterResponse, JobRevertRequest, JobVersionsResponse};

use super::{read, run};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::monitor;
use crate::text::Length;

/// Where to return to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job, and the version's number or tag
    words: Vec<String>,
    /// Return at once, do not monitor
    #[arg(long)]
    detach: bool,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// Returns to it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let [prefix, version] = args.words.as_slice() else {
        return Err(Failure::usage("This command takes two arguments: <job> <version|tag>", "job revert"));
    };
    let (found, context) = read::job(prefix, &context).await?;
    let job_version = match version.parse() {
        Ok(number) => number,
        Err(_) => {
            let request = Request::get(found.path("/versions"));
            let kept: JobVersionsResponse = read::get(&context, request, "retrieving job versions").await?;
            let tagged =
                kept.versions.iter().find(|job| job.version_tag.as_ref().is_some_and(|tag| tag.name == *version));
            let unknown = || {
                Failure::new(format!(
                    "Error retrieving job versions: job {:?} has no version with the tag {version:?}",
                    found.id
                ))
            };
            tagged.ok_or_else(unknown)?.version
        }
    };
    let body = JobRevertRequest { job_id: found.id.clone(), job_version, ..JobRevertRequest::default() };
    let request = Request::put(found.path("/revert"));
    let answer: JobRegisterResponse = read::send(&context, request, &body, "retrieving job versions").await?;
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
