//! The group `namespace`: what namespaces there are; writing and deleting them have their own files.

pub mod apply;
pub mod delete;

use clap::Subcommand;
use nomadd_api::{ApiError, Request};
use nomadd_model::Namespace as Noun;
use serde_json::Value;

use super::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::{Block, Table};
use crate::text::or_none;

/// A command about namespaces.
#[derive(Debug, Subcommand)]
pub enum Namespace {
    /// Create a namespace, or change it
    Apply(apply::Args),
    /// Delete a namespace
    Delete(delete::Args),
    /// Show a namespace as the servers keep it
    Inspect(One),
    /// Show all namespaces
    List(List),
    /// Show one namespace
    Status(One),
}

/// Which namespace.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The namespace's name or the beginning of it
    #[arg(value_name = "NAMESPACE")]
    name: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// No more than how.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    output: Output,
}

impl Namespace {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Apply(args) => apply::run(args, context).await,
            Self::Delete(args) => delete::run(args, context).await,
            Self::Inspect(args) => inspect(args, &context).await,
            Self::List(args) => list(args, &context).await,
            Self::Status(args) => {
                let name = arguments::one(&args.name, "<namespace>", "namespace status")?;
                status_of(name, args.output, &context).await
            }
        }
    }
}

async fn list(args: List, context: &Context) -> Outcome {
    let value = all(context, "").await?;
    if let Some(text) = args.output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    let mut table = Table::new(&["Name", "Description"]);
    for namespace in read::<Option<Vec<Noun>>>(value)?.unwrap_or_default() {
        table.row([namespace.name.as_str(), or_none(&namespace.description)]);
    }
    println!("{}", if table.is_empty() { "No namespaces found".to_owned() } else { table.text() });
    Ok(0)
}

/// One namespace; also for `status`.
pub async fn status_of(prefix: &str, output: Output, context: &Context) -> Outcome {
    let value = find(prefix, context).await?;
    if let Some(text) = output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    println!("{}", text(&read(value)?, context));
    Ok(0)
}

async fn inspect(args: One, context: &Context) -> Outcome {
    let prefix = arguments::one(&args.name, "<namespace>", "namespace inspect")?;
    let value = find(prefix, context).await?;
    let output = if args.output.is_raw() { args.output } else { Output { json: true, ..args.output } };
    print!("{}", output.render(&value)?.unwrap_or_default());
    Ok(0)
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| Failure::request("retrieving namespaces", &ApiError::Decode(error)))
}

async fn all(context: &Context, prefix: &str) -> Result<Value, Failure> {
    let answer = context.client.call::<Value>(Request::get("/v1/namespaces").query("prefix", prefix)).await;
    Ok(answer.map_err(|error| Failure::request("retrieving namespaces", &error))?.value)
}

/// The one namespace that a beginning means; an exact name wins.
async fn find(prefix: &str, context: &Context) -> Result<Value, Failure> {
    let found = all(context, prefix).await?;
    let found = found.as_array().cloned().unwrap_or_default();
    let exact = found.iter().find(|namespace| namespace["Name"] == prefix);
    let refuse = |text: String| Err(Failure::new(format!("Error retrieving namespaces: {text}")));
    match (exact, found.as_slice()) {
        (Some(only), _) | (None, [only]) => Ok(only.clone()),
        (None, []) => refuse(format!("Namespace {prefix:?} matched no namespaces")),
        (None, many) => {
            let names: Vec<&str> = many.iter().filter_map(|namespace| namespace["Name"].as_str()).collect();
            refuse(format!("Prefix {prefix:?} matched multiple namespaces: {}", names.join(", ")))
        }
    }
}

fn text(namespace: &Noun, context: &Context) -> String {
    let none = |list: &[String]| list.join(",");
    let any = |list: &[String]| if list.is_empty() { "*".to_owned() } else { list.join(",") };
    let may = namespace.capabilities.clone().unwrap_or_default();
    let block = Block::new()
        .with("Name", &namespace.name)
        .with("Description", &namespace.description)
        .with("Quota", &namespace.quota)
        .with("Enabled Drivers", any(&may.enabled_task_drivers))
        .with("Disabled Drivers", none(&may.disabled_task_drivers))
        .with("Enabled Network Modes", any(&may.enabled_network_modes))
        .with("Disabled Network Modes", none(&may.disabled_network_modes));
    let mut parts = vec![block.text()];
    if !namespace.meta.is_empty() {
        let mut meta = Block::new();
        namespace.meta.iter().for_each(|(key, value)| meta.put(key, value));
        parts.push(format!("{}\n{}", context.bold("Metadata"), meta.text()));
    }
    if let Some(pools) = &namespace.node_pool_configuration {
        let mut block = Block::new().with("Default", &pools.default);
        if let Some(allowed) = &pools.allowed {
            block.put("Allowed", none(allowed));
        }
        if !pools.denied.is_empty() {
            block.put("Denied", none(&pools.denied));
        }
        parts.push(format!("{}\n{}", context.bold("Node Pool Configuration"), block.text()));
    }
    parts.join("\n\n")
}
