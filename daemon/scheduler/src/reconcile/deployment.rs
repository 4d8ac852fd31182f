//! The deployment of a service job: which one counts, when a new one is made, when a group's part is done (facts 3.6).

use nomadd_model::{
    Deployment, DeploymentId, DeploymentState, DeploymentStatus, DeploymentStatusUpdate, Job, TaskGroup, UpdateStrategy,
};

use crate::reconcile::Situation;

/// The descriptions that deployments carry.
pub mod text {
    /// It goes on.
    pub const RUNNING: &str = "Deployment is running";
    /// All groups are healthy.
    pub const SUCCESSFUL: &str = "Deployment completed successfully";
    /// The job was stopped.
    pub const STOPPED: &str = "Cancelled because job is stopped";
    /// A newer version took over.
    pub const NEWER: &str = "Cancelled due to newer version of job";
}

/// The update block of a group, when it asks for a deployment.
pub fn strategy(group: &TaskGroup) -> Option<&UpdateStrategy> {
    group.update.as_ref().filter(|update| update.max_parallel > 0)
}

/// The deployment that counts for a job's version, and the one that has to be cancelled.
pub fn current<'a>(
    job: Option<&Job>,
    latest: Option<&'a Deployment>,
) -> (Option<&'a Deployment>, Option<DeploymentStatusUpdate>) {
    let Some(deployment) = latest else { return (None, None) };
    let cancel = |description: &str| {
        deployment.status.is_active().then(|| DeploymentStatusUpdate {
            deployment_id: deployment.id,
            status: DeploymentStatus::Cancelled,
            description: description.into(),
        })
    };
    let Some(job) = job.filter(|job| !job.stop) else { return (None, cancel(text::STOPPED)) };
    if deployment.job_create_index != job.create_index || deployment.job_version != job.version {
        return (None, cancel(text::NEWER));
    }
    // What is done does not hold anything back any more.
    if deployment.status == DeploymentStatus::Successful { (None, None) } else { (Some(deployment), None) }
}

/// The end of a deployment that went well.
pub fn success(id: DeploymentId) -> DeploymentStatusUpdate {
    DeploymentStatusUpdate {
        deployment_id: id,
        status: DeploymentStatus::Successful,
        description: text::SUCCESSFUL.into(),
    }
}

/// A group's part of a new deployment.
pub fn state_for(update: &UpdateStrategy, desired_total: i64) -> DeploymentState {
    DeploymentState {
        auto_promote: update.auto_promote,
        auto_revert: update.auto_revert,
        desired_canaries: update.canary.max(0),
        desired_total,
        progress_deadline: update.progress_deadline,
        ..DeploymentState::default()
    }
}

/// Whether a deployment lets nothing new happen.
pub fn holds_back(situation: &Situation<'_>) -> bool {
    situation
        .deployment
        .is_some_and(|deployment| matches!(deployment.status, DeploymentStatus::Paused | DeploymentStatus::Failed))
}

/// Whether a group waits for its canaries to be promoted.
pub fn is_canarying(situation: &Situation<'_>, group: &str) -> bool {
    let state = situation.deployment.and_then(|deployment| deployment.task_groups.get(group));
    state.is_some_and(|state| state.desired_canaries > 0 && !state.promoted)
}

/// Whether a group's part is healthy to the last allocation.
pub fn is_healthy(deployment: &Deployment, group: &str) -> bool {
    deployment.task_groups.get(group).is_none_or(|state| {
        state.healthy_allocs >= state.desired_total.max(state.desired_canaries)
            && (state.desired_canaries == 0 || state.promoted)
    })
}
