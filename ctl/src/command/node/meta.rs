//! `node meta`: a node's metadata, and changes of it while the agent runs.

use std::collections::BTreeMap;

use clap::Subcommand;
use nomadd_api::{ApiError, Request};
use serde_json::{Value, json};

use crate::command::find;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::Block;
use crate::text::Length;

/// A command about metadata.
#[derive(Debug, Subcommand)]
pub enum Meta {
    /// Change metadata while the agent runs
    Apply(Apply),
    /// Show all metadata and where it comes from
    Read(Read),
}

/// What to set and what to take away.
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// KEY=VALUE
    pairs: Vec<String>,
    /// The node; none: the agent's own
    #[arg(long, value_name = "ID")]
    node_id: Option<String>,
    /// Keys to take away, with commas between them
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    unset: Vec<String>,
}

/// Whose metadata.
#[derive(Debug, clap::Args)]
pub struct Read {
    /// The node; none: the agent's own
    #[arg(long, value_name = "ID")]
    node_id: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Meta {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Apply(args) => apply(args, &context).await,
            Self::Read(args) => read(args, &context).await,
        }
    }
}

async fn node(given: Option<&String>, context: &Context) -> Result<String, Failure> {
    match given {
        None => Ok(String::new()),
        Some(prefix) => {
            let found = find::node(context, prefix, Length::Short, "querying node", "prefix or id").await?;
            Ok(found.id.to_string())
        }
    }
}

async fn apply(args: Apply, context: &Context) -> Outcome {
    if args.pairs.is_empty() && args.unset.is_empty() {
        return Err(Failure::usage("Must specify meta key-value pairs or use -unset", "node meta apply"));
    }
    let id = node(args.node_id.as_ref(), context).await?;
    let mut meta: BTreeMap<&str, Value> = args.unset.iter().map(|key| (key.as_str(), Value::Null)).collect();
    for pair in &args.pairs {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::new(format!("Error parsing meta key-value pair {pair:?}: expected KEY=VALUE")));
        };
        meta.insert(key, value.into());
    }
    let failed = |error: ApiError| Failure::request("applying dynamic node metadata", &error);
    let request = Request::post("/v1/client/metadata").query("node_id", &id);
    let request = request.json(&json!({ "NodeID": id, "Meta": meta })).map_err(failed)?;
    context.client.bytes(request).await.map_err(failed)?;
    Ok(0)
}

async fn read(args: Read, context: &Context) -> Outcome {
    let id = node(args.node_id.as_ref(), context).await?;
    let request = Request::get("/v1/client/metadata").query("node_id", id);
    let answer = context.client.call::<Value>(request).await;
    let value = answer.map_err(|error| Failure::request("reading dynamic node metadata", &error))?.value;
    if let Some(text) = args.output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    let part = |title: &str, key: &str| format!("{}\n{}", context.bold(title), pairs(&value[key]));
    println!(
        "{}",
        [part("All Meta", "Meta"), part("Dynamic Meta", "Dynamic"), part("Static Meta", "Static")].join("\n\n")
    );
    Ok(0)
}

fn pairs(value: &Value) -> String {
    let mut block = Block::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        block.put(key, value.as_str().unwrap_or("<unset>"));
    }
    block.text()
}
