//! Evaluations: the wish that the scheduler looks at a job again, and what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metric::AllocationMetric;
use crate::noun;
use crate::plan::PlanAnnotations;
use crate::value::{DeploymentId, Duration, EvaluationId, NodeId, Text, Time};
use crate::word::{EvaluationStatus, Trigger};

noun! {
    /// A request to bring a job to its desired state.
    pub struct Evaluation {
        pub annotate_plan: bool = "AnnotatePlan" [omit],
        pub blocked_eval: EvaluationId = "BlockedEval" [omit],
        pub class_eligibility: BTreeMap<String, bool> = "ClassEligibility" [omit],
        pub create_index: u64 = "CreateIndex",
        pub create_time: i64 = "CreateTime",
        pub deployment_id: DeploymentId = "DeploymentID" [omit],
        pub escaped_computed_class: bool = "EscapedComputedClass" [omit],
        pub failed_tg_allocs: BTreeMap<Text, Arc<AllocationMetric>> = "FailedTGAllocs" [omit],
        pub id: EvaluationId = "ID",
        pub job_id: Text = "JobID",
        pub job_modify_index: u64 = "JobModifyIndex",
        pub leader_acl: String = "LeaderACL" [omit],
        pub missing_non_node_resources: Vec<String> = "MissingNonNodeResources" [omit],
        pub modify_index: u64 = "ModifyIndex",
        pub modify_time: i64 = "ModifyTime",
        pub namespace: Text = "Namespace",
        pub next_eval: EvaluationId = "NextEval" [omit],
        pub node_id: NodeId = "NodeID" [omit],
        pub node_modify_index: u64 = "NodeModifyIndex" [omit],
        pub plan_annotations: Option<PlanAnnotations> = "PlanAnnotations" [omit],
        pub previous_eval: EvaluationId = "PreviousEval" [omit],
        pub priority: i64 = "Priority",
        pub queued_allocations: BTreeMap<Text, i64> = "QueuedAllocations" [omit],
        pub quota_limit_reached: String = "QuotaLimitReached" [omit],
        pub snapshot_index: u64 = "SnapshotIndex",
        pub status: EvaluationStatus = "Status",
        pub status_description: Text = "StatusDescription" [omit],
        pub triggered_by: Trigger = "TriggeredBy",
        pub kind: Text = "Type",
        pub wait: Duration = "Wait" [omit],
        pub wait_until: Time = "WaitUntil" [omit],
    }

    /// An evaluation related to another, in short.
    pub struct EvaluationStub {
        pub blocked_eval: EvaluationId = "BlockedEval",
        pub create_index: u64 = "CreateIndex",
        pub create_time: i64 = "CreateTime",
        pub deployment_id: DeploymentId = "DeploymentID",
        pub id: EvaluationId = "ID",
        pub job_id: Text = "JobID",
        pub modify_index: u64 = "ModifyIndex",
        pub modify_time: i64 = "ModifyTime",
        pub namespace: Text = "Namespace",
        pub next_eval: EvaluationId = "NextEval",
        pub node_id: NodeId = "NodeID",
        pub previous_eval: EvaluationId = "PreviousEval",
        pub priority: i64 = "Priority",
        pub status: EvaluationStatus = "Status",
        pub status_description: Text = "StatusDescription",
        pub triggered_by: Trigger = "TriggeredBy",
        pub kind: Text = "Type",
        pub wait_until: Time = "WaitUntil",
    }
}
