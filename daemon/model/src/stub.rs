//! The short forms in which lists answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::allocation::{DesiredTransition, RescheduleTracker};
use crate::deployment::AllocDeploymentStatus;
use crate::node::{DrainMetadata, DriverInfo, HostVolumeInfo, NodeReservedResources, NodeResources};
use crate::noun;
use crate::resources::AllocatedResources;
use crate::small_map::SmallMap;
use crate::spec::Multiregion;
use crate::summary::JobSummary;
use crate::task_state::TaskState;
use crate::value::{AllocationId, EvaluationId, NodeId, Text};
use crate::word::{ClientStatus, DesiredStatus, Eligibility, JobStatus, JobType, NodeStatus};

noun! {
    /// An allocation in a list.
    pub struct AllocationListStub {
        pub allocated_resources: Option<Arc<AllocatedResources>> = "AllocatedResources" [omit],
        pub client_description: Text = "ClientDescription",
        pub client_status: ClientStatus = "ClientStatus",
        pub create_index: u64 = "CreateIndex",
        pub create_time: i64 = "CreateTime",
        pub deployment_status: Option<AllocDeploymentStatus> = "DeploymentStatus",
        pub desired_description: Text = "DesiredDescription",
        pub desired_status: DesiredStatus = "DesiredStatus",
        pub desired_transition: DesiredTransition = "DesiredTransition",
        pub eval_id: EvaluationId = "EvalID",
        pub followup_eval_id: EvaluationId = "FollowupEvalID",
        pub id: AllocationId = "ID",
        pub job_id: Text = "JobID",
        pub job_type: JobType = "JobType",
        pub job_version: u64 = "JobVersion",
        pub modify_index: u64 = "ModifyIndex",
        pub modify_time: i64 = "ModifyTime",
        pub name: Text = "Name",
        pub namespace: Text = "Namespace",
        pub next_allocation: AllocationId = "NextAllocation",
        pub node_id: NodeId = "NodeID",
        pub node_name: Text = "NodeName",
        pub preempted_allocations: Vec<AllocationId> = "PreemptedAllocations",
        pub preempted_by_allocation: AllocationId = "PreemptedByAllocation",
        pub reschedule_tracker: Option<Box<RescheduleTracker>> = "RescheduleTracker",
        pub task_group: Text = "TaskGroup",
        pub task_states: SmallMap<Text, TaskState> = "TaskStates",
    }

    /// A job in a list.
    pub struct JobListStub {
        pub create_index: u64 = "CreateIndex",
        pub datacenters: Vec<Text> = "Datacenters",
        pub id: Text = "ID",
        pub job_modify_index: u64 = "JobModifyIndex",
        pub job_summary: Option<JobSummary> = "JobSummary",
        pub meta: BTreeMap<String, String> = "Meta" [omit],
        pub modify_index: u64 = "ModifyIndex",
        pub multiregion: Option<Multiregion> = "Multiregion",
        pub name: Text = "Name",
        pub namespace: Text = "Namespace" [omit],
        pub node_pool: Text = "NodePool",
        pub parameterized_job: bool = "ParameterizedJob",
        pub parent_id: Text = "ParentID",
        pub periodic: bool = "Periodic",
        pub priority: i64 = "Priority",
        pub status: JobStatus = "Status",
        pub status_description: String = "StatusDescription",
        pub stop: bool = "Stop",
        pub submit_time: i64 = "SubmitTime",
        pub kind: JobType = "Type",
        pub version: u64 = "Version",
    }

    /// A node in a list.
    pub struct NodeListStub {
        pub address: String = "Address",
        pub attributes: BTreeMap<Text, Text> = "Attributes" [omit],
        pub create_index: u64 = "CreateIndex",
        pub datacenter: Text = "Datacenter",
        pub drain: bool = "Drain",
        pub drivers: BTreeMap<String, DriverInfo> = "Drivers",
        pub host_volumes: BTreeMap<String, HostVolumeInfo> = "HostVolumes",
        pub id: NodeId = "ID",
        pub last_drain: Option<DrainMetadata> = "LastDrain",
        pub modify_index: u64 = "ModifyIndex",
        pub name: Text = "Name",
        pub node_class: Text = "NodeClass",
        pub node_pool: Text = "NodePool",
        pub node_resources: Option<NodeResources> = "NodeResources" [omit],
        pub reserved_resources: Option<NodeReservedResources> = "ReservedResources" [omit],
        pub scheduling_eligibility: Eligibility = "SchedulingEligibility",
        pub status: NodeStatus = "Status",
        pub status_description: String = "StatusDescription",
        pub version: String = "Version",
    }
}
