//! From a job's `volume` and `volume_mount` blocks and the operator's `host_volume` to what a task mounts. Pure.

use std::collections::BTreeMap;

use nomadd_driver::TaskVolume;
use nomadd_model::{Task, TaskGroup, VolumeMount};
use nomadd_supervisor::container::{Access, Propagation};

use crate::config::HostVolume;
use crate::environment::Environment;

/// The volumes of a task, or a sentence that says which one cannot be had.
pub fn of_task(
    task: &Task,
    group: &TaskGroup,
    allocation: &str,
    host: &BTreeMap<String, HostVolume>,
    environment: &Environment,
) -> Result<Vec<TaskVolume>, String> {
    let mount = |mount: &VolumeMount| {
        let VolumeMount { destination, propagation_mode, read_only, se_linux_label: _, volume } = mount;
        let asked = group.volumes.get(volume).ok_or_else(|| format!("the group has no volume {volume:?}"))?;
        let source =
            if asked.per_alloc { format!("{}{}", asked.source, number(allocation)) } else { asked.source.clone() };
        let found = host.get(&source).ok_or_else(|| {
            format!("volume {volume:?}: this node has no host_volume {source:?} in its configuration")
        })?;
        let mode = environment.interpolate(propagation_mode);
        let propagation = Propagation::from_word(&mode)
            .ok_or_else(|| format!("volume {volume:?}: the propagation_mode {mode:?} is not known"))?;
        if found.read_only && !asked.read_only && !read_only {
            return Err(format!("volume {volume:?}: the host_volume {source:?} is read-only on this node"));
        }
        let read_only = *read_only || asked.read_only || found.read_only;
        Ok(TaskVolume {
            name: volume.clone(),
            source: found.path.clone(),
            destination: environment.interpolate(destination).into(),
            access: if read_only { Access::ReadOnly } else { Access::ReadWrite },
            propagation,
        })
    };
    task.volume_mounts.iter().map(mount).collect()
}

/// The number of an allocation with its brackets, from the end of its name `job.group[3]`.
fn number(allocation: &str) -> &str {
    allocation.rfind('[').map_or("", |at| &allocation[at..])
}

#[cfg(test)]
mod tests {
    use nomadd_model::spec::VolumeRequest;

    use super::*;

    fn mounts(
        change: impl Fn(&mut VolumeRequest, &mut VolumeMount, &mut HostVolume),
    ) -> Result<Vec<TaskVolume>, String> {
        let mut asked = VolumeRequest { kind: "host".into(), source: "data".into(), ..VolumeRequest::default() };
        let mut mount = VolumeMount { volume: "v".into(), destination: "/d".into(), ..VolumeMount::default() };
        let mut found = HostVolume { path: "/srv/data".into(), read_only: false };
        change(&mut asked, &mut mount, &mut found);
        let mut group = TaskGroup::default();
        group.volumes.insert("v".into(), asked);
        let task = Task { volume_mounts: vec![mount], ..Task::default() };
        let host = BTreeMap::from([("data".to_owned(), found.clone()), ("data[7]".to_owned(), found)]);
        of_task(&task, &group, "j.g[7]", &host, &Environment::default())
    }

    #[test]
    fn a_volume_is_read_only_if_anyone_says_so() {
        let access =
            |change: fn(&mut VolumeRequest, &mut VolumeMount, &mut HostVolume)| mounts(change).map(|it| it[0].access);
        assert_eq!(access(|_, _, _| ()), Ok(Access::ReadWrite));
        assert_eq!(access(|asked, _, _| asked.read_only = true), Ok(Access::ReadOnly));
        assert_eq!(access(|_, mount, _| mount.read_only = true), Ok(Access::ReadOnly));
        assert_eq!(access(|asked, _, found| (asked.read_only, found.read_only) = (true, true)), Ok(Access::ReadOnly));
        assert!(access(|_, _, found| found.read_only = true).unwrap_err().contains("is read-only on this node"));
    }

    #[test]
    fn a_volume_per_allocation_is_the_one_of_its_number() {
        assert!(mounts(|asked, _, _| asked.per_alloc = true).is_ok());
        let error = mounts(|asked, _, _| (asked.source, asked.per_alloc) = ("x".into(), true)).unwrap_err();
        assert_eq!(error, "volume \"v\": this node has no host_volume \"x[7]\" in its configuration");
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert!(mounts(|_, mount, _| mount.volume = "w".into()).unwrap_err().contains("no volume \"w\""));
        assert!(mounts(|_, mount, _| mount.propagation_mode = "shared".into()).unwrap_err().contains("\"shared\""));
    }
}
