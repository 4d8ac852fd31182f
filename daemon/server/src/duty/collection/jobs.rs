//! Dead jobs, with their evaluations and allocations.

use nomadd_model::{Job, JobStatus};
use nomadd_state::{Command, JobDelete, JobDeletion, JobKey, State};

use super::evaluations::{Found, allocation_is_over, is_over};
use super::{CHUNK, Cutoffs};

pub(super) fn find(state: &State, cutoffs: &Cutoffs) -> Vec<Command> {
    let (mut found, mut jobs) = (Found::default(), Vec::new());
    for job in state.jobs().filter(|job| may_go(job, cutoffs)) {
        let before = (found.evaluations.len(), found.allocations.len());
        if !collect(state, job, cutoffs, &mut found) {
            found.evaluations.truncate(before.0);
            found.allocations.truncate(before.1);
            continue;
        }
        jobs.push(JobDeletion { key: JobKey::new(&job.namespace, &job.id), modify_index: job.modify_index });
    }
    let mut commands = found.commands();
    // Chunk by chunk, or a cluster that forgets ten thousand jobs writes one enormous entry.
    commands.extend(jobs.chunks(CHUNK).map(|chunk| Command::JobDelete(JobDelete { jobs: chunk.to_vec() })));
    commands
}

fn may_go(job: &Job, cutoffs: &Cutoffs) -> bool {
    let parent = job.periodic.is_some() || (job.parameterized_job.is_some() && !job.dispatched);
    job.status == JobStatus::Dead && (!parent || job.stop) && job.submit_time <= cutoffs.jobs.0
}

/// Everything of a job; false when something of it is not over.
fn collect(state: &State, job: &Job, cutoffs: &Cutoffs, found: &mut Found) -> bool {
    for evaluation in state.evaluations_by_job(&job.namespace, &job.id) {
        if !is_over(evaluation, cutoffs.jobs) {
            return false;
        }
        found.evaluations.push(evaluation.id);
    }
    for allocation in state.allocations_by_job(&job.namespace, &job.id) {
        if !allocation_is_over(state, allocation, Some(job), cutoffs.jobs, cutoffs.now) {
            return false;
        }
        found.allocations.push(allocation.id);
    }
    true
}
