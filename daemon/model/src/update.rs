//! What a new version of a job means for a group that runs: whether its allocations must be replaced, and whether two
//! jobs are the same specification at all.
//!
//! Pure comparisons of canonical jobs. The scheduler's reconciler asks `tasks_updated` per group; registration asks
//! `specification_changed` whether there is a new version.

use std::collections::BTreeMap;

use crate::group::{EphemeralDisk, TaskGroup};
use crate::job::Job;
use crate::resources::{NetworkResource, Resources};
use crate::service::Service;
use crate::spec::{Consul, ConsulConnect};
use crate::task::Task;
use crate::value::Text;

/// The first thing found that makes an update destructive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The task in which it was found; `None` for the group itself.
    pub task: Option<Text>,
    /// What differs, as a job file calls it: `driver`, `env`, `network`.
    pub what: &'static str,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.task {
            Some(task) => write!(f, "{} of task {task:?} differs", self.what),
            None => write!(f, "{} of the group differs", self.what),
        }
    }
}

/// Whether the allocations of `group` must be replaced to go from `old` to `new`, and why.
///
/// A group that one of the jobs does not have is a difference, called `group`.
pub fn tasks_updated(old: &Job, new: &Job, group: &str) -> Option<Difference> {
    let of_group = |what| Some(Difference { task: None, what });
    let (Some(a), Some(b)) = (old.group(group), new.group(group)) else { return of_group("group") };
    if a.tasks.len() != b.tasks.len() {
        return of_group("number of tasks");
    }
    let EphemeralDisk { migrate, size_mb, sticky } = &a.ephemeral_disk;
    if (migrate, size_mb, sticky) != (&b.ephemeral_disk.migrate, &b.ephemeral_disk.size_mb, &b.ephemeral_disk.sticky) {
        return of_group("ephemeral_disk");
    }
    if networks_updated(&a.networks, &b.networks) {
        return of_group("network");
    }
    if consul_updated(a.consul.as_ref(), b.consul.as_ref()) {
        return of_group("consul");
    }
    if a.volumes != b.volumes {
        return of_group("volume");
    }
    if connect_updated(&a.services, &b.services) {
        return of_group("service with connect");
    }
    if a.restart_policy.render_templates != b.restart_policy.render_templates {
        return of_group("restart.render_templates");
    }
    a.tasks.iter().find_map(|task| {
        let what = match b.tasks.iter().find(|other| other.name == task.name) {
            Some(other) => task_updated(task, other, (old, a), (new, b)),
            None => Some("name"),
        };
        what.map(|what| Difference { task: Some(task.name.clone()), what })
    })
}

impl Job {
    /// The group of that name.
    pub fn group(&self, name: &str) -> Option<&TaskGroup> {
        self.task_groups.iter().find(|group| group.name == *name)
    }

    /// What a task sees as its meta: the job's under the group's under its own.
    pub fn merged_meta(&self, group: &TaskGroup, task: &Task) -> BTreeMap<String, String> {
        let mut meta = self.meta.clone();
        meta.extend(group.meta.clone());
        meta.extend(task.meta.clone());
        meta
    }
}

impl TaskGroup {
    /// The task of that name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name == *name)
    }
}

fn task_updated(a: &Task, b: &Task, old: (&Job, &TaskGroup), new: (&Job, &TaskGroup)) -> Option<&'static str> {
    let Task {
        // Applied to the allocation as it is, or compared in another way below.
        actions: _,
        affinities: _,
        constraints: _,
        dispatch_payload: _,
        kill_signal: _,
        kill_timeout: _,
        kind: _,
        leader: _,
        lifecycle: _,
        meta: _,
        name: _,
        scaling_policies: _,
        schedule: _,
        services: _,
        shutdown_delay: _,
        artifacts,
        csi_plugin_config,
        config,
        consul,
        driver,
        env,
        identities,
        identity,
        log_config,
        resources,
        restart_policy: _,
        secrets,
        templates,
        user,
        vault,
        volume_mounts,
    } = a;
    let renders = |task: &Task| task.restart_policy.as_ref().is_some_and(|restart| restart.render_templates);
    let different = [
        ("driver", *driver != b.driver),
        ("user", *user != b.user),
        ("config", *config != b.config),
        ("env", *env != b.env),
        ("artifact", *artifacts != b.artifacts),
        ("vault", *vault != b.vault),
        ("secret", *secrets != b.secrets),
        ("consul", consul_updated(consul.as_ref(), b.consul.as_ref())),
        ("template", *templates != b.templates),
        ("csi_plugin", *csi_plugin_config != b.csi_plugin_config),
        ("volume_mount", *volume_mounts != b.volume_mounts),
        ("identity", *identity != b.identity || *identities != b.identities),
        ("logs.disabled", log_config.disabled != b.log_config.disabled),
        ("restart.render_templates", renders(a) != renders(b)),
        ("network", networks_updated(&resources.networks, &b.resources.networks)),
        ("resources", resources_updated(resources, &b.resources)),
    ];
    if let Some((what, _)) = different.into_iter().find(|(_, different)| *different) {
        return Some(what);
    }
    (old.0.merged_meta(old.1, a) != new.0.merged_meta(new.1, b)).then_some("meta")
}

/// Networks by what was asked for; a port that a plan filled in is no difference.
fn networks_updated(a: &[NetworkResource], b: &[NetworkResource]) -> bool {
    a.len() != b.len() || a.iter().zip(b).any(|(a, b)| network_updated(a, b))
}

fn network_updated(a: &NetworkResource, b: &NetworkResource) -> bool {
    let NetworkResource {
        cidr: _,
        device: _,
        ip: _,
        cni,
        dns,
        dynamic_ports: _,
        hostname,
        mbits,
        mode,
        reserved_ports: _,
    } = a;
    let ports = |network: &NetworkResource| {
        let reserved = network.reserved_ports.iter().map(|port| (port, port.value));
        let dynamic = network.dynamic_ports.iter().map(|port| (port, -1));
        let mut ports: Vec<_> = reserved
            .chain(dynamic)
            .map(|(port, value)| (port.label.clone(), value, port.to, port.host_network.clone()))
            .collect();
        ports.sort();
        ports
    };
    *mode != b.mode
        || *mbits != b.mbits
        || *hostname != b.hostname
        || *dns != b.dns
        || *cni != b.cni
        || ports(a) != ports(b)
}

/// A block that comes or goes matters only when its namespace does.
fn consul_updated(a: Option<&Consul>, b: Option<&Consul>) -> bool {
    let namespace = |consul: Option<&Consul>| consul.map(|consul| consul.namespace.clone()).unwrap_or_default();
    match (a, b) {
        (Some(a), Some(b)) if a.cluster != b.cluster || a.partition != b.partition => true,
        _ => namespace(a) != namespace(b),
    }
}

fn resources_updated(a: &Resources, b: &Resources) -> bool {
    let Resources { cpu, cores, devices, disk_mb: _, iops: _, memory_mb, memory_max_mb, numa, networks: _, secrets_mb } =
        a;
    *cpu != b.cpu
        || *cores != b.cores
        || *devices != b.devices
        || *memory_mb != b.memory_mb
        || *memory_max_mb != b.memory_max_mb
        || *numa != b.numa
        || *secrets_mb != b.secrets_mb
}

/// Whether what runs beside the tasks for Connect changes; services are matched by name.
fn connect_updated(a: &[Service], b: &[Service]) -> bool {
    let with_connect = |services: &[Service]| services.iter().filter(|service| service.connect.is_some()).count();
    if with_connect(a) != with_connect(b) {
        return true;
    }
    a.iter().any(|service| {
        let Some(connect) = &service.connect else { return false };
        let Some(other) = b.iter().find(|other| other.name == service.name) else { return true };
        let Some(other_connect) = &other.connect else { return true };
        service.port_label != other.port_label
            || service.cluster != other.cluster
            || mesh_updated(connect, other_connect)
    })
}

fn mesh_updated(a: &ConsulConnect, b: &ConsulConnect) -> bool {
    let ConsulConnect { native, gateway, sidecar_service, sidecar_task } = a;
    let port = |connect: &ConsulConnect| connect.sidecar_service.as_ref().map(|sidecar| sidecar.port.clone());
    *native != b.native
        || *gateway != b.gateway
        || *sidecar_task != b.sidecar_task
        || sidecar_service.is_some() != b.sidecar_service.is_some()
        || port(a) != port(b)
}

/// Whether a registration of `new` over `old` makes a new version: anything but what servers keep about a job differs.
pub fn specification_changed(old: &Job, new: &Job) -> bool {
    let same = Job {
        create_index: old.create_index,
        modify_index: old.modify_index,
        job_modify_index: old.job_modify_index,
        version: old.version,
        version_tag: old.version_tag.clone(),
        status: old.status,
        status_description: old.status_description.clone(),
        stable: old.stable,
        submit_time: old.submit_time,
        nomad_token_id: old.nomad_token_id.clone(),
        ..new.clone()
    };
    same != *old
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::WorkloadIdentity;

    fn job() -> Job {
        let task = Task { name: "t".into(), driver: "raw_exec".into(), ..Task::default() };
        let group = TaskGroup { name: "g".into(), tasks: vec![task], ..TaskGroup::default() };
        Job { id: "j".into(), task_groups: vec![group], ..Job::default() }
    }

    fn after(change: impl FnOnce(&mut Job)) -> Option<&'static str> {
        let (old, mut new) = (job(), job());
        change(&mut new);
        tasks_updated(&old, &new, "g").map(|difference| difference.what)
    }

    #[test]
    fn what_a_running_task_was_started_with_is_destructive() {
        assert_eq!(after(|job| job.task_groups[0].tasks[0].driver = "exec".into()), Some("driver"));
        assert_eq!(after(|job| job.task_groups[0].tasks[0].resources.cpu = 7), Some("resources"));
        assert_eq!(after(|job| job.task_groups[0].tasks[0].log_config.disabled = true), Some("logs.disabled"));
        assert_eq!(
            after(|job| job.task_groups[0].restart_policy.render_templates = true),
            Some("restart.render_templates")
        );
        assert_eq!(after(|job| job.task_groups[0].ephemeral_disk.size_mb = 9), Some("ephemeral_disk"));
        assert_eq!(after(|job| job.task_groups[0].tasks[0].name = "u".into()), Some("name"));
        assert_eq!(after(|job| job.task_groups[0].name = "h".into()), Some("group"));
        let identity = WorkloadIdentity { env: true, ..WorkloadIdentity::default() };
        assert_eq!(after(|job| job.task_groups[0].tasks[0].identity = Some(identity)), Some("identity"));
    }

    #[test]
    fn what_servers_and_services_use_is_in_place() {
        assert_eq!(after(|job| job.priority = 70), None);
        assert_eq!(after(|job| job.task_groups[0].count = 7), None);
        assert_eq!(after(|job| job.task_groups[0].restart_policy.attempts = 9), None);
        assert_eq!(after(|job| job.task_groups[0].tasks[0].kill_signal = "SIGHUP".into()), None);
        assert_eq!(after(|job| job.task_groups[0].tasks[0].log_config.max_files = 3), None);
        assert_eq!(after(|job| job.task_groups[0].services.push(Service::default())), None);
        assert_eq!(after(|job| job.task_groups[0].consul = Some(Consul::default())), None);
    }

    #[test]
    fn meta_counts_as_the_task_sees_it() {
        assert_eq!(after(|job| _ = job.meta.insert("a".into(), "1".into())), Some("meta"));
        let (mut old, mut new) = (job(), job());
        old.meta.insert("a".into(), "1".into());
        new.task_groups[0].tasks[0].meta.insert("a".into(), "1".into());
        assert_eq!(tasks_updated(&old, &new, "g"), None);
    }

    #[test]
    fn only_the_specification_makes_a_new_version() {
        let (old, mut new) = (job(), job());
        new.status = crate::JobStatus::Dead;
        new.modify_index = 9;
        new.stable = true;
        assert!(!specification_changed(&old, &new));
        new.priority = 3;
        assert!(specification_changed(&old, &new));
    }
}
