//! The canonical job: total, what servers keep and the API answers.
//!
//! Made only by `canonicalize` from `spec::Job`; types without optional parts are shared with `spec`.

use std::collections::BTreeMap;

use crate::group::{Affinity, Spread, TaskGroup};
use crate::noun;
use crate::spec::{Constraint, JobUIConfig, JobVersionTag, Multiregion, ParameterizedJobConfig};
use crate::value::{Bytes, Duration, Text};
use crate::word::{JobStatus, JobType};

noun! {
    /// A job as servers keep it.
    pub struct Job {
        pub affinities: Vec<Affinity> = "Affinities",
        pub all_at_once: bool = "AllAtOnce",
        pub constraints: Vec<Constraint> = "Constraints",
        pub consul_namespace: String = "ConsulNamespace",
        pub create_index: u64 = "CreateIndex",
        pub datacenters: Vec<Text> = "Datacenters",
        pub dispatch_idempotency_token: String = "DispatchIdempotencyToken",
        pub dispatched: bool = "Dispatched",
        pub id: Text = "ID",
        pub job_modify_index: u64 = "JobModifyIndex",
        pub meta: BTreeMap<String, String> = "Meta",
        pub modify_index: u64 = "ModifyIndex",
        pub multiregion: Option<Multiregion> = "Multiregion",
        pub name: Text = "Name",
        pub namespace: Text = "Namespace",
        pub node_pool: Text = "NodePool",
        pub nomad_token_id: String = "NomadTokenID",
        pub parameterized_job: Option<ParameterizedJobConfig> = "ParameterizedJob",
        pub parent_id: Text = "ParentID",
        pub payload: Bytes = "Payload",
        pub periodic: Option<PeriodicConfig> = "Periodic",
        pub priority: i64 = "Priority",
        pub region: Text = "Region",
        pub spreads: Vec<Spread> = "Spreads",
        pub stable: bool = "Stable",
        pub status: JobStatus = "Status",
        pub status_description: String = "StatusDescription",
        pub stop: bool = "Stop",
        pub submit_time: i64 = "SubmitTime",
        pub task_groups: Vec<TaskGroup> = "TaskGroups",
        pub kind: JobType = "Type",
        pub ui: Option<JobUIConfig> = "UI",
        pub update: Option<UpdateStrategy> = "Update",
        pub vault_namespace: String = "VaultNamespace",
        pub version: u64 = "Version",
        pub version_tag: Option<JobVersionTag> = "VersionTag",
    }

    /// When a job is launched by the clock.
    pub struct PeriodicConfig {
        pub enabled: bool = "Enabled",
        pub prohibit_overlap: bool = "ProhibitOverlap",
        pub spec: String = "Spec",
        pub spec_type: String = "SpecType",
        pub specs: Vec<String> = "Specs" [empty],
        pub time_zone: String = "TimeZone",
    }

    /// How a new version of a job replaces the old one.
    pub struct UpdateStrategy {
        pub auto_promote: bool = "AutoPromote",
        pub auto_revert: bool = "AutoRevert",
        pub canary: i64 = "Canary",
        pub health_check: String = "HealthCheck",
        pub healthy_deadline: Duration = "HealthyDeadline",
        pub max_parallel: i64 = "MaxParallel",
        pub min_healthy_time: Duration = "MinHealthyTime",
        pub progress_deadline: Duration = "ProgressDeadline",
        pub stagger: Duration = "Stagger",
    }
}
