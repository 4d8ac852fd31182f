//! Plans: what the scheduler wants to change for one evaluation, and what came of it.
//!
//! This is also what the log keeps: parts that placements share (resources, metrics) stand once per batch, so that an
//! entry carries per allocation only what differs.

use std::sync::Arc;

use crate::allocation::RescheduleTracker;
use crate::deployment::Deployment;
use crate::metric::AllocationMetric;
use crate::noun;
use crate::resources::AllocatedResources;
use crate::value::{AllocationId, DeploymentId, EvaluationId, NodeId, Text};
use crate::word::{ClientStatus, DeploymentStatus, DesiredStatus};

noun! {
    /// What the scheduler wants to change, for one evaluation of one job.
    pub struct Plan {
        pub eval_id: EvaluationId = "EvalID",
        pub priority: i64 = "Priority",
        /// All placements or none.
        pub all_at_once: bool = "AllAtOnce",
        pub namespace: Text = "Namespace",
        pub job_id: Text = "JobID",
        /// The job version that is placed; the plan's placements are dropped when the job has moved on.
        pub job_version: u64 = "JobVersion",
        /// Tells a job from a later one of the same name.
        pub job_create_index: u64 = "JobCreateIndex",
        /// The state that the scheduler saw.
        pub snapshot_index: u64 = "SnapshotIndex",
        pub placements: Vec<PlacementBatch> = "Placements",
        pub in_place: Vec<InPlaceUpdate> = "InPlace",
        pub stops: Vec<AllocationStop> = "Stops",
        pub preemptions: Vec<AllocationPreemption> = "Preemptions",
        /// A deployment to create, or to replace by a newer form of itself.
        pub deployment: Option<Deployment> = "Deployment",
        pub deployment_updates: Vec<DeploymentStatusUpdate> = "DeploymentUpdates",
    }

    /// Placements of one group that share resources and metrics.
    pub struct PlacementBatch {
        pub task_group: Text = "TaskGroup",
        pub resources: Arc<AllocatedResources> = "Resources",
        pub metrics: Option<Arc<AllocationMetric>> = "Metrics",
        pub placements: Vec<Placement> = "Placements",
    }

    /// One new allocation.
    pub struct Placement {
        pub id: AllocationId = "ID",
        pub node_id: NodeId = "NodeID",
        /// The number in the name `job.group[index]`.
        pub index: u64 = "Index",
        /// What it holds, where that differs from the batch (ports, cores, devices).
        pub resources: Option<Arc<AllocatedResources>> = "Resources",
        /// What the scheduler saw, where that differs from the batch.
        pub metrics: Option<Arc<AllocationMetric>> = "Metrics",
        /// The allocation that it replaces.
        pub previous: AllocationId = "Previous",
        pub deployment_id: DeploymentId = "DeploymentID",
        pub canary: bool = "Canary",
        /// It is a reschedule after a failure: the tracker of the new allocation.
        pub reschedule_tracker: Option<Box<RescheduleTracker>> = "RescheduleTracker",
        /// Allocations that make room for it.
        pub preempted: Vec<AllocationId> = "Preempted",
    }

    /// An allocation that goes on under a new version of its job.
    pub struct InPlaceUpdate {
        pub id: AllocationId = "ID",
        pub deployment_id: DeploymentId = "DeploymentID",
        /// What it holds now, where that changed.
        pub resources: Option<Arc<AllocatedResources>> = "Resources",
        pub metrics: Option<Arc<AllocationMetric>> = "Metrics",
    }

    /// An allocation that shall stop, is lost, is unknown, or is noted for a later reschedule.
    pub struct AllocationStop {
        pub id: AllocationId = "ID",
        /// `run` leaves the desired status as it is (unknown allocations, follow-ups).
        pub desired_status: DesiredStatus = "DesiredStatus",
        pub desired_description: Text = "DesiredDescription",
        /// What servers say in the client's place (`lost`, `unknown`, or `running` after a reconnect).
        pub client_status: Option<ClientStatus> = "ClientStatus",
        /// The evaluation that will look at it again.
        pub followup_eval_id: EvaluationId = "FollowupEvalID",
        /// A failed allocation that is replaced: marks it as rescheduled.
        pub rescheduled: bool = "Rescheduled",
    }

    /// An allocation that is evicted for a more important one.
    pub struct AllocationPreemption {
        pub id: AllocationId = "ID",
        pub by: AllocationId = "By",
    }

    /// A new status of a deployment.
    pub struct DeploymentStatusUpdate {
        pub deployment_id: DeploymentId = "DeploymentID",
        pub status: DeploymentStatus = "Status",
        pub description: Text = "StatusDescription",
    }

    /// What came of a plan.
    pub struct PlanResult {
        /// 0 when all of it was committed; else the state to look at before the rest is tried again.
        pub refresh_index: u64 = "RefreshIndex",
        /// The index at which it was committed.
        pub index: u64 = "Index",
        /// How many placements were committed.
        pub placed: u64 = "Placed",
        /// Nodes whose part did not hold.
        pub rejected_nodes: Vec<NodeId> = "RejectedNodes",
        /// Allocations that were not placed.
        pub rejected: Vec<AllocationId> = "Rejected",
    }
}
