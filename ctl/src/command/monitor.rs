//! `monitor`: the agent's log as it is written.

use nomadd_api::Request;

use super::alloc::stream::{self, To};
use super::find;
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::text::Length;

/// Whose log, and how much.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// The log of this node's agent
    #[arg(long, value_name = "ID")]
    node_id: Option<String>,
    /// The log of this server
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    server_id: String,
    /// As JSON
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    json: bool,
}

/// Shows it until Ctrl-C.
pub async fn run(args: Args, context: Context) -> Outcome {
    let failed = |error: nomadd_api::ApiError| Failure::new(format!("error starting monitor: {}", chain(&error)));
    let node = match &args.node_id {
        None => String::new(),
        Some(prefix) => {
            let found = find::node(&context, prefix, Length::Short, "querying node", "prefix or id").await?;
            found.id.to_string()
        }
    };
    let request = Request::get("/v1/agent/monitor")
        .query("log_level", &args.log_level)
        .query("node_id", node)
        .query("server_id", &args.server_id)
        .query("log_json", if args.json { "true" } else { "" });
    let follow = async {
        let mut frames = context.client.frames(request).await.map_err(failed)?;
        while let Some(frame) = frames.next().await.map_err(failed)? {
            if !stream::put(To::Stdout, &frame.data.0) {
                break;
            }
        }
        Ok(0)
    };
    tokio::select! {
        ended = follow => ended,
        _ = tokio::signal::ctrl_c() => Ok(0),
    }
}
