//! `node drain`: moves all work off a node, and watches that.

use std::collections::BTreeMap;
use std::time::Duration as Span;

use nomadd_api::{ApiError, Request};
use nomadd_model::{AllocationId, AllocationListStub, ClientStatus, DrainSpec, Duration, Node, NodeUpdateDrainRequest};

use super::eligibility;
use crate::command::confirm;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::text;

/// Which node, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node's id or the beginning of it
    node: Vec<String>,
    /// Begin
    #[arg(long)]
    enable: bool,
    /// End
    #[arg(long)]
    disable: bool,
    /// After this span what is left is stopped
    #[arg(long, value_name = "DURATION")]
    deadline: Option<String>,
    /// Stop everything at once
    #[arg(long)]
    force: bool,
    /// Wait however long it takes
    #[arg(long)]
    no_deadline: bool,
    /// Leave system jobs alone
    #[arg(long)]
    ignore_system: bool,
    /// Keep the node ineligible when the drain is ended
    #[arg(long)]
    keep_ineligible: bool,
    /// A note about why
    #[arg(short = 'm', value_name = "MESSAGE", default_value = "", hide_default_value = true)]
    message: String,
    /// More notes
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
    /// Return at once
    #[arg(long)]
    detach: bool,
    /// Only watch
    #[arg(long)]
    monitor: bool,
    /// This agent's own node
    #[arg(long = "self")]
    own: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

/// How often the node is looked at.
const PACE: Span = Span::from_millis(500);

/// Begins or ends it.
pub async fn run(args: Args, context: Context) -> Outcome {
    if args.enable == args.disable && !args.monitor {
        let text = "Either the '-enable' or '-disable' flag must be set, unless using '-monitor'";
        return Err(Failure::usage(text, "node drain"));
    }
    if args.monitor && (args.enable || args.disable) {
        let text = "The -monitor flag cannot be used with the '-enable' or '-disable' flags";
        return Err(Failure::usage(text, "node drain"));
    }
    let deadline = deadline(&args)?;
    let id = eligibility::which(&args.node, args.own, "node drain", &context).await?;
    if args.monitor {
        return watch(&id, &context).await;
    }
    if !args.yes {
        let (verb, own) =
            (if args.enable { "enable" } else { "disable" }, if args.own { " the local node" } else { "" });
        let node = if args.own { own.to_owned() } else { format!(" node {id:?}") };
        if !confirm::ask(&format!("Are you sure you want to {verb} drain mode for{node}?"))? {
            println!("Canceling drain toggle");
            return Ok(0);
        }
    }
    let mut meta = BTreeMap::new();
    for pair in &args.meta {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        meta.insert(key.to_owned(), value.to_owned());
    }
    if !args.message.is_empty() {
        let key = if args.enable { "message" } else { "cancel_message" };
        meta.insert(key.to_owned(), args.message.clone());
    }
    let drain_spec = args.enable.then_some(DrainSpec { deadline, ignore_system_jobs: args.ignore_system });
    let mark_eligible = args.disable && !args.keep_ineligible;
    let body = NodeUpdateDrainRequest { drain_spec, mark_eligible, meta, node_id: id.clone() };
    let failed = |error: ApiError| Failure::request("updating drain specification", &error);
    let request = Request::put(format!("/v1/node/{id}/drain")).json(&body).map_err(failed)?;
    context.client.bytes(request).await.map_err(failed)?;
    if args.disable || args.detach {
        println!("Node {id:?} drain strategy {}", if args.enable { "set" } else { "unset" });
        return Ok(0);
    }
    line("Ctrl-C to stop monitoring: will not cancel the node drain");
    line(&format!("Node {id:?} drain strategy set"));
    watch(&id, &context).await
}

/// The span that the flags mean: -1 ns is "at once", 0 "none".
fn deadline(args: &Args) -> Result<Duration, Failure> {
    let refuse = |text: &str| Err(Failure::usage(text, "node drain"));
    let chosen = [args.force, args.no_deadline, args.deadline.is_some()].into_iter().filter(|on| *on).count();
    if chosen > 1 {
        return refuse("Only one of '-deadline', '-force' and '-no-deadline' may be set");
    }
    if args.disable && (chosen > 0 || args.ignore_system) {
        return refuse("'-disable' cannot be used with '-deadline', '-force', '-no-deadline' or '-ignore-system'");
    }
    match &args.deadline {
        Some(text) => match Duration::parse(text) {
            Ok(span) if span.0 > 0 => Ok(span),
            Ok(_) => refuse("A positive drain duration must be given"),
            Err(error) => Err(Failure::new(format!("Failed to parse deadline {text:?}: {error}"))),
        },
        None if args.force => Ok(Duration(-1)),
        None if args.no_deadline => Ok(Duration(0)),
        None => Ok(Duration::from_secs(3600)),
    }
}

fn line(text: &str) {
    println!("{}: {text}", text::local(text::now()));
}

/// What was told of an allocation.
type Told = (ClientStatus, bool);

/// Tells what happens on the node until the drain is over; Ctrl-C leaves it alone.
async fn watch(id: &str, context: &Context) -> Outcome {
    tokio::select! {
        done = follow(id, context) => done,
        _ = tokio::signal::ctrl_c() => Ok(0),
    }
}

async fn follow(id: &str, context: &Context) -> Outcome {
    let failed = |error: ApiError| Failure::request("monitoring node drain", &error);
    let mut told: BTreeMap<AllocationId, Told> = BTreeMap::new();
    loop {
        let node = context.client.call::<Node>(Request::get(format!("/v1/node/{id}"))).await.map_err(failed)?.value;
        let request = Request::get(format!("/v1/node/{id}/allocations")).query("namespace", "*");
        let found = context.client.call::<Option<Vec<AllocationListStub>>>(request).await.map_err(failed)?.value;
        let found = found.unwrap_or_default();
        for allocation in &found {
            news(&mut told, allocation).iter().for_each(|text| line(text));
        }
        if node.drain_strategy.is_none() {
            if found.iter().all(|found| found.client_status.is_terminal()) {
                line(&format!("All allocations on node {id:?} have stopped"));
            }
            line(&format!("Drain complete for node {id}"));
            return Ok(0);
        }
        tokio::time::sleep(PACE).await;
    }
}

/// What is new of an allocation since the last look.
fn news(told: &mut BTreeMap<AllocationId, Told>, allocation: &AllocationListStub) -> Vec<String> {
    let migrates = allocation.desired_transition.migrate == Some(true);
    let now = (allocation.client_status, migrates);
    let before = told.insert(allocation.id, now);
    let id = allocation.id.to_string();
    let mut lines = Vec::new();
    let (status, marked) = before.unwrap_or((allocation.client_status, false));
    if migrates && !marked && !status.is_terminal() {
        lines.push(format!("Alloc {id:?} marked for migration"));
    }
    if status != allocation.client_status {
        lines.push(format!("Alloc {id:?} status {status} -> {}", allocation.client_status));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_of_an_allocation_is_told_once() {
        let mut told = BTreeMap::new();
        let mut allocation = AllocationListStub { client_status: ClientStatus::Running, ..Default::default() };
        assert!(news(&mut told, &allocation).is_empty());
        allocation.desired_transition.migrate = Some(true);
        assert_eq!(news(&mut told, &allocation), ["Alloc \"\" marked for migration"]);
        allocation.client_status = ClientStatus::Complete;
        assert_eq!(news(&mut told, &allocation), ["Alloc \"\" status running -> complete"]);
        assert!(news(&mut told, &allocation).is_empty());
    }
}
