//! The job and its own blocks, as written.
//!
//! Field order is Nomad's, because `job run -output` prints it.

use std::collections::BTreeMap;

use crate::noun;
use crate::spec::{Affinity, Constraint, MigrateStrategy, ReschedulePolicy, Spread, TaskGroup, UpdateStrategy};
use crate::value::Bytes;

noun! {
    /// A job as its author wrote it; what is absent was not written.
    pub struct Job {
        pub region: Option<String> = "Region",
        pub namespace: Option<String> = "Namespace",
        pub id: Option<String> = "ID",
        pub name: Option<String> = "Name",
        pub kind: Option<String> = "Type",
        pub priority: Option<i64> = "Priority",
        pub all_at_once: Option<bool> = "AllAtOnce",
        pub datacenters: Option<Vec<String>> = "Datacenters",
        pub node_pool: Option<String> = "NodePool",
        pub constraints: Option<Vec<Constraint>> = "Constraints",
        pub affinities: Option<Vec<Affinity>> = "Affinities",
        pub task_groups: Option<Vec<TaskGroup>> = "TaskGroups",
        pub update: Option<UpdateStrategy> = "Update",
        pub multiregion: Option<Multiregion> = "Multiregion",
        pub spreads: Option<Vec<Spread>> = "Spreads",
        pub periodic: Option<PeriodicConfig> = "Periodic",
        pub parameterized_job: Option<ParameterizedJobConfig> = "ParameterizedJob",
        pub reschedule: Option<ReschedulePolicy> = "Reschedule",
        pub migrate: Option<MigrateStrategy> = "Migrate",
        pub meta: Option<BTreeMap<String, String>> = "Meta",
        pub ui: Option<JobUIConfig> = "UI",
        pub stop: Option<bool> = "Stop",
        pub parent_id: Option<String> = "ParentID",
        pub dispatched: bool = "Dispatched",
        pub dispatch_idempotency_token: Option<String> = "DispatchIdempotencyToken",
        pub payload: Option<Bytes> = "Payload",
        pub consul_namespace: Option<String> = "ConsulNamespace",
        pub vault_namespace: Option<String> = "VaultNamespace",
        pub nomad_token_id: Option<String> = "NomadTokenID",
        pub status: Option<String> = "Status",
        pub status_description: Option<String> = "StatusDescription",
        pub stable: Option<bool> = "Stable",
        pub version: Option<u64> = "Version",
        pub submit_time: Option<i64> = "SubmitTime",
        pub create_index: Option<u64> = "CreateIndex",
        pub modify_index: Option<u64> = "ModifyIndex",
        pub job_modify_index: Option<u64> = "JobModifyIndex",
        pub version_tag: Option<JobVersionTag> = "VersionTag",
    }

    /// A job that spans regions (accepted in files, refused at registration).
    pub struct Multiregion {
        pub strategy: Option<MultiregionStrategy> = "Strategy",
        pub regions: Option<Vec<MultiregionRegion>> = "Regions",
    }

    /// How a job moves through its regions.
    pub struct MultiregionStrategy {
        pub max_parallel: Option<i64> = "MaxParallel",
        pub on_failure: Option<String> = "OnFailure",
    }

    /// One region of a job.
    pub struct MultiregionRegion {
        pub name: String = "Name",
        pub count: Option<i64> = "Count",
        pub datacenters: Option<Vec<String>> = "Datacenters",
        pub node_pool: String = "NodePool",
        pub meta: Option<BTreeMap<String, String>> = "Meta",
    }

    /// When a job is launched by the clock.
    pub struct PeriodicConfig {
        pub enabled: Option<bool> = "Enabled",
        pub spec: Option<String> = "Spec",
        pub specs: Option<Vec<String>> = "Specs",
        pub spec_type: Option<String> = "SpecType",
        pub prohibit_overlap: Option<bool> = "ProhibitOverlap",
        pub time_zone: Option<String> = "TimeZone",
    }

    /// What a dispatch of the job must and may bring.
    pub struct ParameterizedJobConfig {
        pub payload: String = "Payload",
        pub meta_required: Option<Vec<String>> = "MetaRequired",
        pub meta_optional: Option<Vec<String>> = "MetaOptional",
    }

    /// What a user interface shows of a job.
    pub struct JobUIConfig {
        pub description: String = "Description",
        pub links: Option<Vec<JobUILink>> = "Links",
    }

    /// A link of a job.
    pub struct JobUILink {
        pub label: String = "Label",
        pub url: String = "URL",
    }

    /// The name that a person gave to a version of a job.
    pub struct JobVersionTag {
        pub name: String = "Name",
        pub description: String = "Description",
        pub tagged_time: i64 = "TaggedTime",
    }
}
