//! Drains the node of an agent that leaves in order, when its configuration says so, and waits until that is done.
//!
//! Asks the agent's own API, as `node drain -self` does. Called by `agent` before anything stops.

use std::time::Duration;

use nomadd_config::Drain;
use nomadd_http::{App, Method, ask};
use nomadd_model::NodeId;
use serde_json::{Value, json};

use crate::sd_notify;

/// Servers move the last allocation a little after the deadline.
const GRACE: Duration = Duration::from_secs(5);
/// How long one question waits for news.
const LOOK: Duration = Duration::from_secs(2);
/// The pause after a question that nobody answered.
const PAUSE: Duration = Duration::from_millis(500);

/// Drains the node and returns when it is drained, when the deadline is over, or when no server takes the order.
pub async fn drain(app: &App, node: NodeId, drain: Drain) {
    let deadline = drain.deadline.to_std() + GRACE;
    // The service manager's patience is for stops that move nothing.
    sd_notify::tell(&format!("EXTEND_TIMEOUT_USEC={}", (deadline + GRACE).as_micros()));
    println!("==> Draining this node (at most {} s)...", deadline.as_secs());
    match tokio::time::timeout(deadline, drained(app, node, drain)).await {
        Ok(Ok(())) => println!("==> Drained"),
        Ok(Err(error)) => tracing::warn!("this node was not drained: {error}"),
        Err(_) => tracing::warn!("this node was not drained within {} s: its tasks go on", deadline.as_secs()),
    }
}

async fn drained(app: &App, node: NodeId, drain: Drain) -> Result<(), String> {
    let path = format!("/v1/node/{node}");
    // A negative deadline stops everything at once.
    let nanoseconds = if drain.force { -1 } else { drain.deadline.0 };
    let order = json!({
        "DrainSpec": { "Deadline": nanoseconds, "IgnoreSystemJobs": drain.ignore_system_jobs },
        "Meta": { "message": "shutting down" },
    });
    ask(app, Method::PUT, &format!("{path}/drain"), &order).await?;
    loop {
        match ask(app, Method::GET, &path, &Value::Null).await {
            Ok(node) if node["DrainStrategy"].is_null() => return Ok(()),
            Ok(node) => {
                let since = node["ModifyIndex"].as_u64().unwrap_or_default();
                let path = format!("{path}?index={since}&wait={}s", LOOK.as_secs());
                let _changed = ask(app, Method::GET, &path, &Value::Null).await;
            }
            Err(error) => {
                tracing::warn!("waiting for the drain of this node: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
