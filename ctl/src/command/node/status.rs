//! `node status`: all nodes, or everything about one.

use std::collections::BTreeMap;

use nomadd_api::{ApiError, Client, Request};
use nomadd_model::{AllocResourceUsage, AllocationListStub, ClientStatus, HostStats, Node, NodeListStub, NodeStatus};
use serde_json::Value;

use super::list::{self, Columns};
use crate::command::find;
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain, program};
use crate::hint;
use crate::output::Output;
use crate::text::{self, Length};

pub mod block;
pub mod details;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node's id or the beginning of it; none: all nodes
    node: Vec<String>,
    /// This agent's own node
    #[arg(long = "self")]
    own: bool,
    /// All that is known of the use of resources
    #[arg(long)]
    stats: bool,
    /// In the list: how many allocations run on each node
    #[arg(long)]
    allocs: bool,
    /// Only what the node is, and its allocations
    #[arg(long)]
    short: bool,
    /// Whole ids, drivers, attributes and metadata
    #[arg(long)]
    verbose: bool,
    /// In the list: at most so many nodes
    #[arg(long, value_name = "COUNT")]
    per_page: Option<u64>,
    /// In the list: where the page begins
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page_token: String,
    /// In the list: only nodes that an expression is true for
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    filter: String,
    /// In the list: the operating system
    #[arg(long)]
    os: bool,
    /// In the list: only ids
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    output: Output,
}

/// A node and what is known around it.
#[derive(Debug, Default)]
pub struct Whole {
    /// The node.
    pub node: Node,
    /// What was ever placed on it and is still known, newest first.
    pub allocations: Vec<AllocationListStub>,
    /// What it uses; `None` when it does not answer.
    pub stats: Option<HostStats>,
    /// What its running allocations use.
    pub usage: Vec<AllocResourceUsage>,
}

/// Shows it.
pub async fn run(args: Args, context: Context) -> Outcome {
    match (args.node.as_slice(), args.own) {
        ([], false) => all(&args, &context).await,
        ([], true) => one(&args, &find::own_node(&context).await?, &context).await,
        ([prefix], _) => one(&args, prefix, &context).await,
        _ => Err(Failure::usage("This command takes either one or no arguments", "node status")),
    }
}

/// The same for `status`, which knows only the id.
pub async fn of(prefix: &str, verbose: bool, output: Output, context: &Context) -> Outcome {
    let args = Args {
        node: Vec::new(),
        own: false,
        stats: false,
        allocs: false,
        short: false,
        verbose,
        per_page: None,
        page_token: String::new(),
        filter: String::new(),
        os: false,
        quiet: false,
        output,
    };
    one(&args, prefix, context).await
}

async fn all(args: &Args, context: &Context) -> Outcome {
    let request = Request::get("/v1/nodes")
        .query("os", if args.os { "true" } else { "" })
        .query("filter", &args.filter)
        .query("per_page", args.per_page.map(|count| count.to_string()).unwrap_or_default())
        .query("next_token", &args.page_token);
    let failed = |error: &ApiError| Failure::request("querying node status", error);
    let answer = context.client.call::<Value>(request).await.map_err(|error| failed(&error))?;
    if let Some(text) = args.output.render(&answer.value)? {
        print!("{text}");
        return Ok(0);
    }
    let nodes: Option<Vec<NodeListStub>> =
        serde_json::from_value(answer.value).map_err(|error| failed(&ApiError::Decode(error)))?;
    let nodes = nodes.unwrap_or_default();
    let length = Length::of(args.verbose);
    if nodes.is_empty() {
        println!("{}", if args.filter.is_empty() { "No nodes registered" } else { "No nodes match the filter" });
    } else if args.quiet {
        nodes.iter().for_each(|node| println!("{}", length.id(node.id)));
    } else {
        let running = match args.allocs {
            true => Some(running(&context.client, &nodes).await?),
            false => None,
        };
        println!("{}", list::table(&nodes, length, Columns { of_pool: false, os: args.os, running }));
    }
    if !answer.meta.next_token.is_empty() {
        println!(
            "\nResults have been paginated. To get the next page run:\n\n{} node status -page-token {}",
            program(),
            answer.meta.next_token
        );
    }
    hint::web_ui(context, "and manage Nomad clients", "/clients");
    Ok(0)
}

/// How many allocations run on each node.
async fn running(client: &Client, nodes: &[NodeListStub]) -> Result<BTreeMap<nomadd_model::NodeId, usize>, Failure> {
    let mut counts = BTreeMap::new();
    for node in nodes {
        let count = allocations(client, &node.id.to_string()).await?.iter().filter(|found| runs(found)).count();
        counts.insert(node.id, count);
    }
    Ok(counts)
}

fn runs(allocation: &AllocationListStub) -> bool {
    allocation.client_status == ClientStatus::Running
}

async fn one(args: &Args, prefix: &str, context: &Context) -> Outcome {
    let length = Length::of(args.verbose);
    let found = find::node(context, prefix, length, "querying node info", "prefix").await?;
    let id = found.id.to_string();
    let failed = |error: ApiError| Failure::request("querying node info", &error);
    let value = context.client.call::<Value>(Request::get(format!("/v1/node/{id}"))).await.map_err(failed)?.value;
    if let Some(text) = args.output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    let node: Node = serde_json::from_value(value).map_err(|error| failed(ApiError::Decode(error)))?;
    let allocations = allocations(&context.client, &id).await?;
    let mut whole = Whole { node, allocations, ..Whole::default() };
    if !args.short && whole.node.status != NodeStatus::Down {
        let request = Request::get("/v1/client/stats").query("node_id", &id);
        match context.client.call(request).await {
            Ok(answer) => whole.stats = Some(answer.value),
            Err(error) => eprintln!("error fetching node stats: {}", chain(&error)),
        }
        for allocation in whole.allocations.iter().filter(|found| runs(found)) {
            let request = Request::get(format!("/v1/client/allocation/{}/stats", allocation.id));
            // One that ended in between has nothing to add.
            if let Ok(answer) = context.client.call(request).await {
                whole.usage.push(answer.value);
            }
        }
    }
    let options = details::Options { short: args.short, stats: args.stats, verbose: args.verbose };
    println!("{}", details::text(&whole, options, context, text::now()));
    hint::web_ui(context, "client details and metrics", &format!("/clients/{id}"));
    Ok(0)
}

async fn allocations(client: &Client, id: &str) -> Result<Vec<AllocationListStub>, Failure> {
    let answer = client.call::<Option<Vec<AllocationListStub>>>(
        Request::get(format!("/v1/node/{id}/allocations")).query("namespace", "*"),
    );
    let answer = answer.await.map_err(|error| Failure::request("querying node allocations", &error))?;
    let mut found = answer.value.unwrap_or_default();
    found.sort_by_key(|found| std::cmp::Reverse((found.create_index, found.create_time)));
    Ok(found)
}
