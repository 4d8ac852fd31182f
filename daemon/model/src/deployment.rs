//! Deployments: the watched roll-out of a version of a service job.

use std::collections::BTreeMap;

use crate::noun;
use crate::value::{AllocationId, DeploymentId, Duration, EvaluationId, Text, Time};
use crate::word::DeploymentStatus;

noun! {
    /// The roll-out of one version.
    pub struct Deployment {
        pub create_index: u64 = "CreateIndex",
        pub create_time: i64 = "CreateTime",
        pub eval_priority: i64 = "EvalPriority",
        pub id: DeploymentId = "ID",
        pub is_multiregion: bool = "IsMultiregion",
        pub job_create_index: u64 = "JobCreateIndex",
        pub job_id: Text = "JobID",
        pub job_modify_index: u64 = "JobModifyIndex",
        pub job_spec_modify_index: u64 = "JobSpecModifyIndex",
        pub job_version: u64 = "JobVersion",
        pub modify_index: u64 = "ModifyIndex",
        pub modify_time: i64 = "ModifyTime",
        pub namespace: Text = "Namespace",
        pub status: DeploymentStatus = "Status",
        pub status_description: String = "StatusDescription",
        pub task_groups: BTreeMap<Text, DeploymentState> = "TaskGroups",
    }

    /// How far one group is.
    pub struct DeploymentState {
        pub auto_promote: bool = "AutoPromote",
        pub auto_revert: bool = "AutoRevert",
        pub desired_canaries: i64 = "DesiredCanaries",
        pub desired_total: i64 = "DesiredTotal",
        pub healthy_allocs: i64 = "HealthyAllocs",
        pub placed_allocs: i64 = "PlacedAllocs",
        pub placed_canaries: Vec<AllocationId> = "PlacedCanaries",
        pub progress_deadline: Duration = "ProgressDeadline",
        pub promoted: bool = "Promoted",
        pub require_progress_by: Time = "RequireProgressBy",
        pub unhealthy_allocs: i64 = "UnhealthyAllocs",
    }

    /// The health of one allocation in its deployment.
    pub struct AllocDeploymentStatus {
        pub canary: bool = "Canary",
        pub healthy: Option<bool> = "Healthy",
        pub modify_index: u64 = "ModifyIndex",
        pub timestamp: Time = "Timestamp",
    }

    /// The answer to a change of a deployment.
    pub struct DeploymentUpdateResponse {
        pub deployment_modify_index: u64 = "DeploymentModifyIndex",
        pub eval_create_index: u64 = "EvalCreateIndex",
        pub eval_id: EvaluationId = "EvalID",
        pub reverted_job_version: Option<u64> = "RevertedJobVersion",
    }
}
