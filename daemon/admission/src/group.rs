//! What must hold for a group.

use std::collections::BTreeMap;

use nomadd_model::{Job, JobType, TaskGroup, Text};

use crate::problems::Problems;
use crate::{AdmissionContext, constraint, network, policy, service, task, volume};

pub(crate) fn check(group: &TaskGroup, job: &Job, context: &AdmissionContext<'_>) -> Problems {
    let mut problems = Problems::default();
    match &*group.name {
        "" => problems.push("Missing task group name"),
        name if name.contains('\0') => problems.push("Task group name contains null character"),
        _ => {}
    }
    problems.push_if(group.count < 0, "Task group count can't be negative");
    problems.push_if(group.tasks.is_empty(), "Missing tasks for task group");
    problems.push_if(
        !group.tasks.is_empty() && group.tasks.iter().all(|task| task.lifecycle.is_some()),
        "Task group must have at least one main task, one without a lifecycle block",
    );
    problems.extend(constraint::constraints(&group.constraints));
    problems.extend(constraint::affinities(&group.affinities, job.kind));
    problems.extend(policy::restart(&group.restart_policy));
    problems.extend(constraint::spreads(&group.spreads, job.kind));
    match &group.reschedule_policy {
        Some(_) if job.kind.is_system() => {
            problems.push("System or sysbatch jobs should not have a reschedule policy");
        }
        Some(reschedule) => problems.extend(policy::reschedule(reschedule)),
        None => {}
    }
    let disk = group.ephemeral_disk.size_mb;
    if disk < 10 {
        problems.push(format!("minimum DiskMB value is 10; got {disk}"));
    }
    if let Some(update) = &group.update {
        if !matches!(job.kind, JobType::Service | JobType::System) {
            problems.push(format!("Job type {:?} does not allow update block", job.kind.as_str()));
        }
        problems.extend(policy::update(update));
    }
    if let Some(migrate) = &group.migrate {
        match job.kind {
            JobType::Service => problems.extend(policy::migrate(migrate)),
            kind => problems.push(format!("Job type {:?} does not allow migrate block", kind.as_str())),
        }
    }
    if let Some(disconnect) = &group.disconnect {
        problems.extend(policy::disconnect(disconnect, job.kind));
    }
    if let Some(longest) = group.max_run_duration {
        problems.push_if(longest.0 <= 0, "max_run_duration must be greater than zero");
        problems.push_if(!job.kind.is_batch(), "max_run_duration can only be used with batch or sysbatch jobs");
    }
    problems.extend(names(group));
    problems.nest(format_args!("Task group network validation failed"), network::check(group));
    problems.nest(format_args!("Task group service validation failed"), service::of_group(group));
    problems.extend(volume::of_group(group, job.kind));
    if let Some(scaling) = &group.scaling {
        problems
            .nest(format_args!("Task group scaling policy validation failed"), policy::scaling(scaling, group.count));
    }
    for task in &group.tasks {
        problems
            .nest(format_args!("Task {} validation failed", task.name), task::check(task, group, job.kind, context));
    }
    problems
}

/// The names of tasks, and that one leads at most.
fn names(group: &TaskGroup) -> Problems {
    let mut problems = Problems::default();
    let mut seen: BTreeMap<&Text, usize> = BTreeMap::new();
    for (index, task) in group.tasks.iter().enumerate() {
        let name = &task.name;
        if name.is_empty() {
            problems.push(format!("Task {} missing name", index + 1));
        } else if let Some(first) = seen.get(name) {
            problems.push(format!("Task {} redefines '{name}' from task {}", index + 1, first + 1));
        } else {
            seen.insert(name, index);
        }
    }
    let leaders = group.tasks.iter().filter(|task| task.leader).count();
    problems.push_if(leaders > 1, "Only one task may be marked as leader");
    problems
}
