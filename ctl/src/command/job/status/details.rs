//! How a job is: counts, evaluations, failed placements, deployment, allocations; or its children.

use std::collections::BTreeMap;

use nomadd_model::{AllocationListStub, Evaluation, EvaluationStatus, Time};

use super::Whole;
use crate::context::Context;
use crate::failure::program;
use crate::show::{allocations, deployment, evaluations, placement};
use crate::table::{Block, Table};
use crate::text::{self, Length};

/// At most so many groups' failed placements are shown.
const MAX_FAILED_GROUPS: usize = 5;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whole ids and times.
    pub verbose: bool,
    /// Evaluations, too.
    pub evaluations: bool,
}

/// All parts, with an empty line between them.
pub fn text(whole: &Whole, options: Options, context: &Context, now: Time) -> String {
    let titled = |title: &str, text: String| format!("{}\n{text}", context.bold(title));
    if whole.job.parameterized_job.is_some() {
        return dispatched(whole, context).join("\n\n");
    }
    if whole.job.periodic.is_some() {
        return launched(whole, context).join("\n\n");
    }
    let length = Length::of(options.verbose);
    let mut parts = vec![titled("Summary", summary(whole))];
    if options.evaluations {
        parts.push(titled("Evaluations", evaluations::of_job(&whole.evaluations, length)));
    }
    let blocked = whole.evaluations.iter().any(|evaluation| evaluation.status == EvaluationStatus::Blocked);
    let failed = whole.evaluations.iter().filter(|evaluation| !evaluation.failed_tg_allocs.is_empty());
    if let (true, Some(failed)) = (blocked, failed.max_by_key(|evaluation| evaluation.create_index)) {
        parts.push(titled("Placement Failure", failures(failed)));
    }
    if let Some(table) = rescheduling(whole, length, now) {
        parts.push(titled("Future Rescheduling Attempts", table));
    }
    if let Some(newest) = &whole.deployment {
        parts.push(titled("Latest Deployment", deployment::of_job(newest, length, context)));
    }
    parts.push(titled("Allocations", allocations::table(&whole.allocations, options.verbose, now)));
    parts.join("\n\n")
}

fn summary(whole: &Whole) -> String {
    let mut table =
        Table::new(&["Task Group", "Queued", "Starting", "Running", "Failed", "Complete", "Lost", "Unknown"]);
    for (group, counts) in &whole.summary.summary {
        let mut row = vec![group.to_string()];
        let counts = [
            counts.queued,
            counts.starting,
            counts.running,
            counts.failed,
            counts.complete,
            counts.lost,
            counts.unknown,
        ];
        row.extend(counts.map(|count| count.to_string()));
        table.row(row);
    }
    table.text()
}

fn failures(failed: &Evaluation) -> String {
    let groups =
        failed.failed_tg_allocs.iter().take(MAX_FAILED_GROUPS).map(|(group, metric)| {
            format!("Task Group {:?}:\n{}", &**group, placement::reasons(metric, "  ").join("\n"))
        });
    let mut text = groups.collect::<Vec<_>>().join("\n\n");
    if failed.failed_tg_allocs.len() > MAX_FAILED_GROUPS {
        text.push_str(&format!(
            "\n\nPlacement failures truncated. To see remainder run:\n{} eval status {}",
            program(),
            failed.id
        ));
    }
    text
}

/// When failed allocations are tried again, by group.
fn rescheduling(whole: &Whole, length: Length, now: Time) -> Option<String> {
    let mut newest: BTreeMap<&str, &AllocationListStub> = BTreeMap::new();
    for allocation in &whole.allocations {
        let known = newest.entry(&allocation.task_group).or_insert(allocation);
        if allocation.modify_time > known.modify_time {
            *known = allocation;
        }
    }
    let mut table = Table::new(&["Task Group", "Eval ID", "Eval Time"]);
    for (group, allocation) in newest {
        let followed = whole.evaluations.iter().find(|evaluation| {
            evaluation.id == allocation.followup_eval_id
                && evaluation.status == EvaluationStatus::Pending
                && evaluation.wait_until.0 != 0
        });
        if let Some(evaluation) = followed.filter(|_| allocation.followup_eval_id.is_some()) {
            table.row([group.to_owned(), length.id(evaluation.id), text::ago(evaluation.wait_until, now)]);
        }
    }
    (!table.is_empty()).then(|| table.text())
}

fn children(whole: &Whole) -> String {
    let children = whole.summary.children.clone().unwrap_or_default();
    let mut table = Table::new(&["Pending", "Running", "Dead"]);
    table.row([children.pending, children.running, children.dead]);
    table.text()
}

fn list(whole: &Whole) -> String {
    let mut table = Table::new(&["ID", "Status"]);
    for child in &whole.children {
        table.row([child.id.to_string(), child.status.to_string()]);
    }
    table.text()
}

fn launched(whole: &Whole, context: &Context) -> Vec<String> {
    let mut parts = vec![format!("{}\n{}", context.bold("Children Job Summary"), children(whole))];
    parts.push(match whole.children.is_empty() {
        true => "No instances of periodic job found".to_owned(),
        false => format!("{}\n{}", context.bold("Previously Launched Jobs"), list(whole)),
    });
    parts
}

fn dispatched(whole: &Whole, context: &Context) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(parameters) = &whole.job.parameterized_job {
        let list = |names: &Option<Vec<String>>| names.clone().unwrap_or_default().join(", ");
        let payload = parameters.payload.clone();
        let block = Block::new()
            .with("Payload", payload)
            .with("Required Metadata", list(&parameters.meta_required))
            .with("Optional Metadata", list(&parameters.meta_optional));
        parts.push(format!("{}\n{}", context.bold("Parameterized Job"), block.text()));
    }
    parts.push(format!("{}\n{}", context.bold("Parameterized Job Summary"), children(whole)));
    parts.push(match whole.children.is_empty() {
        true => "No dispatched instances of parameterized job found".to_owned(),
        false => format!("{}\n{}", context.bold("Dispatched Jobs"), list(whole)),
    });
    parts
}
