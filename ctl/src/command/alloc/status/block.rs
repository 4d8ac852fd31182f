//! What an allocation is: the first block of its status, and the short form.

use nomadd_model::{EvaluationStatus, Time};
use serde_json::Value;

use super::Whole;
use crate::context::Context;
use crate::table::{Block, Table};
use crate::text::{self, Length};

/// Ids, names and statuses.
pub fn whole(whole: &Whole, verbose: bool, now: Time) -> String {
    let allocation = &whole.allocation;
    let length = Length::of(verbose);
    let moment = |nanoseconds: i64| match verbose {
        true => text::local(Time(nanoseconds)),
        false => text::ago(Time(nanoseconds), now),
    };
    let mut block = Block::new()
        .with("ID", allocation.id)
        .with("Eval ID", length.id(allocation.eval_id))
        .with("Name", &allocation.name)
        .with("Node ID", length.id(allocation.node_id))
        .with("Node Name", &allocation.node_name)
        .with("Job ID", &allocation.job_id)
        .with("Job Version", allocation.job_version)
        .with("Client Status", allocation.client_status)
        .with("Client Description", &allocation.client_description)
        .with("Desired Status", allocation.desired_status)
        .with("Desired Description", &allocation.desired_description)
        .with("Created", moment(allocation.create_time))
        .with("Modified", moment(allocation.modify_time));
    if allocation.deployment_id.is_some() {
        let status = allocation.deployment_status.as_ref();
        let health = match status.and_then(|status| status.healthy) {
            Some(true) => "healthy",
            Some(false) => "unhealthy",
            None => "unset",
        };
        block.put("Deployment ID", length.id(allocation.deployment_id));
        block.put("Deployment Health", health);
        if status.is_some_and(|status| status.canary) {
            block.put("Canary", "true");
        }
    }
    if allocation.next_allocation.is_some() {
        block.put("Replacement Alloc ID", length.id(allocation.next_allocation));
    }
    if allocation.preempted_by_allocation.is_some() {
        block.put("Preempted By", length.id(allocation.preempted_by_allocation));
    }
    let waiting = whole.followup.as_ref().filter(|evaluation| {
        evaluation.status == EvaluationStatus::Pending && evaluation.wait_until != Time::default()
    });
    if let Some(evaluation) = waiting.filter(|_| allocation.next_allocation.is_none()) {
        block.put("Reschedule Eligibility", text::ago(evaluation.wait_until, now));
    }
    if let Some(metrics) = allocation.metrics.as_ref().filter(|_| verbose) {
        block.put("Evaluated Nodes", metrics.nodes_evaluated);
        block.put("Filtered Nodes", metrics.nodes_filtered);
        block.put("Exhausted Nodes", metrics.nodes_exhausted);
        block.put("Allocation Time", metrics.allocation_time);
        block.put("Failures", metrics.coalesced_failures);
    }
    block.text()
}

/// The short form: what it is, and the last event of each task.
pub fn short(whole: &Whole, verbose: bool, context: &Context, now: Time) -> String {
    let allocation = &whole.allocation;
    let moment = |nanoseconds: i64| match verbose {
        true => text::local(Time(nanoseconds)),
        false => text::ago(Time(nanoseconds), now),
    };
    let block = Block::new()
        .with("ID", allocation.id)
        .with("Name", &allocation.name)
        .with("Created", moment(allocation.create_time))
        .with("Modified", moment(allocation.modify_time));
    let mut table = Table::new(&["Name", "State", "Last Event", "Time", "Lifecycle"]);
    for name in order(whole) {
        let Some(state) = allocation.task_states.get(name.as_str()) else { continue };
        let (kind, time) = match state.events.last() {
            Some(event) => (event.kind.to_string(), text::local(event.time)),
            None => ("<none>".to_owned(), "N/A".to_owned()),
        };
        let lifecycle = lifecycle(whole, &name);
        let lifecycle = if lifecycle.is_empty() { "main".to_owned() } else { lifecycle };
        table.row([name.clone(), state.state.to_string(), kind, time, lifecycle]);
    }
    format!("{}\n\n{}\n{}", block.text(), context.bold("Tasks"), table.text())
}

/// The tasks that have a state: by hook, the main ones last, then by name.
pub fn order(whole: &Whole) -> Vec<String> {
    let mut names: Vec<(bool, String, String)> = whole
        .allocation
        .task_states
        .keys()
        .map(|name| {
            let hook = lifecycle(whole, name);
            (hook.is_empty(), hook, name.to_string())
        })
        .collect();
    names.sort();
    names.into_iter().map(|(_, _, name)| name).collect()
}

/// The hook of a task, such as `prestart sidecar`; "" for a main one.
pub fn lifecycle(whole: &Whole, task: &str) -> String {
    let groups = whole.job["TaskGroups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let group = groups.iter().find(|group| group["Name"] == whole.allocation.task_group.as_str());
    let tasks = group.and_then(|group| group["Tasks"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let found = tasks.iter().find(|found| found["Name"] == task);
    let Some(Value::Object(lifecycle)) = found.map(|task| &task["Lifecycle"]) else { return String::new() };
    let hook = lifecycle.get("Hook").and_then(Value::as_str).unwrap_or_default();
    let sidecar = lifecycle.get("Sidecar").and_then(Value::as_bool).unwrap_or_default();
    if sidecar { format!("{hook} sidecar") } else { hook.to_owned() }
}
