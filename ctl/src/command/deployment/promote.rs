//! `deployment promote`: the canaries of all groups, or of some, become the new version.

use nomadd_api::{ApiError, Request};
use nomadd_model::{DeploymentPromoteRequest, DeploymentUpdateResponse};

use super::change;
use crate::command::{arguments, find};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::text::Length;

/// Which deployment, and which groups.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The deployment's id or the beginning of it
    deployment: Vec<String>,
    /// Only this group (may be given again)
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Return at once, do not monitor
    #[arg(long)]
    detach: bool,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// Does it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.deployment, "<deployment id>", "deployment promote")?;
    let length = Length::of(args.verbose);
    let found = find::deployment(&context, prefix, length).await?;
    let context = find::within(&context, &found.namespace);
    let id = found.id.to_string();
    let failed = |error: ApiError| Failure::request("promoting deployment", &error);
    let body = DeploymentPromoteRequest { deployment_id: id.clone(), all: args.group.is_empty(), groups: args.group };
    let request = Request::put(format!("/v1/deployment/promote/{id}")).json(&body).map_err(failed)?;
    let answer = context.client.call::<DeploymentUpdateResponse>(request).await.map_err(failed)?.value;
    change::finish(&answer, args.detach, length, &context).await
}
