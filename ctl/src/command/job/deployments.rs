//! `job deployments`: the deployments of a job, or its newest one.

use nomadd_api::Request;
use nomadd_model::Deployment;
use serde_json::Value;

use super::read;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::show::deployment;
use crate::text::Length;

/// Which job.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    /// Deployments of earlier jobs of this name, too
    #[arg(long)]
    all: bool,
    /// Only the newest, with its groups
    #[arg(long)]
    latest: bool,
    /// Whole ids
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// Lists them.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job deployments")?;
    let (found, context) = read::job(prefix, &context).await?;
    let length = Length::of(args.verbose);
    let below = if args.latest { "/deployment" } else { "/deployments" };
    let request = Request::get(found.path(below)).query("all", if args.all { "true" } else { "" });
    let value: Value = read::get(&context, request, "retrieving deployments").await?;
    if let Some(shown) = args.output.render(&value)? {
        print!("{shown}");
        return Ok(0);
    }
    let unreadable = |error| Failure::request("retrieving deployments", &nomadd_api::ApiError::Decode(error));
    if args.latest {
        let newest: Option<Deployment> = serde_json::from_value(value).map_err(unreadable)?;
        match newest {
            Some(newest) => println!("{}", deployment::whole(&newest, length, &context)),
            None => println!("No deployment found"),
        }
        return Ok(0);
    }
    let list: Option<Vec<Deployment>> = serde_json::from_value(value).map_err(unreadable)?;
    let mut list = list.unwrap_or_default();
    list.sort_by_key(|deployment| std::cmp::Reverse(deployment.create_index));
    println!("{}", deployment::table(&list, length));
    Ok(0)
}
