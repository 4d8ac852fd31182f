//! `deployment fail`, `pause`, `resume` and `unblock`: changes of one deployment.

use nomadd_api::{ApiError, Request};
use nomadd_model::{DeploymentPauseRequest, DeploymentUpdateResponse};
use serde_json::json;

use crate::command::{arguments, find};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::monitor;
use crate::text::Length;

/// Which deployment.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The deployment's id or the beginning of it
    deployment: Vec<String>,
    /// Return at once, do not monitor
    #[arg(long)]
    detach: bool,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is given up.
    Fail,
    /// It waits.
    Pause,
    /// It goes on after a pause.
    Resume,
    /// It goes on although other regions did not.
    Unblock,
}

impl Change {
    /// The command, what is done in errors, and what was done.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Fail => ("deployment fail", "failing deployment", "failed"),
            Self::Pause => ("deployment pause", "pausing deployment", "paused"),
            Self::Resume => ("deployment resume", "resuming deployment", "resumed"),
            Self::Unblock => ("deployment unblock", "unblocking deployment", "unblocked"),
        }
    }
}

/// Does it.
pub async fn run(args: Args, change: Change, context: Context) -> Outcome {
    let (command, doing, done) = change.words();
    let prefix = arguments::one(&args.deployment, "<deployment id>", command)?;
    let length = Length::of(args.verbose);
    let found = find::deployment(&context, prefix, length).await?;
    let context = find::within(&context, &found.namespace);
    let id = found.id.to_string();
    let failed = |error: ApiError| Failure::request(doing, &error);
    let put = |action: &str| Request::put(format!("/v1/deployment/{action}/{id}"));
    let request = match change {
        Change::Fail => put("fail").json(&json!({ "DeploymentID": id })),
        Change::Unblock => put("unblock").json(&json!({ "DeploymentID": id })),
        Change::Pause | Change::Resume => {
            let body = DeploymentPauseRequest { deployment_id: id.clone(), pause: change == Change::Pause };
            put("pause").json(&body)
        }
    };
    let answer = context.client.call::<DeploymentUpdateResponse>(request.map_err(failed)?).await.map_err(failed)?.value;
    match answer.reverted_job_version {
        Some(version) => println!("Deployment {id:?} {done}. Auto-reverted to job version {version}."),
        None => println!("Deployment {id:?} {done}"),
    }
    finish(&answer, args.detach, length, &context).await
}

/// Watches the evaluation that a change made, if it made one.
pub async fn finish(answer: &DeploymentUpdateResponse, detach: bool, length: Length, context: &Context) -> Outcome {
    if answer.eval_id.is_none() {
        return Ok(0);
    }
    let evaluation = answer.eval_id.to_string();
    if detach {
        println!("Evaluation ID: {evaluation}");
        return Ok(0);
    }
    println!();
    monitor::evaluation(context, &evaluation, length).await
}
