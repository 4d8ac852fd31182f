//! `job init`: writes an example job that the nodes here can run.
//!
//! The driver is one that a ready node has; without an agent to ask it is raw_exec, which needs nothing.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use nomadd_api::Request;
use nomadd_model::{NodeListStub, NodeStatus};

use crate::context::Context;
use crate::failure::{Failure, Outcome};

mod example;

/// What to write.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file [default: example.nomad.hcl]
    path: Vec<String>,
    /// Without the comments that explain it
    #[arg(long)]
    short: bool,
}

/// Writes it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let path = match args.path.as_slice() {
        [] => "example.nomad.hcl",
        [path] => path,
        _ => return Err(Failure::usage("This command takes no arguments or one: <filename>", "job init")),
    };
    if Path::new(path).exists() {
        return Err(Failure::new(format!("Job '{path}' already exists")));
    }
    let text = example::job(example::Work::of(&drivers(&context).await), args.short);
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(format!("Job '{path}' already exists")),
        _ => Failure::new(format!("Failed to write '{path}': {error}")),
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    println!("Example job file written to {path}");
    Ok(0)
}

/// The drivers that ready nodes have; none when no agent can be asked.
async fn drivers(context: &Context) -> BTreeSet<String> {
    let asked = context.client.call::<Option<Vec<NodeListStub>>>(Request::get("/v1/nodes")).await;
    let nodes = asked.ok().and_then(|answer| answer.value).unwrap_or_default();
    let ready = nodes.into_iter().filter(|node| node.status == NodeStatus::Ready);
    ready.flat_map(|node| node.drivers).filter(|(_, driver)| driver.healthy).map(|(name, _)| name).collect()
}
