//! The scheduler: where allocations go, and what changes when a job or a node changes.
//!
//! Pure: `process` is a function of a state, an evaluation, a time and a seed. Workers of the server call it on the
//! compute pool; the plan applier and `apply` check its plans again. It never writes state.

use nomadd_model::{Evaluation, EvaluationStatus, Plan, PlanAnnotations, Text, Time, Trigger};
use nomadd_state::State;

pub mod ask;
pub mod constraint;
pub mod device;
mod evaluation;
pub mod feasible;
mod fits;
pub mod fleet;
mod generic;
pub mod ids;
pub mod network;
pub mod offer;
pub mod placer;
mod preempt;
pub mod rank;
pub mod reconcile;
mod system;
pub mod target;
pub mod why;

use evaluation::Report;
pub use evaluation::{is_empty, out_of_attempts, text};
use fleet::Fleet;
pub use why::{Explanation, why};

/// What an evaluation needs besides the state.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context {
    /// The clock.
    pub now: Time,
    /// Randomness for ids, ports and ties.
    pub seed: u64,
}

/// What came of an evaluation.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What is to change; `None` when nothing is.
    pub plan: Option<Plan>,
    /// The evaluation with its new status and counts. It holds if the plan is committed whole.
    pub evaluation: Evaluation,
    /// Evaluations to write with it: a blocked one, later ones.
    pub created: Vec<Evaluation>,
    /// What would happen, group by group.
    pub annotations: Option<PlanAnnotations>,
}

/// How often a worker tries an evaluation again whose plans are refused, without any progress.
pub const fn attempts(kind: nomadd_model::JobType) -> u32 {
    match kind {
        nomadd_model::JobType::Service | nomadd_model::JobType::System => 5,
        nomadd_model::JobType::Batch | nomadd_model::JobType::SystemBatch => 2,
    }
}

/// Whether a job has nothing to be placed and nothing that was: its evaluation takes microseconds and looks at no node, so who
/// asks need not send it to another thread. Jobs that were scaled to nothing, stopped or purged are like that.
pub fn is_idle(state: &State, namespace: &str, job_id: &str) -> bool {
    let wants = |job: &nomadd_model::Job| {
        job.kind.is_system() || (!job.stop && job.task_groups.iter().any(|group| group.count != 0))
    };
    !state.job(namespace, job_id).is_some_and(|job| wants(job))
        && state.allocations_by_job(namespace, job_id).next().is_none()
}

/// Looks at the job of an evaluation once.
pub fn process(state: &State, evaluation: &Evaluation, context: &Context) -> Outcome {
    Scheduler::default().process(state, evaluation, context)
}

/// A scheduler that remembers the fleet between evaluations; each worker has one. Answers are those of `process`.
#[derive(Debug, Default)]
pub struct Scheduler {
    fleet: Fleet,
}

impl Scheduler {
    /// Looks at the job of an evaluation.
    pub fn process(&mut self, state: &State, evaluation: &Evaluation, context: &Context) -> Outcome {
        if evaluation.triggered_by == Trigger::Scheduled {
            let mut evaluation = evaluation.clone();
            evaluation.status = EvaluationStatus::Failed;
            evaluation.status_description =
                Text::from(format!("scheduler cannot handle '{}' evaluation reason", evaluation.triggered_by));
            return Outcome { plan: None, evaluation, created: Vec::new(), annotations: None };
        }
        let job = state.job(&evaluation.namespace, &evaluation.job_id);
        let plan = Plan {
            eval_id: evaluation.id,
            priority: evaluation.priority,
            all_at_once: job.is_some_and(|job| job.all_at_once),
            namespace: evaluation.namespace.clone(),
            job_id: evaluation.job_id.clone(),
            job_version: job.map(|job| job.version).unwrap_or_default(),
            job_create_index: job.map(|job| job.create_index).unwrap_or_default(),
            snapshot_index: state.index(),
            ..Plan::default()
        };
        let mut report = Report::new(evaluation, plan);
        let is_system = match job {
            Some(job) => job.kind.is_system(),
            None => matches!(&*evaluation.kind, "system" | "sysbatch"),
        };
        match is_system {
            true => system::process(state, &mut self.fleet, &mut report, context),
            false => generic::process(state, &mut self.fleet, &mut report, context),
        }
    }
}
