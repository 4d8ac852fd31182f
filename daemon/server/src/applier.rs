//! The plan applier: plans of all workers go into the log in batches, several on their way at a time.
//!
//! `apply` checks every plan once more against the state at its place in the log and keeps what holds, so nothing is promised
//! twice, whoever leads. Before a plan is written, what is already known not to hold is dropped here, so that it does not
//! cost a place in the log. Preempted jobs get their evaluations in the same entry.

use std::collections::BTreeSet;

use nomadd_model::{Evaluation, EvaluationId, Plan, PlanResult, Trigger};
use nomadd_raft::Raft;
use nomadd_runtime::Seeds;
use nomadd_state::{Command, JobKey, PlanResults, Response, State};

use crate::batch::Batched;
use crate::evaluation;

/// A plan and the evaluations that it refers to (later looks at failed allocations).
pub(crate) struct Submission {
    pub(crate) plan: Plan,
    pub(crate) evaluations: Vec<Evaluation>,
}

/// Writes plans.
pub(crate) struct Plans {
    pub(crate) raft: Raft,
    pub(crate) seeds: Seeds,
}

impl Batched for Plans {
    type Item = Submission;
    type Answer = PlanResult;
    type Memo = usize;
    const IN_FLIGHT: usize = 4;
    const WEIGHT: usize = 4096;

    fn weigh(item: &Submission) -> usize {
        let placements: usize = item.plan.placements.iter().map(|batch| batch.placements.len()).sum();
        1 + placements + item.plan.stops.len() + item.plan.in_place.len()
    }

    /// A plan for a version of the job that is no longer the newest would be dropped by apply as a whole.
    fn refuse(&mut self, item: &Submission) -> Option<PlanResult> {
        let (plan, state) = (&item.plan, self.raft.state());
        let job = state.job(&plan.namespace, &plan.job_id)?;
        if (job.create_index, job.version) == (plan.job_create_index, plan.job_version) {
            return None;
        }
        let placements = plan.placements.iter().flat_map(|batch| &batch.placements);
        Some(PlanResult {
            refresh_index: state.index(),
            rejected: placements.map(|placement| placement.id).collect(),
            ..PlanResult::default()
        })
    }

    fn command(&mut self, items: Vec<Submission>) -> (Command, usize) {
        let count = items.len();
        let (mut plans, mut evaluations) = (Vec::with_capacity(count), Vec::new());
        let state = self.raft.state();
        let mut victims = BTreeSet::new();
        for Submission { plan, evaluations: referred } in items {
            evaluations.extend(referred);
            for preemption in &plan.preemptions {
                if let Some(victim) = state.allocation(preemption.id) {
                    victims.insert(JobKey::new(&victim.namespace, &victim.job_id));
                }
            }
            plans.push(plan);
        }
        evaluations.extend(evaluations_of_victims(&state, &victims, &self.seeds));
        metrics::counter!("nomad.nomad.rpc.plan_write").increment(count as u64);
        (Command::PlanResults(PlanResults { plans, evaluations }), count)
    }

    fn answers(&mut self, index: u64, response: Response, count: usize) -> Vec<PlanResult> {
        match response {
            Response::Plans(results) => results,
            // Only a command of plans is written here; anything else means that nothing of them was taken.
            _ => vec![PlanResult { refresh_index: index, ..PlanResult::default() }; count],
        }
    }
}

fn evaluations_of_victims(state: &State, victims: &BTreeSet<JobKey>, seeds: &Seeds) -> Vec<Evaluation> {
    let jobs = victims.iter().filter_map(|key| state.job(&key.namespace, &key.id));
    jobs.map(|job| evaluation::of_job(job, Trigger::Preemption, EvaluationId::from_random(seeds.id()))).collect()
}
