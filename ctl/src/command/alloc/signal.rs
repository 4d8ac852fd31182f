//! `alloc signal`: sends a signal to tasks.

use nomadd_api::Request;
use nomadd_model::AllocSignalRequest;

use super::{choose, restart};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::text::Length;

/// Which signal to whom.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The allocation's id or the beginning of it, then a task
    #[arg(value_name = "ALLOCATION [TASK]")]
    what: Vec<String>,
    /// The signal, such as SIGHUP
    #[arg(short = 's', value_name = "SIGNAL", default_value = "SIGKILL")]
    signal: String,
    /// The task
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// Sends it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let (prefix, task) = match args.what.as_slice() {
        [prefix] => (prefix, None),
        [prefix, task] => (prefix, Some(task.clone())),
        _ => {
            let text = "This command takes up to two arguments: <alloc-id> <task>";
            return Err(Failure::usage(text, "alloc signal"));
        }
    };
    let chosen = choose::allocation(&context, prefix, Length::of(args.verbose)).await?;
    let task = args.task.or(task).unwrap_or_default();
    if !task.is_empty() {
        restart::known(&task, &chosen.tasks().await?)?;
    }
    let body = AllocSignalRequest { signal: args.signal, task };
    let request = Request::put(format!("/v1/client/allocation/{}/signal", chosen.id)).json(&body);
    let sent = match request {
        Ok(request) => chosen.client.bytes(request).await.map(|_| ()),
        Err(error) => Err(error),
    };
    sent.map_err(|error| Failure::request("signalling allocation", &error))?;
    Ok(0)
}
