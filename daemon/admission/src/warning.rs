//! What an author should know of a job that is taken all the same.

use nomadd_model::{Job, Service, TaskGroup};

use crate::AdmissionContext;

pub(crate) fn warnings(job: &Job, context: &AdmissionContext<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    for group in &job.task_groups {
        let of_group = group_warnings(group);
        if !of_group.is_empty() {
            let text = crate::error_text(&of_group);
            warnings.push(format!("Group {:?} has warnings: {text}", group.name));
        }
    }
    let promoted = |group: &&TaskGroup| group.update.as_ref().is_some_and(|update| update.auto_promote);
    let promoting = job.task_groups.iter().filter(promoted).count();
    if promoting > 0 && promoting < job.task_groups.len() {
        warnings.push("auto_promote must be true for all groups to enable automatic promotion".into());
    }
    if job.periodic.as_ref().is_some_and(|periodic| !periodic.spec.is_empty()) {
        warnings.push("cron is deprecated and may be removed in a future release. Use crons instead".into());
    }
    if !oversubscription(job, context) {
        for group in &job.task_groups {
            for task in group.tasks.iter().filter(|task| task.resources.memory_max_mb != 0) {
                warnings.push(format!(
                    "Memory oversubscription is not enabled; Task \"{}.{}\" memory_max value will be ignored. Update the Scheduler Configuration to allow oversubscription.",
                    group.name, task.name
                ));
            }
        }
    }
    for group in &job.task_groups {
        warnings.extend(shutdown_delay(group));
        warnings.extend(unregistered(group));
    }
    warnings
}

/// Whether tasks may use more memory than they reserve, in the job's node pool.
fn oversubscription(job: &Job, context: &AdmissionContext<'_>) -> bool {
    let of_pool = context.places.node_pool(&job.node_pool);
    let of_pool = of_pool.and_then(|pool| pool.scheduler_configuration.as_ref());
    let of_pool = of_pool.and_then(|configuration| configuration.memory_oversubscription_enabled);
    of_pool.unwrap_or(context.scheduler.memory_oversubscription_enabled)
}

fn group_warnings(group: &TaskGroup) -> Vec<String> {
    let mut warnings = Vec::new();
    let count = group.count;
    if let Some(update) = &group.update
        && count > 1
        && update.max_parallel > count
    {
        warnings.push(format!(
            "Update max parallel count is greater than task group count ({} > {count}). A destructive change would result in the simultaneous replacement of all allocations.",
            update.max_parallel
        ));
    }
    for (written, old, new) in [
        (group.max_client_disconnect.is_some(), "MaxClientDisconnect", "Disconnect.LostAfter"),
        (group.stop_after_client_disconnect.is_some(), "StopAfterClientDisconnect", "Disconnect.StopOnClientAfter"),
        (group.prevent_reschedule_on_lost, "PreventRescheduleOnLost", "Disconnect.Replace"),
    ] {
        if written {
            warnings.push(format!("{old} will be deprecated favor of {new}"));
        }
    }
    if group.networks.iter().any(|network| network.mbits > 0) {
        warnings
            .push("mbits has been deprecated as of Nomad 0.12.0. Please remove mbits from the network block".into());
    }
    for network in &group.networks {
        let mode = network.mode.as_str();
        if matches!(mode, "" | "host") && !network.hostname.is_empty() {
            warnings
                .push("hostname of a network of mode \"host\" has no effect: tasks there have the host's name".into());
        }
        if matches!(mode, "" | "host" | "none") && network.cni.is_some() {
            warnings
                .push("cni of a network of mode \"host\" or \"none\" has no effect: no CNI plugin sets it up".into());
        }
    }
    let named = group.networks.iter().any(|network| {
        network.dns.is_some() || (!network.hostname.is_empty() && !matches!(network.mode.as_str(), "" | "host"))
    });
    for task in group.tasks.iter().filter(|task| named && task.driver == "raw_exec") {
        warnings.push(format!(
            "dns and hostname of the network have no effect on task {:?}: raw_exec sees the files and the name of the host",
            task.name
        ));
    }
    if group.ephemeral_disk.migrate {
        warnings.push(
            "ephemeral_disk migrate moves files only between allocations of the same node; on another node an allocation begins with an empty disk"
                .into(),
        );
    }
    for task in &group.tasks {
        let mut of_task = Vec::new();
        if task.resources.iops > 0 {
            of_task
                .push("IOPS has been deprecated as of Nomad 0.9.0. Please remove IOPS from resource block.".to_owned());
        }
        if !task.resources.networks.is_empty() {
            of_task.push(
                "task network resources have been deprecated as of Nomad 0.12.0. Please configure networking via group network block."
                    .to_owned(),
            );
        }
        if task.resources.networks.iter().any(|network| network.mbits > 0) {
            of_task.push(
                "mbits has been deprecated as of Nomad 0.12.0. Please remove mbits from the network block".to_owned(),
            );
        }
        if !of_task.is_empty() {
            warnings.push(format!("Task {:?} has warnings: {}", task.name, crate::error_text(&of_task)));
        }
    }
    warnings
}

/// A service without a delay loses requests while it is stopped.
fn shutdown_delay(group: &TaskGroup) -> Option<String> {
    let services = group.services.iter().chain(group.tasks.iter().flat_map(|task| &task.services)).count();
    let delayed = group.shutdown_delay.is_some_and(|delay| delay.0 > 0)
        || group.tasks.iter().any(|task| task.shutdown_delay.0 > 0);
    (services > 0 && !delayed).then(|| {
        let name = &group.name;
        format!("group {name:?} defines services, but neither the group nor any of its tasks have shutdown_delay set")
    })
}

/// What this build does not do for the services of a group; also said in the status of its deployments.
///
/// `None` when the group has no services.
pub fn unregistered(group: &TaskGroup) -> Option<String> {
    let services: Vec<&Service> =
        group.services.iter().chain(group.tasks.iter().flat_map(|task| &task.services)).collect();
    let names: Vec<String> = services.iter().map(|service| format!("{:?}", service.name)).collect();
    let checks: usize = services.iter().map(|service| service.checks.len()).sum();
    let which = match names.as_slice() {
        [] => return None,
        [name] => format!("service {name} of group {:?} is", group.name),
        names => format!("services {} of group {:?} are", names.join(", "), group.name),
    };
    let not_run = match checks {
        0 => String::new(),
        1 => ", 1 check not run".to_owned(),
        count => format!(", {count} checks not run"),
    };
    Some(format!("{which} not registered yet{not_run}"))
}
