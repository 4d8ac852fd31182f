//! `alloc logs`: what a task wrote, and what it goes on to write.

use nomadd_api::{ApiError, Request};

use super::choose::{self, Chosen};
use super::stream::{self, Shown, To};
use crate::context::Context;
use crate::failure::{self, Failure, Outcome};
use crate::text::Length;

/// Whose output, which, and how much of it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An allocation's id or the beginning of it (with -job: a job's), then the task when there are several
    #[arg(value_name = "ALLOCATION [TASK]")]
    what: Vec<String>,
    /// Standard output (the default; with -f both are)
    #[arg(long)]
    stdout: bool,
    /// Standard error
    #[arg(long)]
    stderr: bool,
    /// Go on with what is written later
    #[arg(short = 'f')]
    follow: bool,
    /// Begin near the end: 10 lines, or as -n or -c say
    #[arg(long)]
    tail: bool,
    /// The last so many lines
    #[arg(short = 'n', value_name = "LINES")]
    lines: Option<usize>,
    /// The last so many bytes
    #[arg(short = 'c', value_name = "BYTES")]
    bytes: Option<u64>,
    /// The task
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// With -job: only allocations of this group
    #[arg(long, value_name = "GROUP", default_value = "", hide_default_value = true)]
    group: String,
    /// The newest running allocation of a job
    #[arg(long)]
    job: bool,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// Shows it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let (first, task) = match args.what.as_slice() {
        [first] => (first, None),
        [first, task] => (first, Some(task.clone())),
        [] if args.job => return Err(Failure::usage("A job ID is required", "alloc logs")),
        [] => return Err(Failure::usage("An allocation ID is required", "alloc logs")),
        _ => return Err(Failure::usage("This command takes one or two arguments: <allocation> <task>", "alloc logs")),
    };
    let part = stream::part(args.tail, args.lines, args.bytes).map_err(|text| Failure::usage(text, "alloc logs"))?;
    let chosen = match args.job {
        true => choose::of_job(&context, first, &args.group).await?,
        false => choose::allocation(&context, first, Length::of(args.verbose)).await?,
    };
    let task = match args.task.clone().or(task) {
        Some(task) => task,
        None => chosen
            .only_task()
            .await
            .map_err(|failure| Failure::new(format!("Failed to validate task: {}", failure.message)))?,
    };
    // Both only when neither was named and the stream goes on.
    let (out, error) = match (args.stdout, args.stderr) {
        (false, false) => (true, args.follow),
        named => named,
    };
    let both = out && error;
    let of = |kind: &'static str, to: To| {
        let shown = Shown { part, follow: args.follow, to };
        one(&chosen, &task, kind, shown)
    };
    let to_stderr = if both { To::Stderr } else { To::Stdout };
    let streams = async {
        match (out, error) {
            (true, true) if args.follow => {
                tokio::try_join!(of("stdout", To::Stdout), of("stderr", to_stderr)).map(|_| ())
            }
            (true, true) => {
                of("stdout", To::Stdout).await?;
                of("stderr", to_stderr).await
            }
            (false, true) => of("stderr", to_stderr).await,
            _ => of("stdout", To::Stdout).await,
        }
    };
    tokio::select! {
        done = streams => done.map(|()| 0),
        // Whoever follows ends it with Ctrl-C: that is no failure.
        _ = tokio::signal::ctrl_c() => Ok(0),
    }
}

async fn one(chosen: &Chosen, task: &str, kind: &'static str, shown: Shown) -> Result<(), Failure> {
    let request = Request::get(format!("/v1/client/fs/logs/{}", chosen.id)).query("task", task).query("type", kind);
    stream::show(&chosen.client, request, shown).await.map_err(|error| refused(kind, &error))
}

fn refused(kind: &str, error: &ApiError) -> Failure {
    Failure::new(format!("Failed to read {kind} file: error reading file: {}", failure::chain(error)))
}
