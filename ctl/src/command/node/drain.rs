//! `node drain`: moves all work off a node, or ends that. `monitor` watches it.

mod monitor;

use std::collections::BTreeMap;

use nomadd_api::{ApiError, Request};
use nomadd_model::{DrainSpec, Duration, Node, NodeUpdateDrainRequest};

use super::eligibility;
use crate::command::confirm;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use monitor::SystemJobs;

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

/// Begins, changes or ends it, or only watches.
pub async fn run(args: Args, context: Context) -> Outcome {
    if args.monitor && (args.enable || args.disable) {
        return refuse("The -monitor flag cannot be used with the '-enable' or '-disable' flags");
    }
    if args.enable == args.disable && !args.monitor {
        return refuse("Either the '-enable' or '-disable' flag must be set, unless using '-monitor'");
    }
    let deadline = deadline(&args)?;
    let id = eligibility::which(&args.node, args.own, "node drain", "toggling drain mode", &context).await?;
    let failed = |error: ApiError| Failure::request("toggling drain mode", &error);
    let found = context.client.call::<Node>(Request::get(format!("/v1/node/{id}"))).await.map_err(failed)?;
    let node = found.value;
    let system = if args.ignore_system { SystemJobs::Ignore } else { SystemJobs::Count };
    if args.monitor {
        if node.drain_strategy.is_none() {
            eprintln!("No drain strategy set");
            return Ok(0);
        }
        monitor::line(&format!("Monitoring node {id:?}: Ctrl-C to detach monitoring"));
        return monitor::watch(&id, system, &context).await;
    }
    // Who names a node by its whole id knows which one.
    let sure = args.yes || args.own || args.node.first().is_some_and(|given| given.eq_ignore_ascii_case(&id));
    if !sure {
        let verb = if args.enable { "enable" } else { "disable" };
        if !confirm::ask(&format!("Are you sure you want to {verb} drain mode for node {id:?}?"))? {
            println!("Canceling drain toggle");
            return Ok(0);
        }
    }
    let drain_spec = args.enable.then_some(DrainSpec { deadline, ignore_system_jobs: args.ignore_system });
    let meta = notes(&args, &node);
    let body = NodeUpdateDrainRequest { drain_spec, mark_eligible: !args.keep_ineligible, meta, node_id: id.clone() };
    let failed = |error: ApiError| Failure::request("updating drain specification", &error);
    let request = Request::put(format!("/v1/node/{id}/drain")).json(&body).map_err(failed)?;
    let looked = monitor::look(&id, &context).await?;
    context.client.bytes(request).await.map_err(failed)?;
    if args.disable || args.detach {
        println!("Node {id:?} drain strategy {}", if args.enable { "set" } else { "unset" });
        return Ok(0);
    }
    monitor::line("Ctrl-C to stop monitoring: will not cancel the node drain");
    monitor::line(&format!("Node {id:?} drain strategy set"));
    monitor::watch_from(looked, &id, system, &context).await
}

fn refuse<T>(text: &str) -> Result<T, Failure> {
    Err(Failure::usage(text, "node drain"))
}

/// What is noted about the drain. One that ends keeps what was noted when it began.
fn notes(args: &Args, node: &Node) -> BTreeMap<String, String> {
    let begun = node.last_drain.as_ref().filter(|_| args.disable);
    let mut meta = begun.map(|last| last.meta.clone()).unwrap_or_default();
    if !args.message.is_empty() {
        let key = if args.enable { "message" } else { "cancel_message" };
        meta.insert(key.to_owned(), args.message.clone());
    }
    for pair in args.meta.iter().filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        meta.insert(key.to_owned(), value.to_owned());
    }
    meta
}

/// The span that the flags mean: less than nothing is "at once", 0 "none".
fn deadline(args: &Args) -> Result<Duration, Failure> {
    let given = args.deadline.is_some();
    if args.disable && (given || args.force || args.no_deadline || args.ignore_system) {
        return refuse("-disable can't be combined with flags configuring drain strategy");
    }
    if given && (args.force || args.no_deadline) {
        return refuse("-deadline can't be combined with -force or -no-deadline");
    }
    if args.force && args.no_deadline {
        return refuse("-force and -no-deadline are mutually exclusive");
    }
    match &args.deadline {
        Some(text) => match Duration::parse(text) {
            Ok(span) if span.0 > 0 => Ok(span),
            Ok(_) => Err(Failure::new("A positive drain duration must be given")),
            Err(error) => Err(Failure::new(format!("Failed to parse deadline {text:?}: {error}"))),
        },
        None if args.force => Ok(Duration::from_secs(-1)),
        None if args.no_deadline => Ok(Duration(0)),
        None => Ok(Duration::from_secs(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use nomadd_model::DrainMetadata;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &str) -> Args {
        Line::parse_from(std::iter::once("drain").chain(words.split_whitespace())).args
    }

    #[test]
    fn the_flags_mean_one_deadline() {
        for (words, seconds) in [
            ("--enable", 3600),
            ("--enable --force", -1),
            ("--enable --no-deadline", 0),
            ("--enable --deadline 90s", 90),
        ] {
            assert_eq!(deadline(&args(words)).unwrap(), Duration::from_secs(seconds), "{words}");
        }
        for (words, text) in [
            ("--disable --force", "-disable can't be combined with flags configuring drain strategy"),
            ("--enable --force --deadline 1m", "-deadline can't be combined with -force or -no-deadline"),
            ("--enable --force --no-deadline", "-force and -no-deadline are mutually exclusive"),
            ("--enable --deadline -1m", "A positive drain duration must be given"),
        ] {
            let words = words.replace("--deadline -1m", "--deadline=-1m");
            assert_eq!(deadline(&args(&words)).unwrap_err().message.lines().next(), Some(text), "{words}");
        }
    }

    #[test]
    fn what_was_noted_at_the_beginning_is_kept_at_the_end() {
        let begun = DrainMetadata { meta: [("message".to_owned(), "why".to_owned())].into(), ..Default::default() };
        let node = Node { last_drain: Some(begun), ..Node::default() };
        let ended = notes(&args("--disable -m enough --meta who=me"), &node);
        assert_eq!(ended.keys().map(String::as_str).collect::<Vec<_>>(), ["cancel_message", "message", "who"]);
        assert_eq!(notes(&args("--enable -m again"), &node)["message"], "again");
    }
}
