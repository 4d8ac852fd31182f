//! Evaluations that are over, with their allocations; and allocations that are over for good.

use nomadd_model::{
    Allocation, AllocationId, ClientStatus, DesiredStatus, Evaluation, EvaluationId, Job, JobStatus, JobType, Time,
};
use nomadd_state::{Command, EvaluationDelete, State};

use super::{CHUNK, Cutoffs};
use crate::reschedule;

pub(super) fn find(state: &State, cutoffs: &Cutoffs) -> Vec<Command> {
    let mut found = Found::default();
    for evaluation in state.evaluations() {
        let batch = evaluation.kind == *JobType::Batch.as_str();
        let cutoff = if batch { cutoffs.batch_evaluations } else { cutoffs.evaluations };
        let job = state.job(&evaluation.namespace, &evaluation.job_id).map(AsRef::as_ref);
        let over = is_over(evaluation, cutoff);
        if !over {
            continue;
        }
        // What a batch job has done is what it is: it must not be forgotten, or the job would run again.
        let live_batch = batch && job.is_some_and(|job| !job.stop && job.status != JobStatus::Dead);
        let mut all = true;
        for allocation in state.allocations_by_evaluation(evaluation.id) {
            let of_older_job = job.is_some_and(|job| allocation.job_create_index < job.create_index);
            if allocation_is_over(state, allocation, job, cutoff, cutoffs.now) && (!live_batch || of_older_job) {
                found.allocations.push(allocation.id);
            } else {
                all = false;
            }
        }
        if all && !live_batch {
            found.evaluations.push(evaluation.id);
        }
    }
    found.commands()
}

/// What is to be removed.
#[derive(Default)]
pub(super) struct Found {
    pub(super) evaluations: Vec<EvaluationId>,
    pub(super) allocations: Vec<AllocationId>,
}

impl Found {
    /// Allocations first: an evaluation outlives what it made.
    pub(super) fn commands(self) -> Vec<Command> {
        let allocations = self
            .allocations
            .chunks(CHUNK)
            .map(|chunk| EvaluationDelete { allocations: chunk.to_vec(), ..EvaluationDelete::default() });
        let evaluations = self
            .evaluations
            .chunks(CHUNK)
            .map(|chunk| EvaluationDelete { evaluations: chunk.to_vec(), ..EvaluationDelete::default() });
        allocations.chain(evaluations).map(Command::EvaluationDelete).collect()
    }
}

pub(super) fn is_over(evaluation: &Evaluation, cutoff: Time) -> bool {
    evaluation.status.is_terminal() && evaluation.modify_time <= cutoff.0
}

/// Whether nobody needs an allocation any more, not even to decide about its replacement.
pub(super) fn allocation_is_over(
    state: &State,
    allocation: &Allocation,
    job: Option<&Job>,
    cutoff: Time,
    now: Time,
) -> bool {
    if !allocation.client_status.is_terminal() || allocation.modify_time > cutoff.0 {
        return false;
    }
    let job_is_over = job.is_none_or(|job| job.stop || job.status == JobStatus::Dead);
    if job_is_over
        || allocation.desired_status == DesiredStatus::Stop
        || allocation.client_status != ClientStatus::Failed
        || allocation.next_allocation.is_some()
    {
        return true;
    }
    match reschedule::group_of(state, allocation).and_then(|group| group.reschedule_policy.as_ref()) {
        None => true,
        Some(policy) if policy.unlimited => false,
        Some(policy) if policy.attempts == 0 => true,
        Some(policy) => {
            allocation.reschedule_tracker.as_ref().is_some_and(|tracker| !tracker.events.is_empty())
                && !reschedule::recently_rescheduled(policy, allocation, now)
        }
    }
}
