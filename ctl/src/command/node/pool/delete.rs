//! `node pool delete`: removes a pool that no node and no running job uses.

use nomadd_api::Request;

use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Which pool.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pool's name
    #[arg(value_name = "NODE-POOL")]
    name: Vec<String>,
}

/// Removes it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let name = arguments::one(&args.name, "<node-pool>", "node pool delete")?;
    let request = Request::delete(format!("/v1/node/pool/{}", nomadd_api::segment(name)));
    let answer = context.client.bytes(request).await;
    answer.map_err(|error| Failure::request("deleting node pool", &error))?;
    println!("Successfully deleted node pool {name:?}!");
    Ok(0)
}
