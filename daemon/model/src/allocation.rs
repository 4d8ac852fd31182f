//! Allocations: a group of a job placed on a node.
//!
//! The job is referred to by id and version and joined when the API answers (`AllocationView`).

use std::sync::Arc;

use crate::deployment::AllocDeploymentStatus;
use crate::metric::AllocationMetric;
use crate::noun;
use crate::resources::AllocatedResources;
use crate::small_map::SmallMap;
use crate::spec::DNSConfig;
use crate::task_state::TaskState;
use crate::value::{AllocationId, DeploymentId, Duration, EvaluationId, NodeId, Text, Time};
use crate::word::{ClientStatus, DesiredStatus};

noun! {
    /// A task group of a job, placed on a node.
    pub struct Allocation {
        pub alloc_modify_index: u64 = "AllocModifyIndex",
        pub alloc_states: Vec<AllocState> = "AllocStates" [omit],
        pub allocated_resources: Arc<AllocatedResources> = "AllocatedResources",
        pub client_description: Text = "ClientDescription",
        pub client_status: ClientStatus = "ClientStatus",
        pub create_index: u64 = "CreateIndex",
        pub create_time: i64 = "CreateTime",
        pub deployment_id: DeploymentId = "DeploymentID",
        pub deployment_status: Option<AllocDeploymentStatus> = "DeploymentStatus",
        pub desired_description: Text = "DesiredDescription" [omit],
        pub desired_status: DesiredStatus = "DesiredStatus",
        pub desired_transition: DesiredTransition = "DesiredTransition",
        pub eval_id: EvaluationId = "EvalID",
        pub followup_eval_id: EvaluationId = "FollowupEvalID" [omit],
        pub id: AllocationId = "ID",
        pub job_create_index: u64 = "JobCreateIndex",
        pub job_id: Text = "JobID",
        pub job_version: u64 = "JobVersion",
        pub metrics: Option<Arc<AllocationMetric>> = "Metrics",
        pub modify_index: u64 = "ModifyIndex",
        pub modify_time: i64 = "ModifyTime",
        pub name: Text = "Name",
        pub namespace: Text = "Namespace",
        pub network_status: Option<Box<AllocNetworkStatus>> = "NetworkStatus",
        pub next_allocation: AllocationId = "NextAllocation" [omit],
        pub node_id: NodeId = "NodeID",
        pub node_name: Text = "NodeName",
        pub preempted_allocations: Vec<AllocationId> = "PreemptedAllocations" [omit],
        pub preempted_by_allocation: AllocationId = "PreemptedByAllocation" [omit],
        pub previous_allocation: AllocationId = "PreviousAllocation" [omit],
        pub reschedule_tracker: Option<Box<RescheduleTracker>> = "RescheduleTracker" [omit],
        pub task_group: Text = "TaskGroup",
        pub task_states: SmallMap<Text, TaskState> = "TaskStates",
    }

    /// The network that an allocation got.
    pub struct AllocNetworkStatus {
        pub address: String = "Address",
        pub address_i_pv6: String = "AddressIPv6",
        pub dns: Option<DNSConfig> = "DNS",
        pub interface_name: String = "InterfaceName",
    }

    /// Where an allocation ran and failed before.
    pub struct RescheduleTracker {
        pub events: Vec<RescheduleEvent> = "Events",
        pub last_reschedule: String = "LastReschedule",
    }

    /// One earlier try.
    pub struct RescheduleEvent {
        pub delay: Duration = "Delay",
        pub prev_alloc_id: AllocationId = "PrevAllocID",
        pub prev_node_id: NodeId = "PrevNodeID",
        pub reschedule_time: i64 = "RescheduleTime",
    }

    /// What servers want to happen to an allocation next.
    pub struct DesiredTransition {
        pub force_reschedule: Option<bool> = "ForceReschedule",
        pub migrate: Option<bool> = "Migrate",
        pub migrate_disable_placement: Option<bool> = "MigrateDisablePlacement",
        pub no_shutdown_delay: Option<bool> = "NoShutdownDelay",
        pub reschedule: Option<bool> = "Reschedule",
    }

    /// A change of the client status that later decisions need to know (disconnects).
    pub struct AllocState {
        pub field: String = "Field",
        pub time: Time = "Time",
        pub value: String = "Value",
    }
}
