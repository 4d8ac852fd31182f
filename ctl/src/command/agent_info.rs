//! `agent-info`: what the agent counts and knows of itself.

use nomadd_api::{ApiError, Request};
use nomadd_model::AgentSelf;
use serde_json::Value;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// No more than how.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Output,
}

/// Shows it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let failed = |error: ApiError| Failure::request("querying agent info", &error);
    let value = context.client.call::<Value>(Request::get("/v1/agent/self")).await.map_err(failed)?.value;
    if let Some(text) = args.output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    let agent: AgentSelf = serde_json::from_value(value).map_err(|error| failed(ApiError::Decode(error)))?;
    for (part, figures) in &agent.stats {
        println!("{part}");
        for (name, value) in figures {
            println!("  {name} = {value}");
        }
    }
    Ok(0)
}
