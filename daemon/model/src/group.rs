//! The canonical task group and its blocks.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::job::UpdateStrategy;
use crate::noun;
use crate::resources::NetworkResource;
use crate::service::Service;
use crate::spec::{Constraint, Consul, SpreadTarget, VolumeRequest};
use crate::task::Task;
use crate::value::{Duration, ObjectId, Text};

noun! {
    /// A group of tasks that run together on one node.
    pub struct TaskGroup {
        pub affinities: Vec<Affinity> = "Affinities",
        pub constraints: Vec<Constraint> = "Constraints",
        pub consul: Option<Consul> = "Consul",
        pub count: i64 = "Count",
        pub disconnect: Option<DisconnectStrategy> = "Disconnect",
        pub ephemeral_disk: EphemeralDisk = "EphemeralDisk",
        pub max_client_disconnect: Option<Duration> = "MaxClientDisconnect",
        pub max_run_duration: Option<Duration> = "MaxRunDuration",
        pub meta: BTreeMap<String, String> = "Meta",
        pub migrate: Option<MigrateStrategy> = "Migrate",
        pub name: Text = "Name",
        pub networks: Vec<NetworkResource> = "Networks",
        pub prevent_reschedule_on_lost: bool = "PreventRescheduleOnLost",
        pub reschedule_policy: Option<ReschedulePolicy> = "ReschedulePolicy",
        pub restart_policy: RestartPolicy = "RestartPolicy",
        pub scaling: Option<ScalingPolicy> = "Scaling",
        pub services: Vec<Service> = "Services",
        pub shutdown_delay: Option<Duration> = "ShutdownDelay",
        pub spreads: Vec<Spread> = "Spreads",
        pub stop_after_client_disconnect: Option<Duration> = "StopAfterClientDisconnect",
        pub tasks: Vec<Task> = "Tasks",
        pub update: Option<UpdateStrategy> = "Update",
        pub volumes: BTreeMap<String, VolumeRequest> = "Volumes",
    }

    /// How often a task is restarted on its node.
    pub struct RestartPolicy {
        pub attempts: i64 = "Attempts",
        pub delay: Duration = "Delay",
        pub interval: Duration = "Interval",
        pub mode: String = "Mode",
        pub render_templates: bool = "RenderTemplates",
    }

    /// What happens while a client is out of contact.
    pub struct DisconnectStrategy {
        pub lost_after: Option<Duration> = "LostAfter",
        pub reconcile: String = "Reconcile",
        pub replace: bool = "Replace",
        pub stop_on_client_after: Option<Duration> = "StopOnClientAfter",
    }

    /// How often and when a failed allocation is placed again.
    pub struct ReschedulePolicy {
        pub attempts: i64 = "Attempts",
        pub delay: Duration = "Delay",
        pub delay_function: String = "DelayFunction",
        pub interval: Duration = "Interval",
        pub max_delay: Duration = "MaxDelay",
        pub unlimited: bool = "Unlimited",
    }

    /// A wish for nodes; weight -100 to 100.
    pub struct Affinity {
        pub l_target: String = "LTarget",
        pub operand: String = "Operand",
        pub r_target: String = "RTarget",
        pub weight: i64 = "Weight",
    }

    /// A wish to spread allocations over the values of an attribute; weight 1 to 100.
    pub struct Spread {
        pub attribute: String = "Attribute",
        pub spread_target: Vec<SpreadTarget> = "SpreadTarget",
        pub weight: i64 = "Weight",
    }

    /// The disk that the tasks of a group share, in MB.
    pub struct EphemeralDisk {
        pub migrate: bool = "Migrate",
        pub size_mb: i64 = "SizeMB",
        pub sticky: bool = "Sticky",
    }

    /// How allocations leave a node that is drained.
    pub struct MigrateStrategy {
        pub health_check: String = "HealthCheck",
        pub healthy_deadline: Duration = "HealthyDeadline",
        pub max_parallel: i64 = "MaxParallel",
        pub min_healthy_time: Duration = "MinHealthyTime",
    }

    /// Bounds and rules for scaling a count or a resource.
    pub struct ScalingPolicy {
        pub create_index: u64 = "CreateIndex",
        pub enabled: bool = "Enabled",
        pub id: ObjectId = "ID",
        pub max: i64 = "Max",
        pub min: i64 = "Min",
        pub modify_index: u64 = "ModifyIndex",
        pub namespace: String = "Namespace",
        pub policy: Map<String, Value> = "Policy",
        pub target: BTreeMap<String, String> = "Target",
        pub kind: String = "Type",
    }
}
