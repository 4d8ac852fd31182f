//! `eval status`: everything about one evaluation.

use nomadd_api::{ApiError, Request};
use nomadd_model::{AllocationListStub, Evaluation, EvaluationStub, Time};
use serde_json::Value;

use crate::command::{arguments, find};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::show::evaluations::failures;
use crate::show::placement;
use crate::table::{Block, Table};
use crate::text::{self, Length, or_none};
use crate::{hint, monitor};

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The evaluation's id or the beginning of it
    evaluation: Vec<String>,
    /// Watch it to its end
    #[arg(long)]
    monitor: bool,
    /// Whole ids and times
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

/// An evaluation and what belongs to it.
#[derive(Debug, Default)]
pub struct Whole {
    /// The evaluation.
    pub evaluation: Evaluation,
    /// Those before and after it.
    pub related: Vec<EvaluationStub>,
    /// What it placed or changed.
    pub allocations: Vec<AllocationListStub>,
}

/// Shows it.
pub async fn run(args: Args, context: Context) -> Outcome {
    let prefix = match args.evaluation.as_slice() {
        [prefix] => prefix,
        _ => return Err(Failure::usage("This command takes one argument", "eval status")),
    };
    show(&args, prefix, &context).await
}

/// The same for `status`, which knows only the id.
pub async fn of(prefix: &str, verbose: bool, output: Output, context: &Context) -> Outcome {
    let args = Args { evaluation: Vec::new(), monitor: false, verbose, output };
    show(&args, arguments::one(&[prefix.to_owned()], "<evaluation>", "status")?, context).await
}

async fn show(args: &Args, prefix: &str, context: &Context) -> Outcome {
    let length = Length::of(args.verbose);
    let found = find::evaluation(context, prefix, length).await?;
    let context = &find::within(context, &found.namespace);
    let id = found.id.to_string();
    if args.monitor {
        return monitor::evaluation(context, &id, length).await;
    }
    let failed = |error: ApiError| Failure::request("querying evaluation", &error);
    let request = Request::get(format!("/v1/evaluation/{id}")).query("related", "true");
    let value = context.client.call::<Value>(request).await.map_err(failed)?.value;
    if let Some(text) = args.output.render(&value)? {
        print!("{text}");
        return Ok(0);
    }
    let related = serde_json::from_value::<Option<Vec<EvaluationStub>>>(value["RelatedEvals"].clone());
    let related = related.map_err(|error| failed(ApiError::Decode(error)))?.unwrap_or_default();
    let evaluation = serde_json::from_value(value).map_err(|error| failed(ApiError::Decode(error)))?;
    let request = Request::get(format!("/v1/evaluation/{id}/allocations"));
    let answer = context.client.call::<Option<_>>(request).await;
    let answer = answer.map_err(|error| Failure::request("querying related allocations", &error))?;
    let whole = Whole { evaluation, related, allocations: answer.value.unwrap_or_default() };
    println!("{}", text(&whole, args.verbose, context, text::now()));
    hint::web_ui(context, "evaluation details", &format!("/evaluations?currentEval={id}"));
    Ok(0)
}

/// All parts, with an empty line between them.
fn text(whole: &Whole, verbose: bool, context: &Context, now: Time) -> String {
    let titled = |title: &str, text: String| format!("{}\n{text}", context.bold(title));
    let mut parts = vec![block(whole, verbose, now)];
    parts.extend(related(whole, verbose).map(|table| titled("Related Evaluations", table)));
    parts.extend(annotations(whole, verbose).map(|table| titled("Plan Annotations", table)));
    if !whole.evaluation.failed_tg_allocs.is_empty() {
        let groups = whole.evaluation.failed_tg_allocs.iter().map(|(group, metric)| {
            format!("{}\n{}", placement::headline(group, metric), placement::reasons(metric, "  ").join("\n"))
        });
        parts.push(titled("Failed Placements", groups.collect::<Vec<_>>().join("\n\n")));
    }
    if !whole.allocations.is_empty() {
        parts.push(titled("Placed Allocations", placed(&whole.allocations, verbose, now)));
    }
    parts.join("\n\n")
}

fn block(whole: &Whole, verbose: bool, now: Time) -> String {
    let evaluation = &whole.evaluation;
    let length = Length::of(verbose);
    let moment = |nanoseconds: i64| match verbose {
        true => text::local(Time(nanoseconds)),
        false => text::ago(Time(nanoseconds), now),
    };
    let description = match evaluation.status_description.as_str() {
        "" => evaluation.status.to_string(),
        text => text.to_owned(),
    };
    let mut block = Block::new()
        .with("ID", length.id(evaluation.id))
        .with("Create Time", moment(evaluation.create_time))
        .with("Modify Time", moment(evaluation.modify_time))
        .with("Status", evaluation.status)
        .with("Status Description", description)
        .with("Type", &evaluation.kind)
        .with("TriggeredBy", evaluation.triggered_by)
        .with("Job ID", &evaluation.job_id)
        .with("Namespace", &evaluation.namespace);
    if evaluation.node_id.is_some() {
        block.put("Node ID", length.id(evaluation.node_id));
    }
    block.put("Priority", evaluation.priority);
    block.put("Placement Failures", failures(evaluation));
    if evaluation.wait_until != Time::default() {
        block.put("Wait Until", moment(evaluation.wait_until.0));
    }
    block.put("Previous Eval", length.id(evaluation.previous_eval));
    block.put("Next Eval", length.id(evaluation.next_eval));
    block.put("Blocked Eval", length.id(evaluation.blocked_eval));
    block.text()
}

fn related(whole: &Whole, verbose: bool) -> Option<String> {
    let length = Length::of(verbose);
    let mut table = Table::new(&["ID", "Priority", "Triggered By", "Node ID", "Status", "Description"]);
    for evaluation in &whole.related {
        table.row([
            length.id(evaluation.id),
            evaluation.priority.to_string(),
            evaluation.triggered_by.to_string(),
            or_none(&length.id(evaluation.node_id)).to_owned(),
            evaluation.status.to_string(),
            or_none(&evaluation.status_description).to_owned(),
        ]);
    }
    (!table.is_empty()).then(|| table.text())
}

fn annotations(whole: &Whole, verbose: bool) -> Option<String> {
    let updates = &whole.evaluation.plan_annotations.as_ref()?.desired_tg_updates;
    let mut header = vec!["Task Group", "Ignore", "Place", "Stop", "InPlace", "Destructive"];
    if verbose {
        header.extend([
            "Migrate",
            "Canary",
            "Preemptions",
            "Reschedule Now",
            "Reschedule Later",
            "Disconnect",
            "Reconnect",
        ]);
    }
    let mut table = Table::new(&header);
    for (group, update) in updates {
        let counts = [update.ignore, update.place, update.stop, update.in_place_update, update.destructive_update];
        let more = [
            update.migrate,
            update.canary,
            update.preemptions,
            update.reschedule_now,
            update.reschedule_later,
            update.disconnect,
            update.reconnect,
        ];
        let mut row = vec![group.clone()];
        row.extend(counts.iter().chain(more.iter().filter(|_| verbose)).map(u64::to_string));
        table.row(row);
    }
    (!table.is_empty()).then(|| table.text())
}

/// What was placed: whole ids when asked for, times always relative.
fn placed(allocations: &[AllocationListStub], verbose: bool, now: Time) -> String {
    let length = Length::of(verbose);
    let mut table = Table::new(&["ID", "Node ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"]);
    for allocation in allocations {
        table.row([
            length.id(allocation.id),
            length.id(allocation.node_id),
            allocation.task_group.to_string(),
            allocation.job_version.to_string(),
            allocation.desired_status.to_string(),
            allocation.client_status.to_string(),
            text::ago(Time(allocation.create_time), now),
            text::ago(Time(allocation.modify_time), now),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests;
