//! The canonical task and its blocks, and the way back.

use super::{Place, group, seconds, service, some_each, some_list, some_map, some_number};
use crate::group::{Affinity, RestartPolicy};
use crate::resources::{NetworkResource, RequestedDevice, Resources};
use crate::spec;
use crate::task::{ChangeScript, LogConfig, Task, TaskArtifact, Template, Vault, VolumeMount};
use crate::value::{Duration, Text};

/// The audience of the identity that every task has.
const AUDIENCE: &str = "nomadproject.io";

pub(super) fn task(
    written: spec::Task,
    place: &Place,
    group_name: &Text,
    group_restart: &RestartPolicy,
    consul_namespace: &str,
) -> Task {
    let spec::Task {
        name,
        driver,
        user,
        lifecycle,
        config,
        constraints,
        affinities,
        env,
        services,
        resources,
        restart_policy,
        meta,
        kill_timeout,
        log_config,
        artifacts,
        vault,
        consul,
        templates,
        dispatch_payload,
        volume_mounts,
        csi_plugin_config,
        leader,
        shutdown_delay,
        kill_signal,
        kind,
        scaling_policies,
        secrets,
        identity,
        identities,
        actions,
        schedule,
    } = written;
    let consul_namespace = consul.as_ref().map_or(consul_namespace, |consul| consul.namespace.as_str()).to_owned();
    let services = services.unwrap_or_default().into_iter();
    let services =
        services.map(|written| service::service(written, place, group_name, Some(&name), &consul_namespace)).collect();
    let name: Text = name.into();
    let scaling_policies = scaling_policies.unwrap_or_default().into_iter();
    let scaling_policies = scaling_policies
        .map(|written| {
            let target =
                [("Namespace", &place.namespace), ("Job", &place.job_id), ("Group", group_name), ("Task", &name)];
            group::scaling_policy(written, 0, &target)
        })
        .collect();
    Task {
        actions: actions.unwrap_or_default(),
        affinities: affinities.unwrap_or_default().into_iter().map(Affinity::from).collect(),
        artifacts: artifacts.unwrap_or_default().into_iter().map(TaskArtifact::from).collect(),
        csi_plugin_config,
        config: config.unwrap_or_default(),
        constraints: constraints.unwrap_or_default(),
        consul,
        dispatch_payload,
        driver,
        env: env.unwrap_or_default(),
        identities: identities.unwrap_or_default(),
        identity: Some(default_identity(identity)),
        kill_signal,
        kill_timeout: kill_timeout.filter(|timeout| timeout.0 != 0).unwrap_or(seconds(5)),
        kind,
        leader,
        lifecycle,
        log_config: LogConfig::from(log_config.unwrap_or_default()),
        meta: meta.unwrap_or_default(),
        name,
        resources: Resources::from(resources.unwrap_or_default()),
        restart_policy: Some(restart_policy.map_or_else(|| group_restart.clone(), RestartPolicy::from)),
        scaling_policies,
        schedule,
        secrets: secrets.unwrap_or_default(),
        services,
        shutdown_delay,
        templates: templates.unwrap_or_default().into_iter().map(Template::from).collect(),
        user,
        vault: vault.map(Vault::from),
        volume_mounts: volume_mounts.unwrap_or_default().into_iter().map(VolumeMount::from).collect(),
    }
}

/// The identity that every task has; its name and audience are not the author's to choose.
fn default_identity(written: Option<spec::WorkloadIdentity>) -> spec::WorkloadIdentity {
    spec::WorkloadIdentity {
        name: "default".into(),
        audience: Some(vec![AUDIENCE.into()]),
        ..written.unwrap_or_default()
    }
}

impl From<spec::Resources> for Resources {
    fn from(written: spec::Resources) -> Self {
        let spec::Resources {
            cpu,
            cores,
            memory_mb,
            memory_max_mb,
            disk_mb,
            networks,
            devices,
            numa,
            secrets_mb,
            iops,
        } = written;
        Self {
            cpu: cpu.unwrap_or_default(),
            cores: cores.unwrap_or_default(),
            devices: devices.unwrap_or_default().into_iter().map(RequestedDevice::from).collect(),
            disk_mb: disk_mb.unwrap_or_default(),
            iops: iops.unwrap_or_default(),
            memory_mb: memory_mb.unwrap_or_default(),
            memory_max_mb: memory_max_mb.unwrap_or_default(),
            numa,
            networks: networks.unwrap_or_default().into_iter().map(NetworkResource::from).collect(),
            secrets_mb: secrets_mb.unwrap_or_default(),
        }
    }
}

impl From<&Resources> for spec::Resources {
    fn from(resources: &Resources) -> Self {
        let Resources { cpu, cores, devices, disk_mb, iops, memory_mb, memory_max_mb, numa, networks, secrets_mb } =
            resources;
        Self {
            cpu: Some(*cpu),
            cores: Some(*cores),
            memory_mb: Some(*memory_mb),
            memory_max_mb: some_number(*memory_max_mb),
            disk_mb: some_number(*disk_mb),
            networks: some_each(networks),
            devices: some_each(devices),
            numa: numa.clone(),
            secrets_mb: some_number(*secrets_mb),
            iops: some_number(*iops),
        }
    }
}

impl From<spec::RequestedDevice> for RequestedDevice {
    fn from(written: spec::RequestedDevice) -> Self {
        let spec::RequestedDevice { name, count, constraints, affinities } = written;
        Self {
            affinities: affinities.unwrap_or_default().into_iter().map(Affinity::from).collect(),
            constraints: constraints.unwrap_or_default(),
            count: count.unwrap_or(1),
            name,
        }
    }
}

impl From<&RequestedDevice> for spec::RequestedDevice {
    fn from(device: &RequestedDevice) -> Self {
        let RequestedDevice { affinities, constraints, count, name } = device;
        Self {
            name: name.clone(),
            count: Some(*count),
            constraints: some_list(constraints),
            affinities: some_each(affinities),
        }
    }
}

impl From<spec::LogConfig> for LogConfig {
    fn from(written: spec::LogConfig) -> Self {
        let spec::LogConfig { max_files, max_file_size_mb, enabled: _, disabled } = written;
        Self {
            disabled: disabled.unwrap_or_default(),
            max_file_size_mb: max_file_size_mb.unwrap_or_default(),
            max_files: max_files.unwrap_or_default(),
        }
    }
}

impl From<spec::TaskArtifact> for TaskArtifact {
    fn from(written: spec::TaskArtifact) -> Self {
        let spec::TaskArtifact {
            getter_source,
            getter_options,
            getter_headers,
            getter_mode,
            getter_insecure,
            relative_dest,
            chown,
        } = written;
        Self {
            chown,
            getter_headers: getter_headers.unwrap_or_default(),
            getter_insecure: getter_insecure.unwrap_or_default(),
            getter_mode: getter_mode.unwrap_or_default(),
            getter_options: getter_options.unwrap_or_default(),
            getter_source: getter_source.unwrap_or_default(),
            relative_dest: relative_dest.unwrap_or_default(),
        }
    }
}

impl From<spec::Template> for Template {
    fn from(written: spec::Template) -> Self {
        let spec::Template {
            source_path,
            dest_path,
            embedded_tmpl,
            change_mode,
            change_script,
            change_signal,
            once,
            splay,
            perms,
            uid,
            gid,
            left_delim,
            right_delim,
            envvars,
            vault_grace,
            wait,
            err_missing_key,
        } = written;
        Self {
            change_mode: change_mode.unwrap_or_default(),
            change_script: change_script.map(ChangeScript::from),
            change_signal: change_signal.unwrap_or_default(),
            dest_path: dest_path.unwrap_or_default(),
            embedded_tmpl: embedded_tmpl.unwrap_or_default(),
            envvars: envvars.unwrap_or_default(),
            err_missing_key: err_missing_key.unwrap_or_default(),
            gid,
            left_delim: left_delim.unwrap_or_default(),
            once: once.unwrap_or_default(),
            perms: perms.unwrap_or_default(),
            right_delim: right_delim.unwrap_or_default(),
            source_path: source_path.unwrap_or_default(),
            splay: splay.unwrap_or_default(),
            uid,
            vault_grace: vault_grace.unwrap_or(Duration(0)),
            wait,
        }
    }
}

impl From<spec::ChangeScript> for ChangeScript {
    fn from(written: spec::ChangeScript) -> Self {
        let spec::ChangeScript { command, args, timeout, fail_on_error, run_on_first_render } = written;
        Self {
            args: args.unwrap_or_default(),
            command: command.unwrap_or_default(),
            fail_on_error: fail_on_error.unwrap_or_default(),
            run_on_first_render: run_on_first_render.unwrap_or_default(),
            timeout: timeout.unwrap_or_default(),
        }
    }
}

impl From<spec::Vault> for Vault {
    fn from(written: spec::Vault) -> Self {
        let spec::Vault {
            policies,
            role,
            namespace,
            cluster,
            env,
            disable_file,
            change_mode,
            change_signal,
            allow_token_expiration,
        } = written;
        Self {
            allow_token_expiration: allow_token_expiration.unwrap_or_default(),
            change_mode: change_mode.unwrap_or_default(),
            change_signal: change_signal.unwrap_or_default(),
            cluster,
            disable_file: disable_file.unwrap_or_default(),
            env: env.unwrap_or(true),
            namespace: namespace.unwrap_or_default(),
            policies: policies.unwrap_or_default(),
            role,
        }
    }
}

impl From<spec::VolumeMount> for VolumeMount {
    fn from(written: spec::VolumeMount) -> Self {
        let spec::VolumeMount { volume, destination, read_only, propagation_mode, se_linux_label } = written;
        Self {
            destination: destination.unwrap_or_default(),
            propagation_mode: propagation_mode.unwrap_or_default(),
            read_only: read_only.unwrap_or_default(),
            se_linux_label: se_linux_label.unwrap_or_default(),
            volume: volume.unwrap_or_default(),
        }
    }
}

impl From<&Task> for spec::Task {
    fn from(task: &Task) -> Self {
        let Task {
            actions,
            affinities,
            artifacts,
            csi_plugin_config,
            config,
            constraints,
            consul,
            dispatch_payload,
            driver,
            env,
            identities,
            identity,
            kill_signal,
            kill_timeout,
            kind,
            leader,
            lifecycle,
            log_config: LogConfig { disabled, max_file_size_mb, max_files },
            meta,
            name,
            resources,
            restart_policy,
            scaling_policies,
            schedule,
            secrets,
            services,
            shutdown_delay,
            templates,
            user,
            vault,
            volume_mounts,
        } = task;
        Self {
            name: name.to_string(),
            driver: driver.clone(),
            user: user.clone(),
            lifecycle: lifecycle.clone(),
            config: (!config.is_empty()).then(|| config.clone()),
            constraints: some_list(constraints),
            affinities: some_each(affinities),
            env: some_map(env),
            services: some_each(services),
            resources: Some(resources.into()),
            restart_policy: restart_policy.as_ref().map(spec::RestartPolicy::from),
            meta: some_map(meta),
            kill_timeout: Some(*kill_timeout),
            log_config: Some(spec::LogConfig {
                max_files: Some(*max_files),
                max_file_size_mb: Some(*max_file_size_mb),
                enabled: None,
                disabled: Some(*disabled),
            }),
            artifacts: some_each(artifacts),
            vault: vault.as_ref().map(spec::Vault::from),
            consul: consul.clone(),
            templates: some_each(templates),
            dispatch_payload: dispatch_payload.clone(),
            volume_mounts: some_each(volume_mounts),
            csi_plugin_config: csi_plugin_config.clone(),
            leader: *leader,
            shutdown_delay: *shutdown_delay,
            kill_signal: kill_signal.clone(),
            kind: kind.clone(),
            scaling_policies: some_each(scaling_policies),
            secrets: some_list(secrets),
            identity: identity.clone(),
            identities: some_list(identities),
            actions: some_list(actions),
            schedule: schedule.clone(),
        }
    }
}

impl From<&TaskArtifact> for spec::TaskArtifact {
    fn from(artifact: &TaskArtifact) -> Self {
        let TaskArtifact {
            chown,
            getter_headers,
            getter_insecure,
            getter_mode,
            getter_options,
            getter_source,
            relative_dest,
        } = artifact;
        Self {
            getter_source: Some(getter_source.clone()),
            getter_options: some_map(getter_options),
            getter_headers: some_map(getter_headers),
            getter_mode: Some(getter_mode.clone()),
            getter_insecure: Some(*getter_insecure),
            relative_dest: Some(relative_dest.clone()),
            chown: *chown,
        }
    }
}

impl From<&Template> for spec::Template {
    fn from(template: &Template) -> Self {
        let Template {
            change_mode,
            change_script,
            change_signal,
            dest_path,
            embedded_tmpl,
            envvars,
            err_missing_key,
            gid,
            left_delim,
            once,
            perms,
            right_delim,
            source_path,
            splay,
            uid,
            vault_grace,
            wait,
        } = template;
        Self {
            source_path: Some(source_path.clone()),
            dest_path: Some(dest_path.clone()),
            embedded_tmpl: Some(embedded_tmpl.clone()),
            change_mode: Some(change_mode.clone()),
            change_script: change_script.as_ref().map(spec::ChangeScript::from),
            change_signal: Some(change_signal.clone()),
            once: Some(*once),
            splay: Some(*splay),
            perms: Some(perms.clone()),
            uid: *uid,
            gid: *gid,
            left_delim: Some(left_delim.clone()),
            right_delim: Some(right_delim.clone()),
            envvars: Some(*envvars),
            vault_grace: Some(*vault_grace),
            wait: wait.clone(),
            err_missing_key: Some(*err_missing_key),
        }
    }
}

impl From<&ChangeScript> for spec::ChangeScript {
    fn from(script: &ChangeScript) -> Self {
        let ChangeScript { args, command, fail_on_error, run_on_first_render, timeout } = script;
        Self {
            command: Some(command.clone()),
            args: Some(args.clone()),
            timeout: Some(*timeout),
            fail_on_error: Some(*fail_on_error),
            run_on_first_render: Some(*run_on_first_render),
        }
    }
}

impl From<&Vault> for spec::Vault {
    fn from(vault: &Vault) -> Self {
        let Vault {
            allow_token_expiration,
            change_mode,
            change_signal,
            cluster,
            disable_file,
            env,
            namespace,
            policies,
            role,
        } = vault;
        Self {
            policies: some_list(policies),
            role: role.clone(),
            namespace: Some(namespace.clone()),
            cluster: cluster.clone(),
            env: Some(*env),
            disable_file: Some(*disable_file),
            change_mode: Some(change_mode.clone()),
            change_signal: Some(change_signal.clone()),
            allow_token_expiration: Some(*allow_token_expiration),
        }
    }
}

impl From<&VolumeMount> for spec::VolumeMount {
    fn from(mount: &VolumeMount) -> Self {
        let VolumeMount { destination, propagation_mode, read_only, se_linux_label, volume } = mount;
        Self {
            volume: Some(volume.clone()),
            destination: Some(destination.clone()),
            read_only: Some(*read_only),
            propagation_mode: Some(propagation_mode.clone()),
            se_linux_label: Some(se_linux_label.clone()),
        }
    }
}
