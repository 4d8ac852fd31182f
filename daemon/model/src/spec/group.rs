//! The group and the blocks that stand in it (or in the job above), as written.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::noun;
use crate::spec::{NetworkResource, Service, Task};
use crate::value::Duration;

noun! {
    /// A group of tasks that run together on one node.
    pub struct TaskGroup {
        pub name: Option<String> = "Name",
        pub count: Option<i64> = "Count",
        pub constraints: Option<Vec<Constraint>> = "Constraints",
        pub affinities: Option<Vec<Affinity>> = "Affinities",
        pub tasks: Option<Vec<Task>> = "Tasks",
        pub spreads: Option<Vec<Spread>> = "Spreads",
        pub volumes: Option<BTreeMap<String, VolumeRequest>> = "Volumes",
        pub restart_policy: Option<RestartPolicy> = "RestartPolicy",
        pub disconnect: Option<DisconnectStrategy> = "Disconnect",
        pub reschedule_policy: Option<ReschedulePolicy> = "ReschedulePolicy",
        pub ephemeral_disk: Option<EphemeralDisk> = "EphemeralDisk",
        pub update: Option<UpdateStrategy> = "Update",
        pub migrate: Option<MigrateStrategy> = "Migrate",
        pub networks: Option<Vec<NetworkResource>> = "Networks",
        pub meta: Option<BTreeMap<String, String>> = "Meta",
        pub services: Option<Vec<Service>> = "Services",
        pub shutdown_delay: Option<Duration> = "ShutdownDelay",
        pub max_run_duration: Option<Duration> = "MaxRunDuration",
        pub stop_after_client_disconnect: Option<Duration> = "StopAfterClientDisconnect",
        pub max_client_disconnect: Option<Duration> = "MaxClientDisconnect",
        pub scaling: Option<ScalingPolicy> = "Scaling",
        pub consul: Option<Consul> = "Consul",
        pub prevent_reschedule_on_lost: Option<bool> = "PreventRescheduleOnLost",
    }

    /// How often a task is restarted on its node.
    pub struct RestartPolicy {
        pub interval: Option<Duration> = "Interval",
        pub attempts: Option<i64> = "Attempts",
        pub delay: Option<Duration> = "Delay",
        pub mode: Option<String> = "Mode",
        pub render_templates: Option<bool> = "RenderTemplates",
    }

    /// What happens while a client is out of contact.
    pub struct DisconnectStrategy {
        pub lost_after: Option<Duration> = "LostAfter",
        pub stop_on_client_after: Option<Duration> = "StopOnClientAfter",
        pub replace: Option<bool> = "Replace",
        pub reconcile: Option<String> = "Reconcile",
    }

    /// How often and when a failed allocation is placed again.
    pub struct ReschedulePolicy {
        pub attempts: Option<i64> = "Attempts",
        pub interval: Option<Duration> = "Interval",
        pub delay: Option<Duration> = "Delay",
        pub delay_function: Option<String> = "DelayFunction",
        pub max_delay: Option<Duration> = "MaxDelay",
        pub unlimited: Option<bool> = "Unlimited",
    }

    /// A wish for nodes; weight -100 to 100.
    pub struct Affinity {
        pub l_target: String = "LTarget",
        pub r_target: String = "RTarget",
        pub operand: String = "Operand",
        pub weight: Option<i64> = "Weight",
    }

    /// A condition that a node must meet.
    pub struct Constraint {
        pub l_target: String = "LTarget",
        pub r_target: String = "RTarget",
        pub operand: String = "Operand",
    }

    /// A wish to spread allocations over the values of an attribute; weight 1 to 100.
    pub struct Spread {
        pub attribute: String = "Attribute",
        pub weight: Option<i64> = "Weight",
        pub spread_target: Option<Vec<SpreadTarget>> = "SpreadTarget",
    }

    /// The share of one value, in percent.
    pub struct SpreadTarget {
        pub value: String = "Value",
        pub percent: u64 = "Percent",
    }

    /// The disk that the tasks of a group share, in MB.
    pub struct EphemeralDisk {
        pub sticky: Option<bool> = "Sticky",
        pub migrate: Option<bool> = "Migrate",
        pub size_mb: Option<i64> = "SizeMB",
    }

    /// How allocations leave a node that is drained.
    pub struct MigrateStrategy {
        pub max_parallel: Option<i64> = "MaxParallel",
        pub health_check: Option<String> = "HealthCheck",
        pub min_healthy_time: Option<Duration> = "MinHealthyTime",
        pub healthy_deadline: Option<Duration> = "HealthyDeadline",
    }

    /// How a new version of a job replaces the old one.
    pub struct UpdateStrategy {
        pub stagger: Option<Duration> = "Stagger",
        pub max_parallel: Option<i64> = "MaxParallel",
        pub health_check: Option<String> = "HealthCheck",
        pub min_healthy_time: Option<Duration> = "MinHealthyTime",
        pub healthy_deadline: Option<Duration> = "HealthyDeadline",
        pub progress_deadline: Option<Duration> = "ProgressDeadline",
        pub canary: Option<i64> = "Canary",
        pub auto_revert: Option<bool> = "AutoRevert",
        pub auto_promote: Option<bool> = "AutoPromote",
    }

    /// A volume that a group wants.
    pub struct VolumeRequest {
        pub name: String = "Name",
        pub kind: String = "Type",
        pub source: String = "Source",
        pub read_only: bool = "ReadOnly",
        pub sticky: bool = "Sticky",
        pub access_mode: String = "AccessMode",
        pub attachment_mode: String = "AttachmentMode",
        pub mount_options: Option<CSIMountOptions> = "MountOptions",
        pub per_alloc: bool = "PerAlloc",
    }

    /// How a volume is mounted.
    pub struct CSIMountOptions {
        pub fs_type: String = "FSType",
        pub mount_flags: Option<Vec<String>> = "MountFlags",
    }

    /// Bounds and rules for scaling a count or a resource.
    pub struct ScalingPolicy {
        pub min: Option<i64> = "Min",
        pub max: Option<i64> = "Max",
        pub policy: Option<Map<String, Value>> = "Policy",
        pub enabled: Option<bool> = "Enabled",
        pub kind: String = "Type",
        pub id: String = "ID",
        pub namespace: String = "Namespace",
        pub target: Option<BTreeMap<String, String>> = "Target",
        pub create_index: u64 = "CreateIndex",
        pub modify_index: u64 = "ModifyIndex",
    }

    /// Which Consul a block means.
    pub struct Consul {
        pub namespace: String = "Namespace",
        pub cluster: String = "Cluster",
        pub partition: String = "Partition",
    }
}
