//! Defaults of a task and its blocks.

use super::{or, or_text};
use crate::spec::{
    ChangeScript, Job, LogConfig, RequestedDevice, Resources, Task, TaskArtifact, TaskCSIPluginConfig, TaskGroup,
    Template, Vault, VolumeMount,
};
use crate::value::Duration;

impl Task {
    pub(super) fn fill_defaults(&mut self, group: &TaskGroup, job: &Job) {
        self.resources.get_or_insert_default().fill_defaults();
        or(&mut self.kill_timeout, Duration::from_secs(5));
        self.log_config.get_or_insert_default().fill_defaults();
        for artifact in self.artifacts.iter_mut().flatten() {
            artifact.fill_defaults();
        }
        if let Some(vault) = &mut self.vault {
            vault.fill_defaults();
        }
        if let Some(consul) = &mut self.consul {
            consul.fill_defaults();
        }
        for template in self.templates.iter_mut().flatten() {
            template.fill_defaults();
        }
        for service in self.services.iter_mut().flatten() {
            service.fill_defaults(job, group.name.as_deref().unwrap_or_default(), Some(&self.name));
        }
        for affinity in self.affinities.iter_mut().flatten() {
            affinity.fill_defaults();
        }
        for mount in self.volume_mounts.iter_mut().flatten() {
            mount.fill_defaults();
        }
        if self.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.hook.is_empty()) {
            self.lifecycle = None;
        }
        if let Some(plugin) = &mut self.csi_plugin_config {
            plugin.fill_defaults();
        }
        let mut restart = group.restart_policy.clone().unwrap_or_default();
        if let Some(own) = &self.restart_policy {
            restart.merge(own);
        }
        self.restart_policy = Some(restart);
    }
}

impl Resources {
    pub(super) fn fill_defaults(&mut self) {
        // Who asks for cores gets no shares on top.
        let shares = if self.cores.is_some() { 0 } else { 100 };
        or(&mut self.cpu, shares);
        or(&mut self.cores, 0);
        or(&mut self.memory_mb, 300);
        for device in self.devices.iter_mut().flatten() {
            device.fill_defaults();
        }
        if let Some(numa) = &mut self.numa {
            or_text(&mut numa.affinity, "none");
        }
    }
}

impl RequestedDevice {
    fn fill_defaults(&mut self) {
        or(&mut self.count, 1);
        for affinity in self.affinities.iter_mut().flatten() {
            affinity.fill_defaults();
        }
    }
}

impl LogConfig {
    pub(super) fn fill_defaults(&mut self) {
        or(&mut self.max_files, 10);
        or(&mut self.max_file_size_mb, 10);
        or(&mut self.disabled, false);
    }
}

impl TaskArtifact {
    fn fill_defaults(&mut self) {
        or(&mut self.getter_source, String::new());
        or(&mut self.getter_mode, "any".into());
        or(&mut self.getter_insecure, false);
        let file = self.getter_mode.as_deref() == Some("file");
        let source = self.getter_source.as_deref().unwrap_or_default();
        let destination = if file { format!("local/{}", base_name(source)) } else { "local/".into() };
        or(&mut self.relative_dest, destination);
    }
}

/// The last part of a path, as Go's `path.Base`.
fn base_name(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "",
        trimmed => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}

impl Vault {
    fn fill_defaults(&mut self) {
        or(&mut self.env, true);
        or(&mut self.disable_file, false);
        or(&mut self.namespace, String::new());
        or_text(&mut self.cluster, "default");
        or(&mut self.change_mode, "restart".into());
        or(&mut self.change_signal, "SIGHUP".into());
        or(&mut self.allow_token_expiration, false);
    }
}

impl Template {
    fn fill_defaults(&mut self) {
        for text in [&mut self.source_path, &mut self.dest_path, &mut self.embedded_tmpl] {
            or(text, String::new());
        }
        or(&mut self.change_mode, "restart".into());
        match &mut self.change_signal {
            Some(signal) => *signal = signal.to_uppercase(),
            None if self.change_mode.as_deref() == Some("signal") => self.change_signal = Some("SIGHUP".into()),
            None => self.change_signal = Some(String::new()),
        }
        if let Some(script) = &mut self.change_script {
            script.fill_defaults();
        }
        or(&mut self.once, false);
        or(&mut self.splay, Duration::from_secs(5));
        or(&mut self.perms, "0644".into());
        or(&mut self.left_delim, "{{".into());
        or(&mut self.right_delim, "}}".into());
        or(&mut self.envvars, false);
        or(&mut self.err_missing_key, false);
        or(&mut self.vault_grace, Duration(0));
    }
}

impl ChangeScript {
    fn fill_defaults(&mut self) {
        or(&mut self.command, String::new());
        or(&mut self.args, Vec::new());
        or(&mut self.timeout, Duration::from_secs(5));
        or(&mut self.fail_on_error, false);
        or(&mut self.run_on_first_render, false);
    }
}

impl VolumeMount {
    fn fill_defaults(&mut self) {
        or(&mut self.propagation_mode, "private".into());
        or(&mut self.read_only, false);
        or(&mut self.se_linux_label, String::new());
    }
}

impl TaskCSIPluginConfig {
    fn fill_defaults(&mut self) {
        or_text(&mut self.mount_dir, "/csi");
        or_text(&mut self.stage_publish_base_dir, "/local/csi");
        if self.health_timeout == Duration(0) {
            self.health_timeout = Duration::from_secs(30);
        }
    }
}
