//! `job promote`: makes the canaries of a job's deployment its new version.

use nomadd_api::Request;
use nomadd_model::{Deployment, DeploymentPromoteRequest, DeploymentUpdateResponse};

use super::read;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::monitor;
use crate::text::Length;

/// What to promote.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    /// Return at once, do not monitor
    #[arg(long)]
    detach: bool,
    /// Only this group; can be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// Promotes.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job id>", "job promote")?;
    let (found, context) = read::job(prefix, &context).await?;
    let request = Request::get(found.path("/deployment"));
    let newest: Option<Deployment> = read::get(&context, request, "retrieving deployments").await?;
    let newest = newest.ok_or_else(|| Failure::new(format!("Job {:?} has no deployment to promote", found.id)))?;
    let body = DeploymentPromoteRequest {
        deployment_id: newest.id.to_string(),
        all: args.groups.is_empty(),
        groups: args.groups.clone(),
    };
    let request = Request::put(format!("/v1/deployment/promote/{}", newest.id));
    let doing = format!("promoting deployment \"{}\" for job {:?}", newest.id, found.id);
    let answer: DeploymentUpdateResponse = read::send(&context, request, &body, &doing).await?;
    if args.detach {
        println!("Evaluation ID: {}", answer.eval_id);
        return Ok(0);
    }
    monitor::evaluation(&context, &answer.eval_id.to_string(), Length::of(args.verbose)).await
}
