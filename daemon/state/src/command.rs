//! Everything that can be written to the log: one variant per wish, one file per family.
//!
//! The encoding is MessagePack with names. Variants are append-only and their names never change; a field that is added
//! is zero when an older release wrote it. A variant that this release does not know is an error, never skipped.

mod allocations;
mod decode;
mod deployments;
mod evaluations;
mod jobs;
mod nodes;
mod set;
mod settings;

use serde::{Deserialize, Serialize};

pub use allocations::*;
pub use decode::DecodeError;
pub use deployments::*;
pub use evaluations::*;
pub use jobs::*;
pub use nodes::*;
pub use set::*;
pub use settings::*;

/// A change of the replicated state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Changes nothing.
    Noop,
    /// Several changes at one index, in order. A refused one does not stop those after it.
    Batch(Vec<Self>),
    /// Registers a job.
    JobRegister(JobRegister),
    /// Stops a job, or removes it.
    JobDeregister(JobDeregister),
    /// Removes dead jobs (garbage collection).
    JobDelete(JobDelete),
    /// Marks a version as stable or not.
    JobStability(JobStability),
    /// Names a version, or takes its name away.
    JobVersionTag(JobVersionTagSet),
    /// Changes the count of a group, or notes an event of a scaler.
    JobScale(JobScale),
    /// Counts the summaries anew.
    JobSummariesReconcile,
    /// Registers a node, or what changed on it.
    NodeRegister(NodeRegister),
    /// Removes nodes.
    NodeDeregister(NodeDeregister),
    /// Sets the status of a node.
    NodeStatus(NodeStatusSet),
    /// Sets whether a node takes allocations.
    NodeEligibility(NodeEligibilitySet),
    /// Starts, changes or ends the drain of a node.
    NodeDrain(NodeDrainSet),
    /// Notes what happened on nodes.
    NodeEvents(NodeEvents),
    /// Writes evaluations.
    EvaluationUpsert(EvaluationUpsert),
    /// Removes evaluations and allocations (garbage collection).
    EvaluationDelete(EvaluationDelete),
    /// What clients say of their allocations.
    AllocationClientUpdate(AllocationClientUpdates),
    /// What servers want to happen to allocations.
    AllocationDesiredTransition(AllocationDesiredTransitions),
    /// What schedulers want, each plan checked once more.
    PlanResults(PlanResults),
    /// A new status of a deployment.
    DeploymentStatus(DeploymentStatusSet),
    /// Promotes the canaries of a deployment.
    DeploymentPromote(DeploymentPromote),
    /// Sets the health of allocations by hand, or by a watcher.
    DeploymentAllocHealth(DeploymentAllocHealth),
    /// Removes deployments (garbage collection).
    DeploymentDelete(DeploymentDelete),
    /// Sets the scheduler configuration.
    SchedulerConfigurationSet(SchedulerConfigurationSet),
    /// Writes namespaces.
    NamespaceUpsert(NamespaceUpsert),
    /// Removes namespaces.
    NamespaceDelete(NamespaceDelete),
    /// Writes node pools.
    NodePoolUpsert(NodePoolUpsert),
    /// Removes node pools.
    NodePoolDelete(NodePoolDelete),
    /// Writes a root key.
    RootKeyUpsert(RootKeyUpsert),
    /// Removes a root key.
    RootKeyDelete(RootKeyDelete),
    /// Sets autopilot's configuration.
    AutopilotConfigurationSet(AutopilotConfigurationSet),
    /// Gives the cluster its name, once.
    ClusterId(ClusterIdSet),
    /// Lets the cluster use a newer set of commands.
    CommandSetRaise(CommandSetRaise),
    /// Keeps a note (tests of upgrades).
    Rehearsal(Rehearsal),
}
