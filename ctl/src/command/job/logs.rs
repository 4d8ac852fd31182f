//! `job logs`: the logs of all allocations of a job, merged, each line after where it comes from.
//!
//! Without `-f` one allocation after the other; with it as lines come, new allocations included, until all have ended.

mod tail;

use std::collections::BTreeSet;
use std::time::Duration;

use nomadd_api::{Client, Lines, Request};
use nomadd_model::{AllocationId, AllocationListStub};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::read;
use super::resolve::Found;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::text::Length;

/// Whose logs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    /// Go on as lines come
    #[arg(short = 'f')]
    follow: bool,
    /// Only the last lines (10, or as many as -n says)
    #[arg(long)]
    tail: bool,
    /// How many lines (with -tail)
    #[arg(short = 'n', value_name = "LINES")]
    lines: Option<usize>,
    /// Only standard error
    #[arg(long)]
    stderr: bool,
    /// Only standard output
    #[arg(long)]
    stdout: bool,
    /// Only this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only this task
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
}

/// One log of one task.
#[derive(Clone, Debug)]
struct Log {
    allocation: AllocationId,
    task: String,
    kind: &'static str,
    prefix: String,
}

/// Lines that wait to be printed.
const WAITING: usize = 1024;
/// How long the last lines may take once every allocation has ended.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Prints them.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job logs")?;
    let (found, context) = read::job(prefix, &context).await?;
    let last = (args.tail || args.lines.is_some()).then(|| args.lines.unwrap_or(10));
    if args.follow {
        return follow(&args, last, &found, &context).await;
    }
    let mut allocations = read::allocations(&found, &context, false).await?;
    allocations.reverse();
    let mut count = 0;
    for log in allocations.iter().flat_map(|allocation| logs(allocation, &args, &context)) {
        count += 1;
        let mut lines = match context.client.lines(request(&log, last, false)).await {
            Ok(lines) => lines,
            Err(error) => {
                eprintln!("{} {}", log.prefix, crate::failure::chain(&error));
                continue;
            }
        };
        let mut kept = tail::Tail::new(last);
        while let Some(line) = lines.next().await.map_err(|error| Failure::request("reading logs", &error))? {
            if let Some(line) = kept.push(line) {
                println!("{} {line}", log.prefix);
            }
        }
        for line in kept.rest() {
            println!("{} {line}", log.prefix);
        }
    }
    if count == 0 {
        return Err(Failure::new(format!("No allocation of job {:?} has logs yet", found.id)));
    }
    Ok(0)
}

async fn follow(args: &Args, last: Option<usize>, found: &Found, context: &Context) -> Outcome {
    let (sender, mut printed) = mpsc::channel::<String>(WAITING);
    let mut streams = JoinSet::new();
    let mut open: BTreeSet<(AllocationId, String, &'static str)> = BTreeSet::new();
    let mut index = 0;
    let mut first = true;
    loop {
        let asking = look(found, context, index);
        let mut asking = std::pin::pin!(asking);
        let (allocations, newest) = loop {
            tokio::select! {
                answer = &mut asking => break answer?,
                Some(line) = printed.recv() => println!("{line}"),
            }
        };
        index = newest;
        for log in allocations.iter().rev().flat_map(|allocation| logs(allocation, args, context)) {
            if open.insert((log.allocation, log.task.clone(), log.kind)) {
                // What began after us is shown from its start.
                let last = last.filter(|_| first);
                streams.spawn(copy(context.client.clone(), log, last, sender.clone()));
            }
        }
        first = false;
        let ended = allocations.iter().all(|allocation| allocation.client_status.is_terminal());
        if ended {
            while let Ok(Some(line)) = tokio::time::timeout(LAST_LINES, printed.recv()).await {
                println!("{line}");
            }
            streams.abort_all();
            return Ok(0);
        }
        if index == 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The allocations, once they have changed.
async fn look(found: &Found, context: &Context, index: u64) -> Result<(Vec<AllocationListStub>, u64), Failure> {
    let request = Request::get(found.path("/allocations")).query("index", index).query("wait", "30s");
    let answer = context.client.call::<Option<Vec<AllocationListStub>>>(request).await;
    let answer = answer.map_err(|error| Failure::request("retrieving allocations", &error))?;
    Ok((answer.value.unwrap_or_default(), answer.meta.index))
}

/// Copies one log to the printer until it ends; a log that cannot be read says so in its place.
async fn copy(client: Client, log: Log, last: Option<usize>, sender: mpsc::Sender<String>) {
    let told = match client.lines(request(&log, last, true)).await {
        Ok(mut lines) => pass(&mut lines, &log, last, &sender).await,
        Err(error) => Err(error),
    };
    if let Err(error) = told {
        let _ = sender.send(format!("{} ({})", log.prefix, crate::failure::chain(&error))).await;
    }
}

async fn pass(
    lines: &mut Lines,
    log: &Log,
    last: Option<usize>,
    sender: &mpsc::Sender<String>,
) -> Result<(), nomadd_api::ApiError> {
    let mut kept = tail::Tail::new(last);
    loop {
        let next = if kept.is_waiting() {
            match tokio::time::timeout(tail::QUIET, lines.next()).await {
                Ok(next) => next?,
                Err(_) => {
                    for line in kept.rest() {
                        let _ = sender.send(format!("{} {line}", log.prefix)).await;
                    }
                    continue;
                }
            }
        } else {
            lines.next().await?
        };
        let Some(line) = next else { break };
        if let Some(line) = kept.push(line)
            && sender.send(format!("{} {line}", log.prefix)).await.is_err()
        {
            return Ok(());
        }
    }
    for line in kept.rest() {
        let _ = sender.send(format!("{} {line}", log.prefix)).await;
    }
    Ok(())
}

/// The logs of an allocation that are wanted, of tasks that began.
fn logs(allocation: &AllocationListStub, args: &Args, context: &Context) -> Vec<Log> {
    if args.group.as_deref().is_some_and(|group| group != &*allocation.task_group) {
        return Vec::new();
    }
    let kinds: &[&'static str] = match (args.stdout, args.stderr) {
        (true, false) => &["stdout"],
        (false, true) => &["stderr"],
        _ => &["stdout", "stderr"],
    };
    let began = allocation.task_states.iter().filter(|(task, state)| {
        state.started_at.0 != 0 && args.task.as_deref().is_none_or(|wanted| wanted == &***task)
    });
    let id = Length::of(args.verbose).id(allocation.id);
    began
        .flat_map(|(task, _)| {
            let id = &id;
            kinds.iter().map(move |kind| {
                let mark = if *kind == "stderr" { "!" } else { "|" };
                let style = if *kind == "stderr" { "31" } else { "36" };
                let prefix = context.paint(style, &format!("{id} {task} {mark}"));
                Log { allocation: allocation.id, task: task.to_string(), kind, prefix }
            })
        })
        .collect()
}

fn request(log: &Log, last: Option<usize>, follow: bool) -> Request {
    let (origin, offset) = last.map_or(("start", 0), |lines| ("end", tail::bytes(lines)));
    Request::get(format!("/v1/client/fs/logs/{}", log.allocation))
        .query("task", &log.task)
        .query("type", log.kind)
        .query("plain", "true")
        .query("follow", follow)
        .query("origin", origin)
        .query("offset", offset)
}
