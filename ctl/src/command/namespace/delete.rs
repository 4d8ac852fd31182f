//! `namespace delete`: removes a namespace that nothing uses any more.

use nomadd_api::Request;

use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Which namespace.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The namespace's name
    #[arg(value_name = "NAMESPACE")]
    name: Vec<String>,
}

/// Removes it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let name = arguments::one(&args.name, "<namespace>", "namespace delete")?;
    let request = Request::delete(format!("/v1/namespace/{}", nomadd_api::segment(name)));
    let answer = context.client.bytes(request).await;
    answer.map_err(|error| Failure::request("deleting namespace", &error))?;
    println!("Successfully deleted namespace {name:?}!");
    Ok(0)
}
