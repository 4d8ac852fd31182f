//! Watches deployments: newly healthy allocations let the next ones follow, unhealthy ones are replaced or end it, and so does
//! a deadline without progress.
//!
//! `decide` is a pure function of the state and of what was already acted on; the loop around it writes the decisions. A
//! deployment succeeds in the scheduler's plan, once there is nothing left to do.

use std::collections::{BTreeMap, BTreeSet};

use nomadd_model::{
    AllocationId, ClientStatus, Deployment, DeploymentId, DeploymentStatus, DeploymentStatusUpdate, DesiredTransition,
    Duration, Evaluation, Time, Trigger,
};
use nomadd_state::{
    AllocationDesiredTransitions, AllocationTransition, Command, DeploymentStatusSet, EventKind, State, Subject,
};
use tokio::sync::broadcast;

use crate::evaluation;
use crate::reschedule;
use crate::server::Server;

/// What has to happen to a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It has failed, with this description.
    Fail(&'static str),
    /// These failed allocations may be placed again within it.
    Replace(Vec<AllocationId>),
    /// The scheduler has to look at the job again.
    Evaluate,
}

/// The last change of an allocation's health that led to an evaluation.
type Seen = u64;

/// What has to happen to a deployment now, the health that is taken into account by that, and when to look again.
fn decide(state: &State, deployment: &Deployment, seen: Seen, now: Time) -> (Vec<Decision>, Seen, Option<Time>) {
    if !deployment.status.is_active() || deployment.status == DeploymentStatus::Paused {
        return (Vec::new(), seen, None);
    }
    let (mut newest, mut healthy_since, mut replace) = (seen, false, Vec::new());
    for allocation in state.allocations_by_deployment(deployment.id) {
        let Some(status) = &allocation.deployment_status else { continue };
        let Some(healthy) = status.healthy else { continue };
        if status.modify_index > seen {
            newest = newest.max(status.modify_index);
            healthy_since |= healthy;
        }
        if healthy || allocation.desired_status.is_terminal() || allocation.next_allocation.is_some() {
            continue;
        }
        let group = deployment.task_groups.get(&allocation.task_group);
        let by_deadline = group.is_some_and(|group| group.progress_deadline.0 > 0);
        let failed = allocation.client_status == ClientStatus::Failed;
        let again = reschedule::eligible(state, allocation, reschedule::failed_at(allocation));
        if !by_deadline || (failed && !again) {
            return (vec![Decision::Fail("Failed due to unhealthy allocations")], newest, None);
        }
        if again && allocation.desired_transition.reschedule != Some(true) {
            replace.push(allocation.id);
        }
    }
    let mut next: Option<Time> = None;
    for group in deployment.task_groups.values() {
        let done = group.healthy_allocs >= group.desired_total.max(group.desired_canaries);
        if done || group.require_progress_by.0 == 0 {
            continue;
        }
        if group.require_progress_by <= now {
            return (vec![Decision::Fail("Failed due to progress deadline")], newest, None);
        }
        next = Some(next.map_or(group.require_progress_by, |next| next.min(group.require_progress_by)));
    }
    let mut decisions = Vec::new();
    if !replace.is_empty() {
        decisions.push(Decision::Replace(replace));
    } else if healthy_since {
        decisions.push(Decision::Evaluate);
    }
    (decisions, newest, next)
}

/// What the loop remembers.
#[derive(Debug, Default)]
struct Watched {
    seen: BTreeMap<DeploymentId, Seen>,
    due: BTreeMap<DeploymentId, Time>,
    order: BTreeSet<(Time, DeploymentId)>,
}

impl Watched {
    fn set_due(&mut self, id: DeploymentId, due: Option<Time>) {
        if let Some(old) = self.due.remove(&id) {
            self.order.remove(&(old, id));
        }
        if let Some(due) = due {
            self.due.insert(id, due);
            self.order.insert((due, id));
        }
    }
    fn pop_due(&mut self, now: Time) -> Option<DeploymentId> {
        let &(due, id) = self.order.first()?;
        if due > now {
            return None;
        }
        self.set_due(id, None);
        Some(id)
    }
}

/// Watches all active deployments, for ever.
pub(super) async fn watch(server: Server) {
    loop {
        let mut events = server.raft().events();
        let mut replaced = server.replaced();
        let mut watched = Watched::default();
        let state = server.state();
        let mut dirty: BTreeSet<DeploymentId> =
            state.deployments().filter(|deployment| deployment.status.is_active()).map(|found| found.id).collect();
        loop {
            for id in std::mem::take(&mut dirty) {
                examine(&server, &mut watched, id).await;
            }
            let now = server.runtime().clock.now();
            let wait = watched.order.first().map_or(Duration::from_secs(3600), |(due, _)| due.since(now));
            tokio::select! {
                batch = events.recv() => match batch {
                    Ok(batch) => {
                        note(&server.state(), &batch.events, &mut dirty);
                        while let Ok(batch) = events.try_recv() {
                            note(&server.state(), &batch.events, &mut dirty);
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = replaced.changed() => break,
                () = tokio::time::sleep(wait.to_std().max(std::time::Duration::from_millis(1))) => {}
            }
            let now = server.runtime().clock.now();
            while let Some(id) = watched.pop_due(now) {
                dirty.insert(id);
            }
        }
    }
}

/// Which deployments may have something to decide after these events.
fn note(state: &State, events: &[nomadd_state::Event], dirty: &mut BTreeSet<DeploymentId>) {
    for event in events {
        match &event.subject {
            Subject::Deployment(id) => {
                dirty.insert(*id);
            }
            Subject::Allocation(id) if event.kind == EventKind::AllocationUpdated => {
                if let Some(allocation) = state.allocation(*id)
                    && allocation.deployment_id.is_some()
                    && allocation.deployment_status.is_some()
                {
                    dirty.insert(allocation.deployment_id);
                }
            }
            _ => {}
        }
    }
}

async fn examine(server: &Server, watched: &mut Watched, id: DeploymentId) {
    let state = server.state();
    watched.set_due(id, None);
    let Some(deployment) = state.deployment(id).filter(|deployment| deployment.status.is_active()) else {
        watched.seen.remove(&id);
        return;
    };
    let seen = watched.seen.get(&id).copied().unwrap_or_default();
    let now = server.runtime().clock.now();
    let (decisions, newest, next) = decide(&state, deployment, seen, now);
    watched.set_due(id, next);
    for decision in decisions {
        if let Err(error) = act(server, &state, deployment, decision).await {
            tracing::warn!(deployment = %id, %error, "a decision about a deployment was not written; it will be tried again");
            watched.set_due(id, Some(now.plus(Duration::from_secs(1))));
            return;
        }
    }
    watched.seen.insert(id, newest);
}

async fn act(server: &Server, state: &State, deployment: &Deployment, decision: Decision) -> crate::error::Answer<()> {
    let evaluation = evaluation_of(server, state, deployment);
    let command = match decision {
        Decision::Fail(description) => Command::DeploymentStatus(DeploymentStatusSet {
            update: DeploymentStatusUpdate {
                deployment_id: deployment.id,
                status: DeploymentStatus::Failed,
                description: description.into(),
            },
            evaluation,
            revert: None,
        }),
        Decision::Replace(ids) => {
            let transition = DesiredTransition { reschedule: Some(true), ..DesiredTransition::default() };
            let transitions =
                ids.into_iter().map(|id| AllocationTransition { id, transition: transition.clone() }).collect();
            Command::AllocationDesiredTransition(AllocationDesiredTransitions {
                transitions,
                evaluations: evaluation.into_iter().collect(),
            })
        }
        Decision::Evaluate => match evaluation {
            Some(evaluation) => {
                server.evaluations().write(vec![evaluation]).await?;
                return Ok(());
            }
            None => return Ok(()),
        },
    };
    server.commit(command).await.map(|_| ())
}

/// An evaluation of the job of a deployment.
pub(crate) fn evaluation_of(server: &Server, state: &State, deployment: &Deployment) -> Option<Evaluation> {
    let job = state.job(&deployment.namespace, &deployment.job_id)?;
    let made = evaluation::of_job(job, Trigger::DeploymentWatcher, evaluation::id(&server.runtime().seeds));
    let priority = if deployment.eval_priority > 0 { deployment.eval_priority } else { made.priority };
    Some(Evaluation { deployment_id: deployment.id, priority, ..made })
}

#[cfg(test)]
mod tests;
