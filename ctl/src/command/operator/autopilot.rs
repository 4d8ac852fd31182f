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
