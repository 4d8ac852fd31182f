//! `event stream`: events as they come, a line each, or the API's own lines with `-json`.

use nomadd_api::Request;
use serde_json::Value;

use crate::command::alloc::stream::{self, To};
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};

/// Which events.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// TOPIC or TOPIC:KEY, such as Job, Allocation:web or Node (may be given again) [default: all]
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// What is kept from this index of the log on comes first
    #[arg(long, value_name = "INDEX")]
    index: Option<u64>,
    /// The API's lines as they are, without signs of life
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    json: bool,
}

/// Shows them until Ctrl-C.
pub async fn run(args: Args, context: Context) -> Outcome {
    tokio::select! {
        ended = follow(&args, &context) => ended,
        _ = tokio::signal::ctrl_c() => Ok(0),
    }
}

async fn follow(args: &Args, context: &Context) -> Outcome {
    let failed = |error: nomadd_api::ApiError| Failure::new(format!("Error following events: {}", chain(&error)));
    let mut request = Request::get("/v1/event/stream").query("index", args.index.unwrap_or_default());
    for topic in &args.topic {
        request = request.query("topic", topic);
    }
    let mut lines = context.client.lines(request).await.map_err(failed)?;
    while let Some(line) = lines.next().await.map_err(failed)? {
        let value: Value = serde_json::from_str(&line)
            .map_err(|error| Failure::new(format!("Error following events: the line {line:?} is not JSON: {error}")))?;
        if let Some(error) = value["Error"].as_str() {
            return Err(Failure::new(format!("Error following events: {error}")));
        }
        let printed = match &value["Events"] {
            Value::Array(_) if args.json => format!("{line}\n"),
            Value::Array(events) => events.iter().map(text).collect(),
            _ => continue,
        };
        if !stream::put(To::Stdout, printed.as_bytes()) {
            break;
        }
    }
    Err(Failure::new("Error following events: the agent has ended the stream"))
}

/// `INDEX  TOPIC  TYPE  KEY  what matters`.
fn text(event: &Value) -> String {
    let word = |name: &str| event[name].as_str().unwrap_or_default();
    let thing = &event["Payload"][word("Topic")];
    let field = |name: &str| thing[name].as_str().filter(|text| !text.is_empty());
    let mut told: Vec<String> = Vec::new();
    for (name, label) in [
        ("JobID", "job"),
        ("TaskGroup", "group"),
        ("NodeName", "node"),
        ("Name", "name"),
        ("TriggeredBy", "by"),
        ("DesiredStatus", "desired"),
        ("ClientStatus", "client"),
        ("Status", "status"),
        ("SchedulingEligibility", "eligibility"),
    ] {
        // The name of an allocation or job says nothing that the key and job do not.
        if !(name == "Name" && word("Topic") != "Node")
            && let Some(text) = field(name)
        {
            told.push(format!("{label}={text}"));
        }
    }
    if event["Payload"]["Deleted"] == true {
        told.push("deleted".to_owned());
    }
    let namespace = word("Namespace");
    let key = if namespace.is_empty() { word("Key").to_owned() } else { format!("{namespace}/{}", word("Key")) };
    format!(
        "{:>8}  {:<10}  {:<29}  {key}  {}\n",
        event["Index"].to_string(),
        word("Topic"),
        word("Type"),
        told.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn an_event_is_one_line_with_what_matters() {
        let event = json!({"Index": 12, "Topic": "Allocation", "Type": "AllocationUpdated", "Key": "a1", "Namespace": "default",
            "Payload": {"Allocation": {"JobID": "web", "Name": "web.g[0]", "TaskGroup": "g", "ClientStatus": "running", "DesiredStatus": "run"}}});
        assert_eq!(
            super::text(&event),
            "      12  Allocation  AllocationUpdated              default/a1  job=web group=g desired=run client=running\n"
        );
    }
}
