//! Reconciliation: what has to happen to the allocations of a group so that they become what its job wants.
//!
//! A pure function of a group's allocations, job, nodes and deployment. It answers lists and counts; finding nodes for
//! what is to be placed is the generic scheduler's matter. Systems have their own (`system`).

use std::sync::Arc;

use nomadd_model::{
    Allocation, AllocationId, ClientStatus, Deployment, DeploymentState, DesiredUpdates, EvaluationId, Job, Node,
    NodeId, Time,
};

pub mod classify;
pub mod deployment;
pub mod group;
pub mod names;
pub mod reconnect;
pub mod reschedule;

/// The texts that stopped allocations carry; scripts read them.
pub mod reason {
    /// Count went down, the group or the job is gone.
    pub const NOT_NEEDED: &str = "alloc not needed due to job update";
    /// A reconnected or replacement allocation lost.
    pub const RECONNECTED: &str = "alloc not needed due to disconnected client reconnect";
    /// The node is drained.
    pub const MIGRATING: &str = "alloc is being migrated";
    /// A destructive update.
    pub const UPDATING: &str = "alloc is being updated due to job update";
    /// The node is down.
    pub const LOST: &str = "alloc is lost since its node is down";
    /// The node is disconnected.
    pub const UNKNOWN: &str = "alloc is unknown since its node is disconnected";
    /// A system allocation on a node that takes none any more.
    pub const TAINTED: &str = "alloc not needed as node is tainted";
    /// A failed allocation that has a replacement.
    pub const RESCHEDULED: &str = "alloc was rescheduled because it failed";
}

/// What the reconciler looks at.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The job as it shall be; `None` when it was purged.
    pub job: Option<&'a Job>,
    /// Allocations that complete count as done.
    pub batch: bool,
    /// The clock.
    pub now: Time,
    /// The evaluation that is processed.
    pub evaluation: EvaluationId,
    /// The deployment of this version, if there is one.
    pub deployment: Option<&'a Deployment>,
    /// The newest deployment of the job, over or not.
    pub latest: Option<&'a Deployment>,
    /// Nodes by id.
    pub node: &'a dyn Fn(NodeId) -> Option<Arc<Node>>,
    /// The job as an allocation was made from it.
    pub job_of: &'a dyn Fn(&Allocation) -> Option<Arc<Job>>,
}

impl Situation<'_> {
    /// Whether the job is gone or shall stop.
    pub fn is_stopped(&self) -> bool {
        self.job.is_none_or(|job| job.stop)
    }
    /// Whether this version had a deployment of a group before; it gets no second one.
    pub fn was_deployed(&self, group: &str) -> bool {
        let of_version = |found: &&Deployment| {
            self.job.is_some_and(|job| found.job_version == job.version && found.job_create_index == job.create_index)
        };
        self.latest.filter(of_version).is_some_and(|found| found.task_groups.contains_key(group))
    }
    /// Whether an allocation is of the version that is wanted.
    pub fn is_current(&self, allocation: &Allocation) -> bool {
        self.job
            .is_some_and(|job| allocation.job_version == job.version && allocation.job_create_index == job.create_index)
    }
}

/// What a new version means for an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Nothing.
    Ignore,
    /// It goes on under the new version.
    InPlace,
    /// It has to be replaced.
    Destructive,
}

/// An allocation to place.
#[derive(Debug, Clone)]
pub struct Place {
    /// The number in its name.
    pub index: u64,
    /// What it replaces.
    pub previous: Option<Arc<Allocation>>,
    /// What it replaces failed: its node is penalised and the try is noted.
    pub reschedule: bool,
    /// What it replaces is stopped only when this finds a place.
    pub stops_previous: Option<&'static str>,
    /// It tries a new version out.
    pub canary: bool,
}

/// A change of an allocation that exists.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which.
    pub allocation: Arc<Allocation>,
    /// Whether it shall stop; otherwise the desired status stays.
    pub stop: bool,
    /// Why.
    pub description: &'static str,
    /// What servers say in the client's place.
    pub client_status: Option<ClientStatus>,
    /// The evaluation that looks at it again.
    pub followup: EvaluationId,
}

/// An evaluation for later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// Its id.
    pub id: EvaluationId,
    /// When.
    pub at: Time,
    /// Why.
    pub kind: LaterKind,
}

/// Why an evaluation is made for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaterKind {
    /// A failed allocation is due then.
    Reschedule,
    /// An unknown allocation is lost then.
    Disconnect,
    /// The client has stopped a lost allocation by then.
    ClientStop,
}

/// What has to happen to a group.
#[derive(Debug, Default)]
pub struct GroupResult {
    /// Allocations to replace by ones of the new version, in order.
    pub destructive: Vec<Place>,
    /// Other allocations to place, in order.
    pub place: Vec<Place>,
    /// Allocations that go on under the new version.
    pub in_place: Vec<Arc<Allocation>>,
    /// Stops and notes.
    pub changes: Vec<Change>,
    /// Evaluations for later.
    pub later: Vec<Later>,
    /// The counts that `job plan` shows.
    pub desired: DesiredUpdates,
    /// The group's part of a deployment that has to be made or extended.
    pub deployment: Option<DeploymentState>,
    /// Nothing is left to do for the deployment in this group.
    pub complete: bool,
}

impl GroupResult {
    /// Stops an allocation.
    pub fn stop(
        &mut self,
        allocation: &Arc<Allocation>,
        description: &'static str,
        client_status: Option<ClientStatus>,
    ) {
        self.changes.push(Change {
            allocation: allocation.clone(),
            stop: true,
            description,
            client_status,
            followup: EvaluationId::NONE,
        });
    }
}

/// A set of allocations by id: what `classify` sorts them into.
pub type Set = std::collections::BTreeMap<AllocationId, Arc<Allocation>>;
