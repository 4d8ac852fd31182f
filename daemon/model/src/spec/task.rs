//! The task and its blocks, as written.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::noun;
use crate::spec::{Affinity, Constraint, Consul, Resources, RestartPolicy, ScalingPolicy, Service};
use crate::value::Duration;

noun! {
    /// One process of a group.
    pub struct Task {
        pub name: String = "Name",
        pub driver: String = "Driver",
        pub user: String = "User",
        pub lifecycle: Option<TaskLifecycle> = "Lifecycle",
        pub config: Option<Map<String, Value>> = "Config",
        pub constraints: Option<Vec<Constraint>> = "Constraints",
        pub affinities: Option<Vec<Affinity>> = "Affinities",
        pub env: Option<BTreeMap<String, String>> = "Env",
        pub services: Option<Vec<Service>> = "Services",
        pub resources: Option<Resources> = "Resources",
        pub restart_policy: Option<RestartPolicy> = "RestartPolicy",
        pub meta: Option<BTreeMap<String, String>> = "Meta",
        pub kill_timeout: Option<Duration> = "KillTimeout",
        pub log_config: Option<LogConfig> = "LogConfig",
        pub artifacts: Option<Vec<TaskArtifact>> = "Artifacts",
        pub vault: Option<Vault> = "Vault",
        pub consul: Option<Consul> = "Consul",
        pub templates: Option<Vec<Template>> = "Templates",
        pub dispatch_payload: Option<DispatchPayloadConfig> = "DispatchPayload",
        pub volume_mounts: Option<Vec<VolumeMount>> = "VolumeMounts",
        pub csi_plugin_config: Option<TaskCSIPluginConfig> = "CSIPluginConfig" [omit],
        pub leader: bool = "Leader",
        pub shutdown_delay: Duration = "ShutdownDelay",
        pub kill_signal: String = "KillSignal",
        pub kind: String = "Kind",
        pub scaling_policies: Option<Vec<ScalingPolicy>> = "ScalingPolicies",
        pub secrets: Option<Vec<Secret>> = "Secrets",
        pub identity: Option<WorkloadIdentity> = "Identity",
        pub identities: Option<Vec<WorkloadIdentity>> = "Identities",
        pub actions: Option<Vec<Action>> = "Actions",
        pub schedule: Option<TaskSchedule> = "Schedule",
    }

    /// How many log files a task keeps and how large, in MB.
    pub struct LogConfig {
        pub max_files: Option<i64> = "MaxFiles",
        pub max_file_size_mb: Option<i64> = "MaxFileSizeMB",
        pub enabled: Option<bool> = "Enabled",
        pub disabled: Option<bool> = "Disabled",
    }

    /// The file that receives a dispatch's payload.
    pub struct DispatchPayloadConfig {
        pub file: String = "File",
    }

    /// When a task runs, relative to the main tasks.
    pub struct TaskLifecycle {
        pub hook: String = "Hook",
        pub sidecar: bool = "Sidecar",
    }

    /// Something to download before a task starts.
    pub struct TaskArtifact {
        pub getter_source: Option<String> = "GetterSource",
        pub getter_options: Option<BTreeMap<String, String>> = "GetterOptions",
        pub getter_headers: Option<BTreeMap<String, String>> = "GetterHeaders",
        pub getter_mode: Option<String> = "GetterMode",
        pub getter_insecure: Option<bool> = "GetterInsecure",
        pub relative_dest: Option<String> = "RelativeDest",
        pub chown: bool = "Chown",
    }

    /// A file that is rendered for a task.
    pub struct Template {
        pub source_path: Option<String> = "SourcePath",
        pub dest_path: Option<String> = "DestPath",
        pub embedded_tmpl: Option<String> = "EmbeddedTmpl",
        pub change_mode: Option<String> = "ChangeMode",
        pub change_script: Option<ChangeScript> = "ChangeScript",
        pub change_signal: Option<String> = "ChangeSignal",
        pub once: Option<bool> = "Once",
        pub splay: Option<Duration> = "Splay",
        pub perms: Option<String> = "Perms",
        pub uid: Option<i64> = "Uid",
        pub gid: Option<i64> = "Gid",
        pub left_delim: Option<String> = "LeftDelim",
        pub right_delim: Option<String> = "RightDelim",
        pub envvars: Option<bool> = "Envvars",
        pub vault_grace: Option<Duration> = "VaultGrace",
        pub wait: Option<WaitConfig> = "Wait",
        pub err_missing_key: Option<bool> = "ErrMissingKey",
    }

    /// How long changes of a template are collected.
    pub struct WaitConfig {
        pub min: Option<Duration> = "Min",
        pub max: Option<Duration> = "Max",
    }

    /// What is run when a template changes.
    pub struct ChangeScript {
        pub command: Option<String> = "Command",
        pub args: Option<Vec<String>> = "Args",
        pub timeout: Option<Duration> = "Timeout",
        pub fail_on_error: Option<bool> = "FailOnError",
        pub run_on_first_render: Option<bool> = "RunOnFirstRender",
    }

    /// What a task wants from Vault.
    pub struct Vault {
        pub policies: Option<Vec<String>> = "Policies",
        pub role: String = "Role",
        pub namespace: Option<String> = "Namespace",
        pub cluster: String = "Cluster",
        pub env: Option<bool> = "Env",
        pub disable_file: Option<bool> = "DisableFile",
        pub change_mode: Option<String> = "ChangeMode",
        pub change_signal: Option<String> = "ChangeSignal",
        pub allow_token_expiration: Option<bool> = "AllowTokenExpiration",
    }

    /// A secret that a provider fetches for a task.
    pub struct Secret {
        pub name: String = "Name",
        pub provider: String = "Provider",
        pub path: String = "Path",
        pub config: Option<Map<String, Value>> = "Config",
        pub env: Option<BTreeMap<String, String>> = "Env",
    }

    /// The CSI plugin that a task is.
    pub struct TaskCSIPluginConfig {
        pub id: String = "ID",
        pub kind: String = "Type",
        pub mount_dir: String = "MountDir",
        pub stage_publish_base_dir: String = "StagePublishBaseDir",
        pub health_timeout: Duration = "HealthTimeout",
    }

    /// A signed identity for a task or service.
    pub struct WorkloadIdentity {
        pub name: String = "Name",
        pub audience: Option<Vec<String>> = "Audience",
        pub change_mode: String = "ChangeMode",
        pub change_signal: String = "ChangeSignal",
        pub env: bool = "Env",
        pub file: bool = "File",
        pub filepath: String = "Filepath",
        pub service_name: String = "ServiceName",
        pub ttl: Duration = "TTL",
        pub extra_claims: Option<Vec<String>> = "ExtraClaims",
    }

    /// A command that people may run inside a task.
    pub struct Action {
        pub name: String = "Name",
        pub command: String = "Command",
        pub args: Option<Vec<String>> = "Args",
    }

    /// When a task may run.
    pub struct TaskSchedule {
        pub cron: Option<TaskScheduleCron> = "Cron",
    }

    /// The window of a task's schedule.
    pub struct TaskScheduleCron {
        pub start: String = "Start",
        pub end: String = "End",
        pub timezone: String = "Timezone",
    }

    /// Where a task mounts a volume of its group.
    pub struct VolumeMount {
        pub volume: Option<String> = "Volume",
        pub destination: Option<String> = "Destination",
        pub read_only: Option<bool> = "ReadOnly",
        pub propagation_mode: Option<String> = "PropagationMode",
        pub se_linux_label: Option<String> = "SELinuxLabel",
    }
}
