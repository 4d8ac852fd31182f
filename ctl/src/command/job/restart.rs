//! `job restart`: restarts the tasks of a job's allocations in batches, or moves the allocations.

use std::time::Duration;

use nomadd_api::Request;
use nomadd_model::{AllocStopResponse, AllocationListStub, AllocationRestartRequest, ClientStatus, DesiredStatus};
use serde_json::{Value, json};

use super::read;
use super::resolve::Found;
use crate::command::{arguments, confirm};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::monitor;
use crate::text::Length;

/// What to restart, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    /// Tasks that have ended, too
    #[arg(long)]
    all_tasks: bool,
    /// How many allocations at once: a number, or a share such as 25%
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    batch_size: String,
    /// How long to wait between batches, such as 30s; "ask" asks
    #[arg(long, value_name = "TIME", default_value = "0s")]
    batch_wait: String,
    /// Only this group; can be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Do not wait for shutdown delays (with -reschedule)
    #[arg(long)]
    no_shutdown_delay: bool,
    /// What to do when an allocation cannot be restarted: ask or fail
    #[arg(long, value_name = "WHAT", default_value = "ask", value_parser = ["ask", "fail"])]
    on_error: String,
    /// Stop the allocations, so that others take their places
    #[arg(long, conflicts_with_all = ["tasks", "all_tasks"])]
    reschedule: bool,
    /// Only this task; can be repeated
    #[arg(long = "task", value_name = "TASK", conflicts_with = "all_tasks")]
    tasks: Vec<String>,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

/// How long to wait between batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Ask,
    For(Duration),
}

/// Restarts them.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job restart")?;
    let wait = match args.batch_wait.as_str() {
        "ask" => Wait::Ask,
        text => Wait::For(
            nomadd_model::Duration::parse(text)
                .map_err(|_| {
                    Failure::new(format!(
                        "Invalid -batch-wait value {text:?}: a time such as 30s or \"ask\" is expected"
                    ))
                })?
                .to_std(),
        ),
    };
    let (found, context) = read::job(prefix, &context).await?;
    let mut allocations = read::allocations(&found, &context, false).await?;
    allocations.retain(|allocation| is_wanted(allocation, &args));
    allocations.reverse();
    let Some(size) = batch_size(&args.batch_size, allocations.len()) else {
        return Err(Failure::new(format!(
            "Invalid -batch-size value {:?}: a number or a share such as 25% is expected",
            args.batch_size
        )));
    };
    if allocations.is_empty() {
        println!("No allocations to restart");
        return Ok(0);
    }
    let noun = if allocations.len() == 1 { "allocation" } else { "allocations" };
    monitor::head(&context, &format!("Restarting {} {noun}", allocations.len()));
    let mut failures = 0;
    let batches = allocations.chunks(size).count();
    for (number, batch) in allocations.chunks(size).enumerate() {
        for allocation in batch {
            if let Err(failure) = one(allocation, &args, &found, &context).await {
                failures += 1;
                eprintln!("{}", failure.message);
                if args.on_error == "fail" || !confirm::ask("Proceed with the next allocations?")? {
                    return Err(Failure::new("Job restart stopped after an error"));
                }
            }
        }
        if number + 1 < batches {
            match wait {
                Wait::Ask if !args.yes && !confirm::ask("Proceed with the next batch?")? => {
                    println!("\nJob restart canceled.");
                    return Ok(0);
                }
                Wait::For(time) if !time.is_zero() => {
                    monitor::detail(&format!("Waiting {} before restarting the next batch", args.batch_wait));
                    tokio::time::sleep(time).await;
                }
                _ => {}
            }
        }
    }
    monitor::head(&context, "Job restart finished");
    println!();
    if failures > 0 {
        return Err(Failure::new(format!("{failures} of {} allocations could not be restarted", allocations.len())));
    }
    println!("Job restarted successfully!");
    Ok(0)
}

/// Whether an allocation runs, and is of the groups and has the tasks that were named.
fn is_wanted(allocation: &AllocationListStub, args: &Args) -> bool {
    allocation.desired_status == DesiredStatus::Run
        && allocation.client_status == ClientStatus::Running
        && (args.groups.is_empty() || args.groups.iter().any(|group| **group == *allocation.task_group))
        && (args.tasks.is_empty() || args.tasks.iter().any(|task| allocation.task_states.contains_key(task.as_str())))
}

/// A number, or a share of all, at least one.
fn batch_size(text: &str, count: usize) -> Option<usize> {
    let size = match text.strip_suffix('%') {
        Some(share) => {
            let share: usize = share.parse().ok().filter(|share| (1..=100).contains(share))?;
            (count * share).div_ceil(100)
        }
        None => text.parse().ok().filter(|size| *size > 0)?,
    };
    Some(size.max(1))
}

async fn one(allocation: &AllocationListStub, args: &Args, found: &Found, context: &Context) -> Result<(), Failure> {
    let length = Length::of(args.verbose);
    let what = format!("allocation {:?} for group {:?}", length.id(allocation.id), &*allocation.task_group);
    if args.reschedule {
        monitor::detail(&format!("Rescheduling {what}"));
        return reschedule(allocation, args, found, context, length).await;
    }
    let request = || Request::put(format!("/v1/client/allocation/{}/restart", allocation.id));
    let doing = format!("restarting {what}");
    if args.tasks.is_empty() {
        monitor::detail(&format!(
            "Restarting {} in {what}",
            if args.all_tasks { "all tasks" } else { "running tasks" }
        ));
        let body = AllocationRestartRequest { all_tasks: args.all_tasks, ..AllocationRestartRequest::default() };
        let _: Value = read::send(context, request(), &body, &doing).await?;
        return Ok(());
    }
    for task in args.tasks.iter().filter(|task| allocation.task_states.contains_key(task.as_str())) {
        monitor::detail(&format!("Restarting task {task:?} in {what}"));
        let body = AllocationRestartRequest { task_name: task.clone(), ..AllocationRestartRequest::default() };
        let _: Value = read::send(context, request(), &body, &doing).await?;
    }
    Ok(())
}

/// Stops an allocation and waits until another of its name runs.
async fn reschedule(
    allocation: &AllocationListStub,
    args: &Args,
    found: &Found,
    context: &Context,
    length: Length,
) -> Result<(), Failure> {
    let request = Request::put(format!("/v1/allocation/{}/stop", allocation.id))
        .query("no_shutdown_delay", if args.no_shutdown_delay { "true" } else { "" });
    let _: AllocStopResponse = read::send(context, request, &json!({}), "stopping allocation").await?;
    let mut index = 0;
    loop {
        let request = Request::get(found.path("/allocations")).query("index", index).query("wait", "10s");
        let answer = context.client.call::<Option<Vec<AllocationListStub>>>(request).await;
        let answer = answer.map_err(|error| Failure::request("retrieving allocations", &error))?;
        index = answer.meta.index;
        let others = answer.value.unwrap_or_default();
        let replacement = others.iter().find(|other| {
            other.name == allocation.name && other.create_index > allocation.create_index && other.id != allocation.id
        });
        match replacement {
            Some(other) if other.client_status == ClientStatus::Running => {
                monitor::detail(&format!(
                    "Allocation {:?} replaced by {:?}",
                    length.id(allocation.id),
                    length.id(other.id)
                ));
                return Ok(());
            }
            Some(other) if other.client_status.is_terminal() && other.client_status != ClientStatus::Complete => {
                return Err(Failure::new(format!(
                    "Error restarting allocation: its replacement {:?} is {}",
                    length.id(other.id),
                    other.client_status
                )));
            }
            _ => {}
        }
        if index == 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_numbers_or_shares_of_at_least_one() {
        for (text, count, size) in [
            ("1", 5, Some(1)),
            ("25%", 8, Some(2)),
            ("10%", 3, Some(1)),
            ("0", 3, None),
            ("x", 3, None),
            ("101%", 3, None),
        ] {
            assert_eq!(batch_size(text, count), size, "{text} of {count}");
        }
    }
}
