//! `job tag apply`: names a version of a job.

use nomadd_api::Request;
use nomadd_model::{Job, TagVersionRequest};
use serde_json::Value;

use super::super::read;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Which name for which version.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    /// The name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What is special about this version
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// The version [default: the newest]
    #[arg(long, value_name = "VERSION")]
    version: Option<u64>,
}

/// Names it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job tag apply")?;
    let Some(name) = args.name.as_deref().filter(|name| !name.is_empty()) else {
        return Err(Failure::usage("A version tag name must be specified using the -name flag", "job tag apply"));
    };
    let (found, context) = read::job(prefix, &context).await?;
    let version = match args.version {
        Some(version) => version,
        None => read::get::<Job>(&context, Request::get(found.path("")), "querying job").await?.version,
    };
    let body = TagVersionRequest { description: args.description, version, ..TagVersionRequest::default() };
    let request = Request::put(found.path(&format!("/versions/{}/tag", nomadd_api::segment(name))));
    let _: Value = read::send(&context, request, &body, "tagging job version").await?;
    println!("Job version {version} tagged with name {name:?}");
    Ok(0)
}
