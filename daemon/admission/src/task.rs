//! What must hold for a task: names, driver, resources, logs, lifecycle, services.

use nomadd_model::spec::{Constraint, TaskLifecycle};
use nomadd_model::{JobType, LogConfig, Resources, Task, TaskGroup};

use crate::problems::Problems;
use crate::{AdmissionContext, constraint, service, volume};

pub(crate) fn check(task: &Task, group: &TaskGroup, kind: JobType, context: &AdmissionContext<'_>) -> Problems {
    let mut problems = Problems::default();
    match &*task.name {
        "" => problems.push("Missing task name"),
        "alloc" => problems.push("Task cannot be named \"alloc\""),
        // The name is a folder of the allocation.
        name if name.contains(['/', '\\']) => problems.push("Task name cannot include slashes"),
        "." | ".." => problems.push("Task name cannot be a relative path"),
        name if name.contains('\0') => problems.push("Task name cannot include null characters"),
        _ => {}
    }
    if task.driver.is_empty() {
        problems.push("Missing task driver");
    } else {
        for wrong in context.drivers.check(&task.driver, &task.config) {
            problems.push(wrong);
        }
    }
    problems.extend(waits(task, group, kind));
    problems.extend(resources(&task.resources));
    problems.extend(logs(&task.log_config, group.ephemeral_disk.size_mb));
    problems.extend(constraint::constraints(&task.constraints));
    for (index, Constraint { operand, .. }) in task.constraints.iter().enumerate() {
        if matches!(operand.as_str(), "distinct_hosts" | "distinct_property") {
            problems.push(format!("Constraint {} has disallowed Operand at task level: {operand}", index + 1));
        }
    }
    problems.extend(constraint::affinities(&task.affinities, kind));
    problems.extend(service::of_task(task, group));
    problems.extend(volume::of_task(task, group));
    if let Some(TaskLifecycle { hook, sidecar: _ }) = &task.lifecycle
        && !matches!(hook.as_str(), "prestart" | "poststart" | "poststop")
    {
        problems.push(format!("Lifecycle validation failed: invalid hook: {hook}"));
    }
    problems
}

/// How long its end may take.
fn waits(task: &Task, group: &TaskGroup, kind: JobType) -> Problems {
    let mut problems = Problems::default();
    if task.kill_timeout.0 < 0 {
        problems.push("KillTimeout must be a positive value");
    } else if let Some(update) = group.update.as_ref().filter(|_| kind == JobType::Service)
        && update.progress_deadline.0 > 0
        && task.kill_timeout > update.progress_deadline
    {
        problems.push(format!(
            "KillTimout ({}) longer than the group's ProgressDeadline ({})",
            task.kill_timeout, update.progress_deadline
        ));
    }
    problems.push_if(task.shutdown_delay.0 < 0, "ShutdownDelay must be a positive value");
    problems
}

fn resources(resources: &Resources) -> Problems {
    let Resources { cpu, cores, devices, disk_mb, iops: _, memory_mb, memory_max_mb, numa: _, networks: _, secrets_mb } =
        resources;
    let mut problems = Problems::default();
    problems.push_if(*cores > 0 && *cpu > 0, "Task can only ask for 'cpu' or 'cores' resource, not both.");
    if *cores < 0 {
        problems.push(format!("minimum Cores value is 0; got {cores}"));
    }
    if *cpu < 1 && *cores == 0 {
        problems.push(format!("minimum CPU value is 1; got {cpu}"));
    }
    if *memory_mb < 10 {
        problems.push(format!("minimum MemoryMB value is 10; got {memory_mb}"));
    }
    problems
        .push_if(*disk_mb > 0, "Task can't ask for disk resources, they have to be specified at the task group level.");
    for (index, device) in devices.iter().enumerate() {
        let mut inner = Problems::default();
        inner.push_if(
            device.name.is_empty(),
            "device name must be given as one of the following: type, vendor/type, or vendor/type/name",
        );
        inner.extend(constraint::constraints(&device.constraints));
        inner.extend(constraint::affinities(&device.affinities, JobType::Service));
        problems.nest(format_args!("device {} failed validation", index + 1), inner);
    }
    if !matches!(memory_max_mb, -1 | 0) && memory_max_mb < memory_mb {
        problems
            .push(format!("MemoryMaxMB value ({memory_max_mb}) should be larger than MemoryMB value ({memory_mb})"));
    }
    if secrets_mb > memory_mb {
        problems.push(format!("SecretsMB value ({secrets_mb}) cannot exceed MemoryMB value ({memory_mb})"));
    }
    problems
}

fn logs(logs: &LogConfig, disk_mb: i64) -> Problems {
    let LogConfig { disabled: _, max_file_size_mb, max_files } = logs;
    let mut problems = Problems::default();
    if *max_files < 1 {
        problems.push(format!("minimum number of files is 1; got {max_files}"));
    }
    if *max_file_size_mb < 1 {
        problems.push(format!("minimum file size is 1MB; got {max_file_size_mb}"));
    }
    let needed = max_files.saturating_mul(*max_file_size_mb);
    if needed >= disk_mb {
        problems.push(format!("log storage ({needed} MB) must be less than requested disk capacity ({disk_mb} MB)"));
    }
    problems
}
