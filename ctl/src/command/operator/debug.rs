//! `operator debug`: one archive for whoever is called at night: state, metrics, logs and the views of all reachable agents.
//!
//! Chooses the agents (`agents`), asks them (`capture`), leaves secrets out (`mask`) and packs what came (`folder`). What could
//! not be had stands in `index.json` with the reason; one silent agent never spoils the archive.

mod agents;
mod capture;
mod folder;
mod mask;
mod progress;

use std::path::PathBuf;
use std::time::Duration;

use nomadd_api::{Client, Request};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cli::VERSION;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::text;
use agents::Chosen;
use capture::Capture;
use folder::Folder;
use progress::Progress;

/// What is captured, and for how long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long logs, events and metrics are captured
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    duration: String,
    /// How long between two captures of lists and metrics
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    interval: String,
    /// The level of the captured logs: trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL", default_value = "debug")]
    log_level: String,
    /// Servers to ask: names or ids with commas, leader, all or none
    #[arg(long, value_name = "SERVERS", default_value = "all")]
    server_id: String,
    /// Nodes to ask: ids or beginnings of them with commas, all or none
    #[arg(long, value_name = "NODES", default_value = "all")]
    node_id: String,
    /// With -node-id all: at most so many nodes; 0 is no limit
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    max_nodes: usize,
    /// With -node-id all: only nodes of this class
    #[arg(long, value_name = "CLASS", default_value = "", hide_default_value = true)]
    node_class: String,
    /// Write a folder into this one, and no archive
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Capture events, too: TOPIC or TOPIC:KEY with commas, all or none
    #[arg(long, value_name = "TOPICS", default_value = "none")]
    event_topic: String,
    /// With -event-topic: what is kept from this index on comes first
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    event_index: u64,
    /// Any server may answer, even without a leader
    #[arg(long)]
    stale: bool,
    /// Name each file as it is captured
    #[arg(long)]
    verbose: bool,
}

/// What was asked for, understood.
pub(crate) struct Wanted {
    duration: Duration,
    interval: Duration,
    log_level: String,
    topics: Vec<String>,
    event_index: u64,
}

/// The exit code when agents answered, but what they said could not be kept; as in Nomad.
const NOT_KEPT: u8 = 2;

/// Captures, packs, and says where it is.
pub async fn run(args: Args, context: Context) -> Outcome {
    let wanted = understood(&args)?;
    let mut client = context.client.clone();
    let namespace = if client.namespace.is_empty() { "*".to_owned() } else { std::mem::take(&mut client.namespace) };
    let about = client.call::<Value>(Request::get("/v1/agent/self")).await;
    let about = about.map_err(|error| Failure::request("querying agent", &error))?.value;
    let chosen = agents::choose(&client, &args, &about).await?;

    let progress = Progress::new(context.terminal, args.verbose);
    println!("Starting debugger...\n");
    print!("{}", head(&args, &chosen, &about, &client, &namespace));
    println!("\nCapturing cluster data...");
    let stamp: String =
        text::utc(text::now()).chars().filter(|c| *c != ':').map(|c| if c == 'T' { '-' } else { c }).collect();
    let name = format!("nomad-debug-{stamp}");
    let kept =
        |error: &dyn std::fmt::Display| Failure { code: NOT_KEPT, message: format!("Error collecting data: {error}") };
    let folder = Folder::create(args.output.as_deref(), &name).map_err(|error| kept(&error))?;

    let capture = Capture::new(client, namespace, args.stale, folder, progress);
    let start = Instant::now();
    let early = tokio::select! {
        () = capture.everything(&chosen, &wanted, start) => false,
        _ = tokio::signal::ctrl_c() => true,
    };
    let took = start.elapsed();
    capture.progress.clear();
    if early {
        println!("Interrupted: the archive holds what was captured until now");
    }
    let flags = flags(&args, &capture.namespace, &context);
    let (folder, missing, files) = capture.finish(json!({
        "Version": VERSION,
        "Agent": { "Version": about["config"]["Version"]["Version"], "Nomadd": about["config"]["Version"]["Nomadd"], "Name": about["member"]["Name"] },
        "CreatedAt": text::utc(text::now()),
        "CapturedSeconds": took.as_secs_f64(),
        "Interrupted": early,
        "Flags": flags,
        "Servers": chosen.servers,
        "Clients": chosen.nodes.iter().map(|node| &node.id).collect::<Vec<_>>(),
        "NotAsked": chosen.not_asked,
    })).map_err(|error| kept(&error))?;
    let made = if args.output.is_some() {
        folder.path().to_owned()
    } else {
        folder.pack(&name).map_err(|error| kept(&error))?
    };
    if missing > 0 {
        println!("{missing} of {} questions have no answer: index.json says which and why", missing + files);
    }
    let what = if args.output.is_some() { "directory" } else { "archive" };
    println!("Created debug {what}: {}", made.display());
    Ok(0)
}

fn understood(args: &Args) -> Result<Wanted, Failure> {
    let span = |name: &str, text: &str| {
        let parsed =
            nomadd_model::Duration::parse(text).ok().filter(|span| span.0 > 0).map(nomadd_model::Duration::to_std);
        parsed.ok_or_else(|| Failure::new(format!("Error parsing {name}: {text:?} is no duration such as 30s or 2m")))
    };
    let (duration, interval) = (span("duration", &args.duration)?, span("interval", &args.interval)?);
    if interval > duration {
        return Err(Failure::new(format!(
            "Error parsing interval: {} is greater than duration {}",
            args.interval, args.duration
        )));
    }
    let log_level = args.log_level.to_lowercase();
    if !["trace", "debug", "info", "warn", "error"].contains(&log_level.as_str()) {
        return Err(Failure::usage(&format!("Unknown log level: {:?}", args.log_level), "operator debug"));
    }
    let topics = match args.event_topic.as_str() {
        "" | "none" => Vec::new(),
        "all" | "*" => vec!["*".to_owned()],
        list => list.split(',').map(|topic| topic.trim().to_owned()).collect(),
    };
    Ok(Wanted { duration, interval, log_level, topics, event_index: args.event_index })
}

/// What is going to be asked, as Nomad tells it.
fn head(args: &Args, chosen: &Chosen, about: &Value, client: &Client, namespace: &str) -> String {
    let region =
        if client.region.is_empty() { about["config"]["Region"].as_str().unwrap_or_default() } else { &client.region };
    let short = text::Length::of(args.verbose);
    let nodes: Vec<String> = chosen.nodes.iter().map(|node| short.id(&node.id)).collect();
    let rows = [
        ("nomadctl Version", VERSION.to_owned()),
        ("Region", region.to_owned()),
        ("Namespace", namespace.to_owned()),
        ("Servers", format!("({}/{}) [{}]", chosen.servers.len(), chosen.known_servers, chosen.servers.join(" "))),
        ("Clients", format!("({}/{}) [{}]", nodes.len(), chosen.known_nodes, nodes.join(" "))),
        ("Interval", args.interval.clone()),
        ("Duration", args.duration.clone()),
    ];
    rows.iter().map(|(name, value)| format!("{name:>17}: {value}\n")).collect()
}

/// The flags, for whoever reads the archive. Of a token only whether there was one.
fn flags(args: &Args, namespace: &str, context: &Context) -> Value {
    json!({
        "address": context.client.address.to_string(), "region": context.client.region, "namespace": namespace,
        "token": !context.client.token.is_empty(), "duration": args.duration, "interval": args.interval,
        "log-level": args.log_level, "server-id": args.server_id, "node-id": args.node_id, "max-nodes": args.max_nodes,
        "node-class": args.node_class, "event-topic": args.event_topic, "event-index": args.event_index, "stale": args.stale,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Words {
        #[command(flatten)]
        args: Args,
    }

    fn check(words: &[&str]) -> Result<Wanted, String> {
        let words = std::iter::once("debug").chain(words.iter().copied());
        understood(&Words::try_parse_from(words).unwrap().args).map_err(|failure| failure.message)
    }

    #[test]
    fn spans_levels_and_topics_are_understood_or_refused() {
        let usual = check(&[]).unwrap();
        assert_eq!((usual.duration.as_secs(), usual.interval.as_secs(), usual.topics.len()), (120, 30, 0));
        let some = check(&["--event-topic", "Job:web, Node", "--log-level", "TRACE"]).unwrap();
        assert_eq!((some.topics, some.log_level), (vec!["Job:web".to_owned(), "Node".to_owned()], "trace".to_owned()));
        let refused = |words: &[&str], expected: &str| {
            let text = check(words).err().unwrap();
            assert!(text.starts_with(expected), "{text}");
        };
        refused(&["--duration", "soon"], "Error parsing duration: \"soon\"");
        refused(&["--interval", "0s"], "Error parsing interval: \"0s\"");
        refused(&["--duration", "1s"], "Error parsing interval: 30s is greater than duration 1s");
        refused(&["--log-level", "loud"], "Unknown log level: \"loud\"");
    }
}
