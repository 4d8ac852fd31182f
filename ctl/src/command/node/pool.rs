//! `node pool`: pools, their nodes and jobs; writing and deleting them have their own files.

pub mod apply;
pub mod delete;
pub mod init;

use clap::Subcommand;
use nomadd_api::{ApiError, Request};
use nomadd_model::{JobListStub, NodeListStub, NodePool};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::list::{self, Columns};
use crate::command::{arguments, job};
use crate::context::Context;
use crate::failure::{Failure, Outcome, program};
use crate::output::Output;
use crate::table::{Block, Table};
use crate::text::{Length, or_none};

/// A command about pools.
#[derive(Debug, Subcommand)]
pub enum Pool {
    /// Create a node pool, or change it
    Apply(apply::Args),
    /// Delete a node pool
    Delete(delete::Args),
    /// Show one pool
    Info(One),
    /// Write an example of a node pool's file
    Init(init::Args),
    /// Show the jobs of a pool
    Jobs(One),
    /// Show all pools
    List(List),
    /// Show the nodes of a pool
    Nodes(One),
}

/// Which pool.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The pool's name
    pool: Vec<String>,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
    /// Only what an expression is true for
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    filter: String,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    output: Output,
}

/// Which part of a long list.
#[derive(Debug, Default, clap::Args)]
pub struct Page {
    /// At most so many
    #[arg(long, value_name = "COUNT")]
    per_page: Option<u64>,
    /// Where the page begins
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page_token: String,
}

impl Page {
    fn of(&self, request: Request) -> Request {
        let per_page = self.per_page.map(|count| count.to_string()).unwrap_or_default();
        request.query("per_page", per_page).query("next_token", &self.page_token)
    }
}

/// Says how to go on where there is more.
fn more(next_token: &str, command: &str) {
    if !next_token.is_empty() {
        println!(
            "\nResults have been paginated. To get the next page run:\n\n{} node pool {command} -page-token {next_token}",
            program()
        );
    }
}

/// Which pools.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only pools that an expression is true for
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    filter: String,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    output: Output,
}

impl Pool {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Apply(args) => apply::run(args, context).await,
            Self::Delete(args) => delete::run(args, context).await,
            Self::Init(args) => init::run(&args),
            Self::Info(args) => one(args, &context, "", info).await,
            Self::Jobs(args) => one(args, &context, "/jobs", jobs).await,
            Self::Nodes(args) => one(args, &context, "/nodes", nodes).await,
            Self::List(args) => all(args, &context).await,
        }
    }
}

/// One pool for `status`, which knows only the name.
pub async fn info_of(name: &str, output: Output, context: &Context) -> Outcome {
    one(
        One { pool: vec![name.to_owned()], verbose: false, filter: String::new(), page: Page::default(), output },
        context,
        "",
        info,
    )
    .await
}

async fn all(args: List, context: &Context) -> Outcome {
    let request = args.page.of(Request::get("/v1/node/pools").query("filter", &args.filter));
    let answer = context.client.call::<Value>(request).await;
    let answer = answer.map_err(|error| Failure::request("querying node pools", &error))?;
    let (value, next_token) = (answer.value, answer.meta.next_token);
    if let Some(text) = args.output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    let pools: Vec<NodePool> = read::<Option<_>>(value)?.unwrap_or_default();
    let mut table = Table::new(&["Name", "Description"]);
    for pool in &pools {
        table.row([&pool.name, or_none(&pool.description)]);
    }
    println!("{}", if table.is_empty() { "No node pools".to_owned() } else { table.text() });
    more(&next_token, "list");
    Ok(0)
}

async fn one(
    args: One,
    context: &Context,
    below: &str,
    show: fn(Value, &One, &Context) -> Result<String, Failure>,
) -> Outcome {
    let command = if below.is_empty() { "info" } else { below.trim_start_matches('/') };
    let name = arguments::one(&args.pool, "<node-pool>", &format!("node pool {command}"))?;
    let path = format!("/v1/node/pool/{}{below}", nomadd_api::segment(name));
    let request = args.page.of(Request::get(path).query("filter", &args.filter));
    let (value, next_token) = match context.client.call::<Value>(request).await {
        Ok(answer) => (answer.value, answer.meta.next_token),
        Err(error) if error.is_not_found() => return Err(Failure::new(format!("Node pool {name:?} not found"))),
        Err(error) => return Err(Failure::request("querying node pool", &error)),
    };
    match args.output.render(&value)? {
        Some(text) => print!("{text}"),
        None => {
            println!("{}", show(value, &args, context)?);
            more(&next_token, &format!("{command} {name}"));
        }
    }
    Ok(0)
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| Failure::request("querying node pools", &ApiError::Decode(error)))
}

fn info(value: Value, _: &One, context: &Context) -> Result<String, Failure> {
    let pool: NodePool = read(value)?;
    let mut block = Block::new().with("Name", &pool.name).with("Description", &pool.description);
    if pool.node_identity_ttl.0 != 0 {
        block.put("Node Identity TTL", pool.node_identity_ttl);
    }
    let mut meta = Block::new();
    pool.meta.iter().for_each(|(key, value)| meta.put(key, value));
    let meta = if pool.meta.is_empty() { "No metadata".to_owned() } else { meta.text() };
    let scheduler = match &pool.scheduler_configuration {
        None => "No scheduler configuration".to_owned(),
        Some(scheduler) => {
            let mut block = Block::new();
            if !scheduler.scheduler_algorithm.is_empty() {
                block.put("Scheduler Algorithm", &scheduler.scheduler_algorithm);
            }
            if let Some(enabled) = scheduler.memory_oversubscription_enabled {
                block.put("Memory Oversubscription Enabled", enabled);
            }
            block.text()
        }
    };
    let titled = |title: &str, text: String| format!("{}\n{text}", context.bold(title));
    let parts = [block.text(), titled("Metadata", meta), titled("Scheduler Configuration", scheduler)];
    Ok(parts.join("\n\n"))
}

fn nodes(value: Value, args: &One, _: &Context) -> Result<String, Failure> {
    let nodes: Vec<NodeListStub> = read::<Option<_>>(value)?.unwrap_or_default();
    if nodes.is_empty() {
        return Ok("No nodes".to_owned());
    }
    Ok(list::table(&nodes, Length::of(args.verbose), Columns { of_pool: true, ..Columns::default() }))
}

fn jobs(value: Value, _: &One, context: &Context) -> Result<String, Failure> {
    let jobs: Vec<JobListStub> = read::<Option<_>>(value)?.unwrap_or_default();
    if jobs.is_empty() {
        return Ok("No jobs".to_owned());
    }
    Ok(job::resolve::list(&jobs, context.client.namespace == "*"))
}
