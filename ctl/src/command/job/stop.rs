//! `job stop`: stops jobs, and watches what becomes of them.

use nomadd_api::Request;
use nomadd_model::JobDeregisterResponse;

use super::resolve::{self, Found};
use crate::command::confirm;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::monitor;
use crate::text::Length;

/// How to stop.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ids of jobs, or their beginnings
    jobs: Vec<String>,
    /// Return at once, do not monitor
    #[arg(long)]
    detach: bool,
    /// Priority of the evaluation instead of the job's
    #[arg(long, value_name = "PRIORITY", default_value_t = 0, hide_default_value = true)]
    eval_priority: i64,
    /// Stop the job in all its regions
    #[arg(long)]
    global: bool,
    /// Do not wait for shutdown delays
    #[arg(long)]
    no_shutdown_delay: bool,
    /// Forget the job, too
    #[arg(long)]
    purge: bool,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

/// Stops them, one after the other; the last failure is the exit code.
pub async fn run(args: Args, context: Context) -> Outcome {
    if args.jobs.is_empty() {
        return Err(Failure::usage("This command takes at least one argument: <job>", "job stop"));
    }
    let mut code = 0;
    for prefix in &args.jobs {
        let done = match resolve::job(&context.client, prefix.trim()).await {
            Ok(found) => stop(&args, prefix.trim(), &found, &context).await,
            Err(failure) => Err(failure),
        };
        match done {
            Ok(0) => {}
            Ok(other) => code = other,
            Err(failure) if args.jobs.len() == 1 => return Err(failure),
            Err(failure) => {
                eprintln!("{}", failure.message);
                code = failure.code;
            }
        }
    }
    Ok(code)
}

async fn stop(args: &Args, prefix: &str, found: &Found, context: &Context) -> Outcome {
    let context = Context { client: found.client.clone(), ..context.clone() };
    if found.id != prefix && !args.yes {
        let question = format!("Are you sure you want to stop job {:?}?", found.id);
        if !confirm::ask(&question)? {
            println!("Cancelling job stop");
            return Ok(0);
        }
    }
    let flag = |wanted: bool| if wanted { "true" } else { "" };
    let priority = if args.eval_priority == 0 { String::new() } else { args.eval_priority.to_string() };
    let request = Request::delete(found.path(""))
        .query("purge", flag(args.purge))
        .query("global", flag(args.global))
        .query("no_shutdown_delay", flag(args.no_shutdown_delay))
        .query("eval_priority", priority);
    let answer = context.client.call::<JobDeregisterResponse>(request).await;
    let answer = answer.map_err(|error| Failure::request("deregistering job", &error))?.value;
    if answer.eval_id.is_none() {
        // Periodic and parameterized jobs have nothing to evaluate.
        return Ok(0);
    }
    if args.detach {
        println!("{}", answer.eval_id);
        return Ok(0);
    }
    monitor::evaluation(&context, &answer.eval_id.to_string(), Length::of(args.verbose)).await
}
