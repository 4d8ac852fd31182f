//! The health of an allocation in its deployment: all tasks ran for long enough, or one failed, or time is over.
//!
//! Pure. `health_check = "checks"` is judged like `task_states` here, because checks are not run yet (the job's warnings
//! say so); `manual` is judged by nobody.

use nomadd_model::{Duration, TaskStatus, Time, UpdateStrategy};

use crate::allocation::task::{Role, TaskMachine};

/// By what an allocation is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRules {
    /// How long all tasks must have run.
    pub min_healthy: Duration,
    /// When patience ends.
    pub deadline: Time,
    /// The span that `deadline` was made of, for the words.
    pub patience: Duration,
}

impl HealthRules {
    /// The rules of an update block for an allocation that began at `begun`; `None` when a person judges.
    pub fn of(update: &UpdateStrategy, begun: Time) -> Option<Self> {
        (update.health_check != "manual").then(|| Self {
            min_healthy: update.min_healthy_time,
            deadline: begun.plus(update.healthy_deadline),
            patience: update.healthy_deadline,
        })
    }
}

/// What is to be said of an allocation's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every task ran for long enough.
    Healthy,
    /// A task failed or ended, or it took too long.
    Unhealthy,
    /// Not decided; look again then.
    Undecided {
        /// When the answer may change without anything happening.
        again: Time,
    },
}

/// Judges the tasks of an allocation.
pub fn judge<'a>(rules: &HealthRules, tasks: impl Iterator<Item = &'a TaskMachine>, now: Time) -> Health {
    let mut since = Some(Time(0));
    for task in tasks {
        let state = task.state();
        match (task.rules().role, state.state) {
            (Role::Poststop, _) => {}
            _ if state.failed => return Health::Unhealthy,
            (Role::Prestart | Role::Poststart, TaskStatus::Dead) => {}
            (_, TaskStatus::Dead) => return Health::Unhealthy,
            (_, TaskStatus::Running) => since = since.map(|since| since.max(state.started_at)),
            (_, TaskStatus::Pending) => since = None,
        }
    }
    let ripe = since.map(|since| since.plus(rules.min_healthy));
    match ripe {
        Some(ripe) if ripe <= now => Health::Healthy,
        _ if now >= rules.deadline => Health::Unhealthy,
        Some(ripe) => Health::Undecided { again: ripe.min(rules.deadline) },
        None => Health::Undecided { again: rules.deadline },
    }
}

/// Why a task makes its allocation unhealthy, in Nomad's words; `None` when it does not.
pub fn complaint(rules: &HealthRules, task: &TaskMachine) -> Option<String> {
    let (state, patience) = (task.state(), rules.patience);
    match (task.rules().role, state.state) {
        (Role::Poststop, _) => None,
        _ if state.failed => Some("Unhealthy because of failed task".to_owned()),
        (_, TaskStatus::Pending) => Some(format!("Task not running by healthy_deadline of {patience}")),
        (Role::Prestart | Role::Poststart, TaskStatus::Dead) => None,
        (_, TaskStatus::Dead) => Some("Unhealthy because of dead task".to_owned()),
        (_, TaskStatus::Running) if state.started_at.plus(rules.min_healthy) > rules.deadline => {
            let least = rules.min_healthy;
            Some(format!("Task not running for min_healthy_time of {least} by healthy_deadline of {patience}"))
        }
        (_, TaskStatus::Running) => None,
    }
}
