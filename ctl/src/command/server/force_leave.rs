//! `server force-leave`: counts a server as gone.

use nomadd_api::Request;

use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Which server.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's name, such as srv1.global
    server: Vec<String>,
    /// Forget it, too
    #[arg(long)]
    prune: bool,
}

/// Does it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let name = arguments::one(&args.server, "<node>", "server force-leave")?;
    let request =
        Request::put("/v1/agent/force-leave").query("node", name).query("prune", if args.prune { "true" } else { "" });
    let answer = context.client.bytes(request).await;
    answer.map_err(|error| Failure::request(&format!("force-leaving server {name}"), &error))?;
    Ok(0)
}
