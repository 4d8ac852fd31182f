//! Bodies of requests and answers about jobs, nodes and allocations.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::evaluation::Evaluation;
use crate::job::Job;
use crate::metric::AllocationMetric;
use crate::node::DrainSpec;
use crate::noun;
use crate::plan::{JobDiff, PlanAnnotations};
use crate::spec;
use crate::value::{Bytes, EvaluationId, ObjectId, Text, Time};

noun! {
    /// A job file to be parsed by the server.
    pub struct JobsParseRequest {
        pub canonicalize: bool = "Canonicalize",
        pub job_hcl: String = "JobHCL",
        pub variables: String = "Variables",
    }

    /// The job file as it was sent, kept for people to read.
    pub struct JobSubmission {
        pub format: String = "Format",
        pub source: String = "Source",
        pub variable_flags: BTreeMap<String, String> = "VariableFlags",
        pub variables: String = "Variables",
    }

    /// A job to be checked.
    pub struct JobValidateRequest {
        pub job: Option<spec::Job> = "Job",
        pub namespace: Text = "Namespace",
        pub region: Text = "Region",
    }

    /// What is wrong with a job.
    pub struct JobValidateResponse {
        pub driver_config_validated: bool = "DriverConfigValidated",
        pub error: String = "Error",
        pub validation_errors: Vec<String> = "ValidationErrors",
        pub warnings: String = "Warnings",
    }

    /// A job to be registered.
    pub struct JobRegisterRequest {
        pub enforce_index: bool = "EnforceIndex" [omit],
        pub eval_priority: i64 = "EvalPriority" [omit],
        pub job: Option<spec::Job> = "Job",
        pub job_modify_index: u64 = "JobModifyIndex" [omit],
        pub namespace: Text = "Namespace",
        pub policy_override: bool = "PolicyOverride" [omit],
        pub preserve_counts: bool = "PreserveCounts" [omit],
        pub preserve_resources: bool = "PreserveResources" [omit],
        pub region: Text = "Region",
        pub submission: Option<JobSubmission> = "Submission",
    }

    /// A job was registered.
    pub struct JobRegisterResponse {
        pub eval_create_index: u64 = "EvalCreateIndex",
        pub eval_id: EvaluationId = "EvalID",
        pub job_modify_index: u64 = "JobModifyIndex",
        pub warnings: String = "Warnings",
    }

    /// A job was stopped.
    pub struct JobDeregisterResponse {
        pub eval_create_index: u64 = "EvalCreateIndex",
        pub eval_id: EvaluationId = "EvalID",
        pub job_modify_index: u64 = "JobModifyIndex",
    }

    /// A job to be tried.
    pub struct JobPlanRequest {
        pub diff: bool = "Diff",
        pub job: Option<spec::Job> = "Job",
        pub namespace: Text = "Namespace",
        pub policy_override: bool = "PolicyOverride",
        pub region: Text = "Region",
    }

    /// What registering a job would do.
    pub struct JobPlanResponse {
        pub annotations: Option<PlanAnnotations> = "Annotations",
        pub created_evals: Vec<Evaluation> = "CreatedEvals",
        pub diff: Option<JobDiff> = "Diff",
        pub failed_tg_allocs: BTreeMap<String, Arc<AllocationMetric>> = "FailedTGAllocs",
        pub job_modify_index: u64 = "JobModifyIndex",
        pub next_periodic_launch: Time = "NextPeriodicLaunch",
        pub warnings: String = "Warnings",
    }

    /// A version to return to.
    pub struct JobRevertRequest {
        pub enforce_prior_version: Option<u64> = "EnforcePriorVersion",
        pub job_id: String = "JobID",
        pub job_version: u64 = "JobVersion",
        pub namespace: Text = "Namespace",
        pub region: Text = "Region",
    }

    /// Marks a version as stable.
    pub struct JobStabilityRequest {
        pub job_id: String = "JobID",
        pub job_version: u64 = "JobVersion",
        pub namespace: Text = "Namespace",
        pub region: Text = "Region",
        pub stable: bool = "Stable",
    }

    /// A version was marked.
    pub struct JobStabilityResponse {
        pub job_modify_index: u64 = "JobModifyIndex",
    }

    /// A job to be evaluated again.
    pub struct JobEvaluateRequest {
        pub eval_options: EvalOptions = "EvalOptions",
        pub job_id: String = "JobID",
        pub namespace: Text = "Namespace",
        pub region: Text = "Region",
    }

    /// How a job is evaluated again.
    pub struct EvalOptions {
        pub force_reschedule: bool = "ForceReschedule",
    }

    /// The versions of a job and what differs.
    pub struct JobVersionsResponse {
        pub diffs: Vec<JobDiff> = "Diffs",
        pub versions: Vec<Arc<Job>> = "Versions",
    }

    /// A name for a version.
    pub struct TagVersionRequest {
        pub description: String = "Description",
        pub latest: bool = "Latest",
        pub namespace: Text = "Namespace",
        pub region: Text = "Region",
        pub version: u64 = "Version",
    }

    /// A dispatch of a parameterized job.
    pub struct JobDispatchRequest {
        pub id_prefix_template: String = "IdPrefixTemplate",
        pub job_id: String = "JobID",
        pub meta: BTreeMap<String, String> = "Meta",
        pub payload: Bytes = "Payload",
        pub priority: i64 = "Priority",
    }

    /// A job was dispatched.
    pub struct JobDispatchResponse {
        pub dispatched_job_id: String = "DispatchedJobID",
        pub eval_create_index: u64 = "EvalCreateIndex",
        pub eval_id: EvaluationId = "EvalID",
        pub job_create_index: u64 = "JobCreateIndex",
    }

    /// Jobs whose state is asked for.
    pub struct JobStatusesRequest {
        pub include_children: bool = "IncludeChildren",
        pub jobs: Vec<NamespacedID> = "Jobs",
    }

    /// A job by namespace and id.
    pub struct NamespacedID {
        pub id: String = "ID",
        pub namespace: String = "Namespace",
    }

    /// A count for a group, or a note about scaling.
    pub struct ScalingRequest {
        pub count: Option<i64> = "Count",
        pub error: bool = "Error",
        pub job_modify_index: u64 = "JobModifyIndex",
        pub message: String = "Message",
        pub meta: Map<String, Value> = "Meta",
        pub namespace: Text = "Namespace",
        pub policy_override: bool = "PolicyOverride",
        pub region: Text = "Region",
        pub target: BTreeMap<String, String> = "Target",
    }

    /// A change of a count, or a note about scaling.
    pub struct ScalingEvent {
        pub count: Option<i64> = "Count",
        pub create_index: u64 = "CreateIndex",
        pub error: bool = "Error",
        pub eval_id: Option<EvaluationId> = "EvalID",
        pub message: String = "Message",
        pub meta: Map<String, Value> = "Meta",
        pub previous_count: i64 = "PreviousCount",
        pub time: i64 = "Time",
    }

    /// How a job is scaled.
    pub struct JobScaleStatusResponse {
        pub job_create_index: u64 = "JobCreateIndex",
        pub job_id: String = "JobID",
        pub job_modify_index: u64 = "JobModifyIndex",
        pub job_stopped: bool = "JobStopped",
        pub namespace: String = "Namespace",
        pub task_groups: BTreeMap<String, TaskGroupScaleStatus> = "TaskGroups",
    }

    /// How a group is scaled.
    pub struct TaskGroupScaleStatus {
        pub desired: i64 = "Desired",
        pub events: Vec<ScalingEvent> = "Events",
        pub healthy: i64 = "Healthy",
        pub placed: i64 = "Placed",
        pub running: i64 = "Running",
        pub unhealthy: i64 = "Unhealthy",
    }

    /// A scaling policy in a list.
    pub struct ScalingPolicyListStub {
        pub create_index: u64 = "CreateIndex",
        pub enabled: bool = "Enabled",
        pub id: ObjectId = "ID",
        pub modify_index: u64 = "ModifyIndex",
        pub target: BTreeMap<String, String> = "Target",
        pub kind: String = "Type",
    }

    /// An allocation is being stopped.
    pub struct AllocStopResponse {
        pub eval_id: EvaluationId = "EvalID",
    }

    /// Tasks to be restarted.
    pub struct AllocationRestartRequest {
        pub all_tasks: bool = "AllTasks",
        pub task_name: String = "TaskName",
    }

    /// A signal for tasks.
    pub struct AllocSignalRequest {
        pub signal: String = "Signal",
        pub task: String = "Task",
    }

    /// Whether a node takes allocations.
    pub struct NodeUpdateEligibilityRequest {
        pub eligibility: String = "Eligibility",
        pub node_id: String = "NodeID",
    }

    /// The eligibility was set.
    pub struct NodeEligibilityUpdateResponse {
        pub eval_create_index: u64 = "EvalCreateIndex",
        pub eval_ids: Vec<EvaluationId> = "EvalIDs",
        pub node_modify_index: u64 = "NodeModifyIndex",
    }

    /// A drain to be started or ended.
    pub struct NodeUpdateDrainRequest {
        pub drain_spec: Option<DrainSpec> = "DrainSpec",
        pub mark_eligible: bool = "MarkEligible",
        pub meta: BTreeMap<String, String> = "Meta",
        pub node_id: String = "NodeID",
    }

    /// The drain was set.
    pub struct NodeDrainUpdateResponse {
        pub eval_create_index: u64 = "EvalCreateIndex",
        pub eval_ids: Vec<EvaluationId> = "EvalIDs",
        pub node_modify_index: u64 = "NodeModifyIndex",
    }

    /// A node was removed.
    pub struct NodePurgeResponse {
        pub eval_create_index: u64 = "EvalCreateIndex",
        pub eval_ids: Vec<EvaluationId> = "EvalIDs",
        pub node_modify_index: u64 = "NodeModifyIndex",
    }

    /// Evaluations to be deleted.
    pub struct EvalDeleteRequest {
        pub eval_ids: Vec<String> = "EvalIDs",
        pub filter: String = "Filter",
        pub namespace: Text = "Namespace",
        pub region: Text = "Region",
    }

    /// How many evaluations were deleted.
    pub struct EvalDeleteResponse {
        pub count: i64 = "Count",
    }

    /// How many evaluations there are.
    pub struct EvalCountResponse {
        pub count: i64 = "Count",
    }

    /// Ids that begin with a text.
    pub struct SearchRequest {
        pub context: String = "Context",
        pub prefix: String = "Prefix",
    }

    /// What was found.
    pub struct SearchResponse {
        /// The ids of each kind; none is Go's `null`.
        pub matches: BTreeMap<String, Option<Vec<String>>> = "Matches" [empty],
        pub truncations: BTreeMap<String, bool> = "Truncations" [empty],
    }

    /// Names that contain a text.
    pub struct FuzzySearchRequest {
        pub context: String = "Context",
        pub text: String = "Text",
    }

    /// Something that was found, and where it stands.
    pub struct FuzzyMatch {
        pub id: String = "ID",
        pub scope: Vec<String> = "Scope" [omit],
    }

    /// What was found.
    pub struct FuzzySearchResponse {
        pub matches: BTreeMap<String, Vec<FuzzyMatch>> = "Matches" [empty],
        pub truncations: BTreeMap<String, bool> = "Truncations" [empty],
    }

    /// Whether a deployment goes on.
    pub struct DeploymentPauseRequest {
        pub deployment_id: String = "DeploymentID",
        pub pause: bool = "Pause",
    }

    /// The canaries of these groups (or of all) become the new version.
    pub struct DeploymentPromoteRequest {
        pub deployment_id: String = "DeploymentID",
        pub all: bool = "All",
        pub groups: Vec<String> = "Groups",
    }

    /// Allocations that somebody found healthy or not.
    pub struct DeploymentAllocHealthRequest {
        pub deployment_id: String = "DeploymentID",
        pub healthy_allocation_ids: Vec<String> = "HealthyAllocationIDs",
        pub unhealthy_allocation_ids: Vec<String> = "UnhealthyAllocationIDs",
    }
}
