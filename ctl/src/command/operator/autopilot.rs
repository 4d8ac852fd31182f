//! `operator autopilot`: how servers take care of each other.

use clap::Subcommand;
use nomadd_api::Request;
use serde_json::Value;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::Table;

/// A command about autopilot.
#[derive(Debug, Subcommand)]
pub enum Autopilot {
    /// Show the configuration
    GetConfig(Get),
    /// Show how each server is
    Health(Get),
    /// Change the configuration
    SetConfig(Set),
}

/// What to change; what is not given stays.
#[derive(Debug, clap::Args)]
pub struct Set {
    /// Whether dead servers are removed
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    cleanup_dead_servers: Option<bool>,
    /// How long a healthy server may be without contact with the leader
    #[arg(long, value_name = "DURATION")]
    last_contact_threshold: Option<String>,
    /// How many entries a healthy server may be behind
    #[arg(long, value_name = "COUNT")]
    max_trailing_logs: Option<u64>,
    /// How many servers are kept, whatever happens
    #[arg(long, value_name = "COUNT")]
    min_quorum: Option<u64>,
    /// How long a new server must be healthy before it votes
    #[arg(long, value_name = "DURATION")]
    server_stabilization_time: Option<String>,
}

async fn set(args: Set, context: &Context) -> Outcome {
    let Set { cleanup_dead_servers, last_contact_threshold, max_trailing_logs, min_quorum, server_stabilization_time } =
        args;
    let path = "/v1/operator/autopilot/configuration";
    let failed = |error: &nomadd_api::ApiError| Failure::request("querying Autopilot configuration", error);
    let mut config = context.client.call::<Value>(Request::get(path)).await.map_err(|error| failed(&error))?.value;
    let changes = [
        ("CleanupDeadServers", cleanup_dead_servers.map(Value::from)),
        ("LastContactThreshold", last_contact_threshold.map(Value::from)),
        ("MaxTrailingLogs", max_trailing_logs.map(Value::from)),
        ("MinQuorum", min_quorum.map(Value::from)),
        ("ServerStabilizationTime", server_stabilization_time.map(Value::from)),
    ];
    for (key, value) in changes {
        if let Some(value) = value {
            config[key] = value;
        }
    }
    let index = config["ModifyIndex"].as_u64().unwrap_or_default().to_string();
    let request = Request::put(path).query("cas", &index).json(&config).map_err(|error| failed(&error))?;
    let set = context.client.call::<bool>(request).await;
    if set.map_err(|error| Failure::request("setting Autopilot configuration", &error))?.value {
        println!("Configuration updated!");
        Ok(0)
    } else {
        Err(Failure::new("Configuration could not be atomically updated, please try again".to_owned()))
    }
}

/// No more than how.
#[derive(Debug, clap::Args)]
pub struct Get {
    #[command(flatten)]
    output: Output,
}

/// The keys of the configuration in Nomad's order.
const KEYS: &[&str] = &[
    "CleanupDeadServers",
    "LastContactThreshold",
    "MaxTrailingLogs",
    "MinQuorum",
    "ServerStabilizationTime",
    "EnableRedundancyZones",
    "DisableUpgradeMigration",
    "EnableCustomUpgrades",
];

impl Autopilot {
    /// Does it.
    pub async fn run(self, context: Context) -> Outcome {
        let (args, path, show): (_, _, fn(&Value) -> String) = match self {
            Self::GetConfig(args) => (args, "configuration", configuration),
            Self::Health(args) => (args, "health", health),
            Self::SetConfig(args) => return set(args, &context).await,
        };
        let answer = context.client.call::<Value>(Request::get(format!("/v1/operator/autopilot/{path}"))).await;
        let value = answer.map_err(|error| Failure::request("querying Autopilot configuration", &error))?.value;
        match args.output.render(&value)? {
            Some(text) => print!("{text}"),
            None => println!("{}", show(&value)),
        }
        Ok(0)
    }
}

/// A value as Go prints it: texts without their quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn configuration(config: &Value) -> String {
    KEYS.iter().map(|key| format!("{key} = {}", plain(&config[key]))).collect::<Vec<_>>().join("\n")
}

fn health(health: &Value) -> String {
    let voters: Vec<String> = health["Voters"].as_array().into_iter().flatten().map(plain).collect();
    let mut table = Table::new(&[
        "ID",
        "Name",
        "Address",
        "SerfStatus",
        "Version",
        "Leader",
        "Voter",
        "Healthy",
        "LastContact",
        "LastTerm",
        "LastIndex",
        "StableSince",
    ]);
    for server in health["Servers"].as_array().into_iter().flatten() {
        let first = ["ID", "Name", "Address", "SerfStatus", "Version", "Leader", "Voter", "Healthy"];
        let mut row: Vec<String> = first.iter().map(|key| plain(&server[*key])).collect();
        row.extend(["LastContact", "LastTerm", "LastIndex"].map(|key| plain(&server[key])));
        row.push(since(&plain(&server["StableSince"])));
        table.row(row);
    }
    format!(
        "Healthy: {}\nFailureTolerance: {}\nLeader: {}\nVoters:  \n\t{}\nServers: \n{}\n",
        plain(&health["Healthy"]),
        plain(&health["FailureTolerance"]),
        plain(&health["Leader"]),
        voters.join("\n"),
        table.text()
    )
}

/// Go's own form of a time: `2026-11-21 02:51:44 +0000 UTC`.
fn since(text: &str) -> String {
    match text.split_once('T') {
        Some((day, time)) => {
            let time = time.split(['.', 'Z', '+']).next().unwrap_or_default();
            format!("{day} {time} +0000 UTC")
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_shown_as_nomad_shows_it() {
        let answer = serde_json::json!({
            "Healthy": true, "FailureTolerance": 0, "Leader": "d6af", "Voters": ["d6af"],
            "Servers": [{
                "ID": "d6af", "Name": "dev.global", "Address": "127.0.0.1:14647", "SerfStatus": "alive", "Version": "2.0.5",
                "Leader": true, "Voter": true, "Healthy": true, "LastContact": "0s", "LastTerm": 2, "LastIndex": 350,
                "StableSince": "2026-11-21T02:51:44.123Z",
            }],
        });
        let expected = "Healthy: true\nFailureTolerance: 0\nLeader: d6af\nVoters:  \n\td6af\nServers: \n\
            ID    Name        Address          SerfStatus  Version  Leader  Voter  Healthy  LastContact  LastTerm  LastIndex  StableSince\n\
            d6af  dev.global  127.0.0.1:14647  alive       2.0.5    true    true   true     0s           2         350        2026-11-21 02:51:44 +0000 UTC\n";
        assert_eq!(health(&answer), expected);
    }
}
