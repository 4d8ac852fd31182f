//! The canonical task and its blocks.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::group::{Affinity, RestartPolicy, ScalingPolicy};
use crate::noun;
use crate::resources::Resources;
use crate::service::Service;
use crate::spec::{
    Action, Constraint, Consul, DispatchPayloadConfig, Secret, TaskCSIPluginConfig, TaskLifecycle, TaskSchedule,
    WaitConfig, WorkloadIdentity,
};
use crate::value::{Duration, Text};

noun! {
    /// One process of a group.
    pub struct Task {
        pub actions: Vec<Action> = "Actions",
        pub affinities: Vec<Affinity> = "Affinities",
        pub artifacts: Vec<TaskArtifact> = "Artifacts",
        pub csi_plugin_config: Option<TaskCSIPluginConfig> = "CSIPluginConfig",
        pub config: Map<String, Value> = "Config",
        pub constraints: Vec<Constraint> = "Constraints",
        pub consul: Option<Consul> = "Consul",
        pub dispatch_payload: Option<DispatchPayloadConfig> = "DispatchPayload",
        pub driver: String = "Driver",
        pub env: BTreeMap<String, String> = "Env",
        pub identities: Vec<WorkloadIdentity> = "Identities",
        pub identity: Option<WorkloadIdentity> = "Identity",
        pub kill_signal: String = "KillSignal",
        pub kill_timeout: Duration = "KillTimeout",
        pub kind: String = "Kind",
        pub leader: bool = "Leader",
        pub lifecycle: Option<TaskLifecycle> = "Lifecycle",
        pub log_config: LogConfig = "LogConfig",
        pub meta: BTreeMap<String, String> = "Meta",
        pub name: Text = "Name",
        pub resources: Resources = "Resources",
        pub restart_policy: Option<RestartPolicy> = "RestartPolicy",
        pub scaling_policies: Vec<ScalingPolicy> = "ScalingPolicies",
        pub schedule: Option<TaskSchedule> = "Schedule",
        pub secrets: Vec<Secret> = "Secrets",
        pub services: Vec<Service> = "Services",
        pub shutdown_delay: Duration = "ShutdownDelay",
        pub templates: Vec<Template> = "Templates",
        pub user: String = "User",
        pub vault: Option<Vault> = "Vault",
        pub volume_mounts: Vec<VolumeMount> = "VolumeMounts",
    }

    /// How many log files a task keeps and how large, in MB.
    pub struct LogConfig {
        pub disabled: bool = "Disabled",
        pub max_file_size_mb: i64 = "MaxFileSizeMB",
        pub max_files: i64 = "MaxFiles",
    }

    /// Something to download before a task starts.
    pub struct TaskArtifact {
        pub chown: bool = "Chown",
        pub getter_headers: BTreeMap<String, String> = "GetterHeaders",
        pub getter_insecure: bool = "GetterInsecure",
        pub getter_mode: String = "GetterMode",
        pub getter_options: BTreeMap<String, String> = "GetterOptions",
        pub getter_source: String = "GetterSource",
        pub relative_dest: String = "RelativeDest",
    }

    /// A file that is rendered for a task.
    pub struct Template {
        pub change_mode: String = "ChangeMode",
        pub change_script: Option<ChangeScript> = "ChangeScript",
        pub change_signal: String = "ChangeSignal",
        pub dest_path: String = "DestPath",
        pub embedded_tmpl: String = "EmbeddedTmpl",
        pub envvars: bool = "Envvars",
        pub err_missing_key: bool = "ErrMissingKey",
        pub gid: Option<i64> = "Gid",
        pub left_delim: String = "LeftDelim",
        pub once: bool = "Once",
        pub perms: String = "Perms",
        pub right_delim: String = "RightDelim",
        pub source_path: String = "SourcePath",
        pub splay: Duration = "Splay",
        pub uid: Option<i64> = "Uid",
        pub vault_grace: Duration = "VaultGrace",
        pub wait: Option<WaitConfig> = "Wait",
    }

    /// What is run when a template changes.
    pub struct ChangeScript {
        pub args: Vec<String> = "Args",
        pub command: String = "Command",
        pub fail_on_error: bool = "FailOnError",
        pub run_on_first_render: bool = "RunOnFirstRender",
        pub timeout: Duration = "Timeout",
    }

    /// What a task wants from Vault.
    pub struct Vault {
        pub allow_token_expiration: bool = "AllowTokenExpiration",
        pub change_mode: String = "ChangeMode",
        pub change_signal: String = "ChangeSignal",
        pub cluster: String = "Cluster",
        pub disable_file: bool = "DisableFile",
        pub env: bool = "Env",
        pub namespace: String = "Namespace",
        pub policies: Vec<String> = "Policies",
        pub role: String = "Role",
    }

    /// Where a task mounts a volume of its group.
    pub struct VolumeMount {
        pub destination: String = "Destination",
        pub propagation_mode: String = "PropagationMode",
        pub read_only: bool = "ReadOnly",
        pub se_linux_label: String = "SELinuxLabel",
        pub volume: String = "Volume",
    }
}
