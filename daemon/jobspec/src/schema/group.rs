//! The group and its blocks, networks included.

use super::job::{AFFINITY, CONSTRAINT, MIGRATE, RESCHEDULE, SPREAD, UPDATE};
use super::service::SERVICE;
use super::task::{SECRET, TASK, VAULT};
use super::{
    Schema, bool, duration, free, integer, keyed, labelled, many, map_block, one, schema, text, text_map, texts,
};

pub(super) static GROUP: Schema = labelled(
    &["Name"],
    &[
        integer("count", "Count"),
        text_map("meta", "Meta"),
        duration("shutdown_delay", "ShutdownDelay"),
        duration("max_run_duration", "MaxRunDuration"),
        duration("stop_after_client_disconnect", "StopAfterClientDisconnect"),
        duration("max_client_disconnect", "MaxClientDisconnect"),
        bool("prevent_reschedule_on_lost", "PreventRescheduleOnLost"),
    ],
    &[
        many("constraint", "Constraints", &CONSTRAINT),
        many("affinity", "Affinities", &AFFINITY),
        many("task", "Tasks", &TASK),
        many("spread", "Spreads", &SPREAD),
        keyed("volume", "Volumes", &VOLUME),
        one("restart", "RestartPolicy", &RESTART),
        one("disconnect", "Disconnect", &DISCONNECT),
        one("reschedule", "ReschedulePolicy", &RESCHEDULE),
        one("ephemeral_disk", "EphemeralDisk", &EPHEMERAL_DISK),
        one("update", "Update", &UPDATE),
        one("migrate", "Migrate", &MIGRATE),
        many("network", "Networks", &NETWORK),
        map_block("meta", "Meta"),
        many("service", "Services", &SERVICE),
        one("scaling", "Scaling", &SCALING),
        one("consul", "Consul", &CONSUL),
        one("vault", "Vault", &VAULT),
        many("secret", "Secrets", &SECRET),
    ],
);

pub(super) static RESTART: Schema = schema(
    &[
        duration("interval", "Interval"),
        integer("attempts", "Attempts"),
        duration("delay", "Delay"),
        text("mode", "Mode"),
        bool("render_templates", "RenderTemplates"),
    ],
    &[],
);

static DISCONNECT: Schema = schema(
    &[
        duration("lost_after", "LostAfter"),
        duration("stop_on_client_after", "StopOnClientAfter"),
        bool("replace", "Replace"),
        text("reconcile", "Reconcile"),
    ],
    &[],
);

static EPHEMERAL_DISK: Schema =
    schema(&[bool("sticky", "Sticky"), bool("migrate", "Migrate"), integer("size", "SizeMB")], &[]);

pub(super) static NETWORK: Schema = schema(
    &[
        text("mode", "Mode"),
        text("device", "Device"),
        text("cidr", "CIDR"),
        text("ip", "IP"),
        text("hostname", "Hostname"),
        integer("mbits", "MBits"),
    ],
    &[
        one("dns", "DNS", &DNS),
        many("port", "DynamicPorts", &PORT),
        many("reserved_ports", "ReservedPorts", &PORT),
        one("cni", "CNI", &CNI),
    ],
);

static PORT: Schema = labelled(
    &["Label"],
    &[
        integer("static", "Value"),
        integer("to", "To"),
        text("host_network", "HostNetwork"),
        bool("ignore_collision", "IgnoreCollision"),
    ],
    &[],
);

static DNS: Schema =
    schema(&[texts("servers", "Servers"), texts("searches", "Searches"), texts("options", "Options")], &[]);

static CNI: Schema = schema(&[text_map("args", "Args")], &[]);

static VOLUME: Schema = labelled(
    &["Name"],
    &[
        text("type", "Type"),
        text("source", "Source"),
        bool("read_only", "ReadOnly"),
        bool("sticky", "Sticky"),
        text("access_mode", "AccessMode"),
        text("attachment_mode", "AttachmentMode"),
        bool("per_alloc", "PerAlloc"),
    ],
    &[one("mount_options", "MountOptions", &MOUNT_OPTIONS)],
);

static MOUNT_OPTIONS: Schema = schema(&[text("fs_type", "FSType"), texts("mount_flags", "MountFlags")], &[]);

static SCALING: Schema = schema(
    &[integer("min", "Min"), integer("max", "Max"), bool("enabled", "Enabled"), text("type", "Type")],
    &[free("policy", "Policy")],
);

pub(super) static TASK_SCALING: Schema = labelled(
    &["name"],
    &[integer("min", "Min"), integer("max", "Max"), bool("enabled", "Enabled"), text("type", "Type")],
    &[free("policy", "Policy")],
);

pub(super) static CONSUL: Schema =
    schema(&[text("namespace", "Namespace"), text("cluster", "Cluster"), text("partition", "Partition")], &[]);
