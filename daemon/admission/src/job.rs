//! What must hold for the job itself, and the way down into its groups.

use std::collections::BTreeMap;

use nomadd_model::{Job, JobType, Text};

use crate::problems::Problems;
use crate::{AdmissionContext, constraint, group, places};

pub(crate) fn check(job: &Job, unknown_type: Option<&str>, context: &AdmissionContext<'_>) -> Problems {
    let mut problems = Problems::default();
    problems.push_if(job.region.is_empty(), "Missing job region");
    match &*job.id {
        "" => problems.push("Missing job ID"),
        id if id.contains(' ') => problems.push("Job ID contains a space"),
        id if id.contains('\0') => problems.push("Job ID contains a null character"),
        _ => {}
    }
    match &*job.name {
        "" => problems.push("Missing job name"),
        name if name.contains('\0') => problems.push("Job Name contains a null character"),
        _ => {}
    }
    problems.push_if(job.namespace.is_empty(), "Job must be in a namespace");
    match unknown_type {
        Some("") => problems.push("Missing job type"),
        Some(kind) => problems.push(format!("Invalid job type: {kind:?}")),
        None => {}
    }
    problems.push_if(job.datacenters.is_empty() && job.multiregion.is_none(), "Missing job datacenters");
    problems.push_if(
        job.datacenters.iter().any(|datacenter| datacenter.is_empty()),
        "Job datacenter must be non-empty string",
    );
    problems.push_if(job.task_groups.is_empty(), "Missing job task groups");
    problems.extend(constraint::constraints(&job.constraints));
    problems.extend(constraint::affinities(&job.affinities, job.kind));
    problems.extend(constraint::spreads(&job.spreads, job.kind));
    problems.extend(names(job));
    for group in &job.task_groups {
        problems.nest(format_args!("Task group {} validation failed", group.name), group::check(group, job, context));
    }
    problems.extend(submission(job, context));
    problems.extend(places::check(job, context));
    problems
}

/// The names and counts of groups.
fn names(job: &Job) -> Problems {
    let mut problems = Problems::default();
    let mut seen: BTreeMap<&Text, usize> = BTreeMap::new();
    for (index, group) in job.task_groups.iter().enumerate() {
        let name = &group.name;
        if name.is_empty() {
            problems.push(format!("Job task group {} missing name", index + 1));
        } else if let Some(first) = seen.get(name) {
            problems.push(format!("Job task group {} redefines '{name}' from group {}", index + 1, first + 1));
        } else {
            seen.insert(name, index);
        }
        if group.shutdown_delay.is_some_and(|delay| delay.0 < 0) {
            problems.push("ShutdownDelay must be a positive value");
        }
        if job.kind == JobType::System && group.count > 1 {
            let count = group.count;
            problems
                .push(format!("Job task group {name} has count {count}. Count cannot exceed 1 with system scheduler"));
        }
    }
    problems
}

/// What may be submitted at all.
fn submission(job: &Job, context: &AdmissionContext<'_>) -> Problems {
    let mut problems = Problems::default();
    let limits = context.limits;
    if !(1..=limits.max_priority).contains(&job.priority) {
        problems.push(format!("job priority must be between [1, {}]", limits.max_priority));
    }
    let count = job.task_groups.iter().fold(0_i64, |sum, group| sum.saturating_add(group.count.max(0)));
    if count > limits.max_count {
        problems.push(format!("total count was greater than configured job_max_count: {count} > {}", limits.max_count));
    }
    problems.push_if(!job.payload.0.is_empty(), "job can't be submitted with a payload, only dispatched");
    problems.push_if(job.dispatched, "job can't be submitted with 'Dispatched', only dispatched");
    problems
}
