//! `job tag unset`: takes the name of a version away.

use nomadd_api::Request;
use serde_json::Value;

use super::super::read;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Which name.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    /// The name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Takes it away.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job tag unset")?;
    let Some(name) = args.name.as_deref().filter(|name| !name.is_empty()) else {
        return Err(Failure::usage("A version tag name must be specified using the -name flag", "job tag unset"));
    };
    let (found, context) = read::job(prefix, &context).await?;
    let request = Request::delete(found.path(&format!("/versions/{}/tag", nomadd_api::segment(name))));
    let _: Value = read::get(&context, request, "untagging job version").await?;
    println!("Tag {name:?} removed from job {:?}", found.id);
    Ok(0)
}
