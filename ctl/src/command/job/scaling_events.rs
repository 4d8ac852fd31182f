//! `job scaling-events`: who changed the counts of a job's groups, and when.

use nomadd_api::Request;
use nomadd_model::{JobScaleStatusResponse, Time};
use serde_json::Value;

use super::read;
use crate::command::arguments;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::Table;
use crate::text::{self, Length};

/// Which job.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id or the beginning of it
    job: Vec<String>,
    /// Errors, messages and evaluations, too
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// Lists them, the newest first.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = arguments::one(&args.job, "<job>", "job scaling-events")?;
    let (found, context) = read::job(prefix, &context).await?;
    let value: Value = read::get(&context, Request::get(found.path("/scale")), "listing scaling events").await?;
    if args.output.is_raw() {
        let events: Vec<&Value> = value["TaskGroups"]
            .as_object()
            .into_iter()
            .flat_map(|groups| groups.values())
            .filter_map(|group| group["Events"].as_array())
            .flatten()
            .collect();
        print!("{}", args.output.render(&serde_json::json!(events))?.unwrap_or_default());
        return Ok(0);
    }
    let status: JobScaleStatusResponse = serde_json::from_value(value)
        .map_err(|error| Failure::request("listing scaling events", &nomadd_api::ApiError::Decode(error)))?;
    let mut events: Vec<_> = status
        .task_groups
        .iter()
        .flat_map(|(group, status)| status.events.iter().map(move |event| (group, event)))
        .collect();
    events.sort_by_key(|(_, event)| std::cmp::Reverse(event.time));
    if events.is_empty() {
        println!("No events found");
        return Ok(0);
    }
    let header: &[&str] = if args.verbose {
        &["Task Group", "Count", "PrevCount", "Error", "Message", "Eval ID", "Date"]
    } else {
        &["Task Group", "Count", "PrevCount", "Date"]
    };
    let mut table = Table::new(header);
    for (group, event) in events {
        let count = event.count.map(|count| count.to_string()).unwrap_or_default();
        let mut row = vec![group.clone(), count, event.previous_count.to_string()];
        if args.verbose {
            let evaluation = event.eval_id.map(|id| Length::Full.id(id)).unwrap_or_default();
            row.extend([event.error.to_string(), event.message.clone(), evaluation]);
        }
        row.push(text::local(Time(event.time)));
        table.row(row);
    }
    println!("{}", table.text());
    Ok(0)
}
