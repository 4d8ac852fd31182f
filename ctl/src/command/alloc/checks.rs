//! `alloc checks`: the results of Nomad's own service checks.

use std::collections::BTreeMap;

use nomadd_api::Request;
use nomadd_model::{AllocCheckStatus, Time};
use serde_json::Value;

use super::choose;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::text::{self, Length};

/// Whose checks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The allocation's id or the beginning of it
    allocation: Vec<String>,
    /// Show whole ids
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// Shows them.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.allocation, "<allocation>", "alloc checks")?;
    let chosen = choose::allocation(&context, prefix, Length::of(args.verbose)).await?;
    let request = Request::get(format!("/v1/client/allocation/{}/checks", chosen.id));
    let answer = chosen.client.call::<Value>(request).await;
    let value = answer.map_err(|error| Failure::request("querying allocation checks", &error))?.value;
    if let Some(text) = args.output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    let checks: Option<BTreeMap<String, AllocCheckStatus>> = serde_json::from_value(value)
        .map_err(|error| Failure::request("querying allocation checks", &nomadd_api::ApiError::Decode(error)))?;
    println!("{}", table(&checks.unwrap_or_default()));
    Ok(0)
}

/// All checks, one block each.
fn table(checks: &BTreeMap<String, AllocCheckStatus>) -> String {
    if checks.is_empty() {
        return "No Nomad Service Checks".to_owned();
    }
    let mut out = format!("Status of {} Nomad Service Checks\n", checks.len());
    for check in checks.values() {
        let task = if check.task.is_empty() { "(group)" } else { &check.task };
        let rows = [
            ("ID", check.id.clone()),
            ("Name", check.check.clone()),
            ("Group", check.group.clone()),
            ("Task", task.to_owned()),
            ("Service", check.service.clone()),
            ("Status", check.status.clone()),
            ("StatusCode", if check.status_code == 0 { String::new() } else { check.status_code.to_string() }),
            ("Mode", check.mode.clone()),
            ("Timestamp", text::local(Time(check.timestamp.saturating_mul(1_000_000_000)))),
            ("Output", check.output.clone()),
        ];
        for (key, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
            out.push_str(&format!("\n{key:<11} =  {value}"));
        }
        out.push('\n');
    }
    out
}
