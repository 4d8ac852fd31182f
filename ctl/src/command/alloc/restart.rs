//! `alloc restart`: restarts tasks where they are.

use nomadd_api::Request;
use nomadd_model::AllocationRestartRequest;

use super::choose;
use crate::context::Context;
use crate::failure::{self, Failure, Outcome};
use crate::text::{self, Length};

/// What to restart.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The allocation's id or the beginning of it, then a task
    #[arg(value_name = "ALLOCATION [TASK]")]
    what: Vec<String>,
    /// All tasks, those that have ended, too
    #[arg(long)]
    all_tasks: bool,
    /// The task
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// Restarts them.
pub async fn run(args: Args, context: Context) -> Outcome {
    let (prefix, task) = match args.what.as_slice() {
        [prefix] => (prefix, None),
        [prefix, task] => (prefix, Some(task.clone())),
        _ => {
            let text = "This command takes one or two arguments: <alloc-id> <task-name>";
            return Err(Failure::usage(text, "alloc restart"));
        }
    };
    let task = args.task.or(task).unwrap_or_default();
    if args.all_tasks && !task.is_empty() {
        let text = "The -all-tasks option is not allowed when restarting a specific task";
        return Err(Failure::usage(text, "alloc restart"));
    }
    let chosen = choose::allocation(&context, prefix, Length::of(args.verbose)).await?;
    if !task.is_empty() {
        known(&task, &chosen.tasks().await?)?;
    }
    let body = AllocationRestartRequest { all_tasks: args.all_tasks, task_name: task };
    let request = Request::put(format!("/v1/client/allocation/{}/restart", chosen.id)).json(&body);
    let sent = match request {
        Ok(request) => chosen.client.bytes(request).await.map(|_| ()),
        Err(error) => Err(error),
    };
    sent.map_err(|error| Failure::new(format!("Failed to restart allocation:\n\n{}", failure::chain(&error))))?;
    Ok(0)
}

/// Refuses a task that the allocation does not have.
pub fn known(task: &str, tasks: &[String]) -> Result<(), Failure> {
    if tasks.iter().any(|known| known == task) {
        return Ok(());
    }
    let list: String = tasks.iter().map(|task| format!("\n  * {task}")).collect();
    let meant = text::closest(task, tasks.iter().map(String::as_str));
    let hint = meant.map(|name| format!("\nDid you mean {name:?}?")).unwrap_or_default();
    Err(Failure::new(format!("Could not find task named: {task}, found:{list}{hint}")))
}
