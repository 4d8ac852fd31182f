//! The plain refusal of what a job asks for and this build cannot do: one sentence each, naming block and place.
//!
//! A block that would be ignored would be a promise that is not kept. Whoever builds one of these takes its line out.

use nomadd_model::spec::{Consul, WorkloadIdentity};
use nomadd_model::{Job, NetworkResource, Service, Task, TaskGroup, UpdateStrategy};

use crate::problems::Problems;

pub(crate) fn check(job: &Job) -> Problems {
    let mut refused = Refused { place: String::new(), problems: Problems::default() };
    refused.block_if(job.periodic.is_some(), "periodic");
    refused.block_if(job.parameterized_job.is_some(), "parameterized");
    refused.block_if(job.multiregion.is_some(), "multiregion");
    refused.block_if(named(&job.consul_namespace), "consul_namespace");
    refused.block_if(named(&job.vault_namespace), "vault_namespace");
    for group in &job.task_groups {
        refused.group(group);
    }
    refused.problems
}

/// Whether a text names something else than what is there without it.
fn named(text: &str) -> bool {
    !matches!(text, "" | "default")
}

struct Refused {
    place: String,
    problems: Problems,
}

impl Refused {
    fn block_if(&mut self, written: bool, block: &str) {
        if written {
            let place = &self.place;
            self.problems.push(format!("{place}{block} is not supported by this version of nomadd yet"));
        }
    }

    fn group(&mut self, group: &TaskGroup) {
        self.place = format!("group {:?}: ", group.name);
        if let Some(UpdateStrategy { auto_promote, auto_revert, canary, health_check, .. }) = &group.update {
            self.block_if(*canary > 0, "canary > 0 in the update block");
            self.block_if(*auto_revert, "auto_revert in the update block");
            self.block_if(*auto_promote, "auto_promote in the update block");
            self.block_if(health_check == "manual", "health_check = \"manual\" in the update block");
        }
        for (name, volume) in &group.volumes {
            self.block_if(volume.kind == "csi", &format!("type = \"csi\" of volume {name:?}"));
            // It needs volumes that are made on request; those of the agent's configuration do not move.
            self.block_if(volume.sticky, &format!("sticky of volume {name:?}"));
        }
        self.consul(group.consul.as_ref());
        for service in &group.services {
            self.service(service);
        }
        for task in &group.tasks {
            self.place = format!("group {:?}, task {:?}: ", group.name, task.name);
            self.task(task);
        }
    }

    fn task(&mut self, task: &Task) {
        for (count, block) in [
            (task.templates.len(), "template"),
            (task.artifacts.len(), "artifact"),
            (task.identities.len(), "identity"),
            (task.actions.len(), "action"),
            (task.secrets.len(), "secret"),
        ] {
            self.block_if(count > 0, block);
        }
        self.block_if(task.identities.is_empty() && task.identity.as_ref().is_some_and(written_by_author), "identity");
        for mount in &task.volume_mounts {
            self.block_if(!mount.se_linux_label.is_empty(), "selinux_label in a volume_mount");
        }
        self.block_if(task.vault.is_some(), "vault");
        self.block_if(task.dispatch_payload.is_some(), "dispatch_payload");
        self.block_if(task.csi_plugin_config.is_some(), "csi_plugin");
        self.block_if(task.schedule.is_some(), "schedule");
        let numa = task.resources.numa.as_ref();
        self.block_if(
            numa.is_some_and(|numa| !matches!(numa.affinity.as_str(), "" | "none")),
            "numa in the resources block",
        );
        self.block_if(task.resources.secrets_mb > 0, "secrets in the resources block");
        self.consul(task.consul.as_ref());
        for network in &task.resources.networks {
            self.old_network(network);
        }
        for service in &task.services {
            self.service(service);
        }
    }

    fn service(&mut self, service: &Service) {
        let name = &service.name;
        self.block_if(service.connect.is_some(), &format!("connect of service {name:?}"));
        self.block_if(service.identity.is_some(), &format!("identity of service {name:?}"));
        self.block_if(named(&service.cluster), &format!("cluster of service {name:?}"));
    }

    /// The network of a task, of jobs from before groups had one: it only ever gave out ports.
    fn old_network(&mut self, network: &NetworkResource) {
        let mode = network.mode.as_str();
        let which = "in the network block of a task (the group's network block takes it)";
        self.block_if(!matches!(mode, "" | "host"), &format!("mode {mode:?} {which}"));
        self.block_if(network.dns.is_some(), &format!("dns {which}"));
        self.block_if(!network.hostname.is_empty(), &format!("hostname {which}"));
        self.block_if(network.cni.is_some(), &format!("cni {which}"));
    }

    fn consul(&mut self, consul: Option<&Consul>) {
        let Some(Consul { namespace, cluster, partition }) = consul else { return };
        self.block_if(named(namespace), "namespace in the consul block");
        self.block_if(named(cluster), "cluster in the consul block");
        self.block_if(named(partition), "partition in the consul block");
    }
}

/// Whether an identity asks for anything that the one which every task has does not give.
fn written_by_author(identity: &WorkloadIdentity) -> bool {
    let WorkloadIdentity {
        name: _,
        audience: _,
        change_mode,
        change_signal,
        env,
        file,
        filepath,
        service_name,
        ttl,
        extra_claims,
    } = identity;
    *env || *file
        || ttl.0 != 0
        || extra_claims.as_ref().is_some_and(|claims| !claims.is_empty())
        || [change_mode, change_signal, filepath, service_name].into_iter().any(|text| !text.is_empty())
}
