//! The task and its blocks.

use super::group::{CONSUL, NETWORK, RESTART, TASK_SCALING};
use super::job::{AFFINITY, CONSTRAINT};
use super::service::{IDENTITY, SERVICE};
use super::{
    Schema, bool, duration, free, integer, labelled, many, map_block, one, one_per_label, required, schema, text,
    text_map, texts, unsigned,
};

pub(super) static TASK: Schema = labelled(
    &["Name"],
    &[
        text("driver", "Driver"),
        text("user", "User"),
        text_map("env", "Env"),
        text_map("meta", "Meta"),
        duration("kill_timeout", "KillTimeout"),
        bool("leader", "Leader"),
        duration("shutdown_delay", "ShutdownDelay"),
        text("kill_signal", "KillSignal"),
        text("kind", "Kind"),
    ],
    &[
        one("lifecycle", "Lifecycle", &LIFECYCLE),
        free("config", "Config"),
        many("constraint", "Constraints", &CONSTRAINT),
        many("affinity", "Affinities", &AFFINITY),
        map_block("env", "Env"),
        many("service", "Services", &SERVICE),
        one("resources", "Resources", &RESOURCES),
        one("restart", "RestartPolicy", &RESTART),
        map_block("meta", "Meta"),
        one("logs", "LogConfig", &LOGS),
        many("artifact", "Artifacts", &ARTIFACT),
        one("vault", "Vault", &VAULT),
        one("consul", "Consul", &CONSUL),
        many("template", "Templates", &TEMPLATE),
        one("dispatch_payload", "DispatchPayload", &DISPATCH_PAYLOAD),
        many("volume_mount", "VolumeMounts", &VOLUME_MOUNT),
        one("csi_plugin", "CSIPluginConfig", &CSI_PLUGIN),
        one_per_label("scaling", "ScalingPolicies", &TASK_SCALING),
        many("secret", "Secrets", &SECRET),
        many("identity", "Identities", &IDENTITY),
        many("action", "Actions", &ACTION),
        one("schedule", "Schedule", &SCHEDULE),
    ],
);

static LIFECYCLE: Schema = schema(&[required(text("hook", "Hook")), bool("sidecar", "Sidecar")], &[]);

pub(super) static RESOURCES: Schema = schema(
    &[
        integer("cpu", "CPU"),
        integer("cores", "Cores"),
        integer("memory", "MemoryMB"),
        integer("memory_max", "MemoryMaxMB"),
        integer("disk", "DiskMB"),
        integer("secrets", "SecretsMB"),
        integer("iops", "IOPS"),
    ],
    &[many("network", "Networks", &NETWORK), many("device", "Devices", &DEVICE), one("numa", "NUMA", &NUMA)],
);

static DEVICE: Schema = labelled(
    &["Name"],
    &[unsigned("count", "Count")],
    &[many("constraint", "Constraints", &CONSTRAINT), many("affinity", "Affinities", &AFFINITY)],
);

static NUMA: Schema = schema(&[text("affinity", "Affinity"), texts("devices", "Devices")], &[]);

pub(super) static LOGS: Schema = schema(
    &[
        integer("max_files", "MaxFiles"),
        integer("max_file_size", "MaxFileSizeMB"),
        bool("enabled", "Enabled"),
        bool("disabled", "Disabled"),
    ],
    &[],
);

static ARTIFACT: Schema = schema(
    &[
        text("source", "GetterSource"),
        text_map("options", "GetterOptions"),
        text_map("headers", "GetterHeaders"),
        text("mode", "GetterMode"),
        bool("insecure", "GetterInsecure"),
        text("destination", "RelativeDest"),
        bool("chown", "Chown"),
    ],
    &[map_block("options", "GetterOptions"), map_block("headers", "GetterHeaders")],
);

static TEMPLATE: Schema = schema(
    &[
        text("source", "SourcePath"),
        text("destination", "DestPath"),
        text("data", "EmbeddedTmpl"),
        text("change_mode", "ChangeMode"),
        text("change_signal", "ChangeSignal"),
        bool("once", "Once"),
        duration("splay", "Splay"),
        text("perms", "Perms"),
        integer("uid", "Uid"),
        integer("gid", "Gid"),
        text("left_delimiter", "LeftDelim"),
        text("right_delimiter", "RightDelim"),
        bool("env", "Envvars"),
        duration("vault_grace", "VaultGrace"),
        bool("error_on_missing_key", "ErrMissingKey"),
    ],
    &[one("change_script", "ChangeScript", &CHANGE_SCRIPT), one("wait", "Wait", &WAIT)],
);

static WAIT: Schema = schema(&[required(duration("min", "Min")), required(duration("max", "Max"))], &[]);

static CHANGE_SCRIPT: Schema = schema(
    &[
        required(text("command", "Command")),
        texts("args", "Args"),
        duration("timeout", "Timeout"),
        bool("fail_on_error", "FailOnError"),
        bool("run_on_first_render", "RunOnFirstRender"),
    ],
    &[],
);

pub(super) static VAULT: Schema = schema(
    &[
        texts("policies", "Policies"),
        text("role", "Role"),
        text("namespace", "Namespace"),
        text("cluster", "Cluster"),
        bool("env", "Env"),
        bool("disable_file", "DisableFile"),
        text("change_mode", "ChangeMode"),
        text("change_signal", "ChangeSignal"),
        bool("allow_token_expiration", "AllowTokenExpiration"),
    ],
    &[],
);

pub(super) static SECRET: Schema = labelled(
    &["Name"],
    &[text("provider", "Provider"), text("path", "Path"), text_map("env", "Env")],
    &[free("config", "Config"), map_block("env", "Env")],
);

static ACTION: Schema = labelled(&["Name"], &[required(text("command", "Command")), texts("args", "Args")], &[]);

static SCHEDULE: Schema = schema(&[], &[one("cron", "Cron", &SCHEDULE_CRON)]);

static SCHEDULE_CRON: Schema = schema(&[text("start", "Start"), text("end", "End"), text("timezone", "Timezone")], &[]);

static DISPATCH_PAYLOAD: Schema = schema(&[text("file", "File")], &[]);

pub(super) static VOLUME_MOUNT: Schema = schema(
    &[
        text("volume", "Volume"),
        text("destination", "Destination"),
        bool("read_only", "ReadOnly"),
        text("propagation_mode", "PropagationMode"),
        text("selinux_label", "SELinuxLabel"),
    ],
    &[],
);

static CSI_PLUGIN: Schema = schema(
    &[
        text("id", "ID"),
        text("type", "Type"),
        text("mount_dir", "MountDir"),
        text("stage_publish_base_dir", "StagePublishBaseDir"),
        duration("health_timeout", "HealthTimeout"),
    ],
    &[],
);
