//! What must hold for the volumes that a group asks for, and for where its tasks mount them. Volumes are the operator's
//! (`host_volume` of the agent); other kinds are refused in `unsupported.rs`.

use nomadd_model::spec::VolumeRequest;
use nomadd_model::{JobType, Task, TaskGroup, UpdateStrategy, VolumeMount};

use crate::problems::Problems;

/// Nomad's words for how mounts pass between a volume and its task.
const PROPAGATION: [&str; 4] = ["", "private", "host-to-task", "bidirectional"];

pub(crate) fn of_group(group: &TaskGroup, kind: JobType) -> Problems {
    let mut problems = Problems::default();
    for (name, volume) in &group.volumes {
        let VolumeRequest { source, mount_options, access_mode, attachment_mode, per_alloc, kind: volume_kind, .. } =
            volume;
        let mut wrong = Problems::default();
        wrong.push_if(source.is_empty(), "volume has an empty source");
        if !matches!(volume_kind.as_str(), "host" | "csi") {
            wrong.push(format!("volume has unrecognized type {volume_kind:?}; \"host\" is expected"));
        }
        if volume_kind == "host" {
            wrong.push_if(mount_options.is_some(), "host volumes cannot have mount options");
            wrong.push_if(!access_mode.is_empty(), "host volumes cannot have an access mode");
            wrong.push_if(!attachment_mode.is_empty(), "host volumes cannot have an attachment mode");
        }
        wrong.push_if(*per_alloc && kind.is_system(), "volume cannot be per_alloc for system or sysbatch jobs");
        let canaries = group.update.as_ref().is_some_and(|UpdateStrategy { canary, .. }| *canary > 0);
        wrong.push_if(*per_alloc && canaries, "volume cannot be per_alloc when canaries are in use");
        problems.nest(format_args!("Task group volume validation for {name} failed"), wrong);
    }
    problems
}

pub(crate) fn of_task(task: &Task, group: &TaskGroup) -> Problems {
    let mut problems = Problems::default();
    for (index, mount) in task.volume_mounts.iter().enumerate() {
        let VolumeMount { destination, propagation_mode, volume, read_only: _, se_linux_label: _ } = mount;
        if volume.is_empty() {
            problems.push(format!("Volume Mount ({index}) references an empty volume"));
        } else if !group.volumes.contains_key(volume) {
            problems.push(format!("Volume Mount ({index}) references undefined volume {volume}"));
        }
        if destination.is_empty() {
            problems.push(format!("Volume Mount ({index}) has no destination"));
        }
        if !PROPAGATION.contains(&propagation_mode.as_str()) {
            problems.push(format!("Volume Mount ({index}) has an invalid propagation mode: {propagation_mode:?}"));
        }
    }
    problems
}
