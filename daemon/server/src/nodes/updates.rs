//! What clients report of their allocations: written in batches, with the evaluations that follow from it.

use std::collections::BTreeMap;

use nomadd_model::{AllocDeploymentStatus, Allocation, ClientStatus, Evaluation, NodeId, Trigger};
use nomadd_raft::Raft;
use nomadd_rpc::AllocationUpdate;
use nomadd_runtime::Runtime;
use nomadd_state::{AllocationClientUpdate, AllocationClientUpdates, Command, JobKey, Response, State};

use crate::batch::Batched;
use crate::evaluation;
use crate::reschedule;

/// The report of one node.
pub(crate) struct Report {
    pub(crate) node_id: NodeId,
    pub(crate) updates: Vec<AllocationUpdate>,
    /// Its place among the reports of the node; zero: it has none.
    pub(crate) number: u64,
}

/// Writes reports.
pub(crate) struct ClientUpdates {
    pub(crate) raft: Raft,
    pub(crate) runtime: Runtime,
}

impl Batched for ClientUpdates {
    type Item = Report;
    type Answer = u64;
    type Memo = usize;
    const IN_FLIGHT: usize = 2;
    const WEIGHT: usize = 2048;

    fn weigh(item: &Report) -> usize {
        item.updates.len().max(1)
    }

    fn command(&mut self, items: Vec<Report>) -> (Command, usize) {
        let count = items.len();
        let state = self.raft.state();
        let mut triggers = BTreeMap::new();
        let mut updates = Vec::new();
        for Report { node_id, updates: reported, number } in items {
            if number != 0 && number <= state.reported(node_id) {
                // It would not be taken, and must not have evaluations made either.
                continue;
            }
            for update in reported {
                // A node speaks only of what is its own.
                let Some(known) = state.allocation(update.id).filter(|known| known.node_id == node_id) else {
                    continue;
                };
                if let Some(trigger) = trigger(&state, known, &update) {
                    triggers.entry(JobKey::new(&known.namespace, &known.job_id)).or_insert(trigger);
                }
                updates.push(written(known, update, number));
            }
        }
        let evaluations = triggers.into_iter().map(|(key, trigger)| self.evaluation(&state, &key, trigger)).collect();
        (Command::AllocationClientUpdate(AllocationClientUpdates { updates, evaluations }), count)
    }

    fn answers(&mut self, index: u64, _: Response, count: usize) -> Vec<u64> {
        vec![index; count]
    }
}

impl ClientUpdates {
    fn evaluation(&self, state: &State, key: &JobKey, trigger: Trigger) -> Evaluation {
        let id = evaluation::id(&self.runtime.seeds);
        match state.job(&key.namespace, &key.id) {
            Some(job) => evaluation::of_job(job, trigger, id),
            // The job is gone: the scheduler cleans up after it.
            None => Evaluation {
                id,
                namespace: key.namespace.clone(),
                job_id: key.id.clone(),
                priority: 50,
                kind: "service".into(),
                triggered_by: Trigger::JobDeregister,
                ..Evaluation::default()
            },
        }
    }
}

fn written(known: &Allocation, update: AllocationUpdate, number: u64) -> AllocationClientUpdate {
    let AllocationUpdate {
        id,
        client_status,
        client_description,
        task_states,
        deployment_status,
        network_status,
        time,
    } = update;
    AllocationClientUpdate {
        id,
        client_status,
        client_description,
        task_states: task_states.into_iter().collect(),
        // Whether it is a canary is for servers to say.
        deployment_status: deployment_status.map(|status| AllocDeploymentStatus {
            canary: known.deployment_status.as_ref().is_some_and(|known| known.canary),
            ..status
        }),
        network_status: network_status.map(Box::new),
        time,
        number,
    }
}

/// Why the job of an allocation has to be looked at after this report, if it has.
fn trigger(state: &State, known: &Allocation, update: &AllocationUpdate) -> Option<Trigger> {
    if known.client_status == ClientStatus::Unknown && update.client_status != ClientStatus::Unknown {
        return Some(Trigger::Reconnect);
    }
    let becomes_terminal = update.client_status.is_terminal() && !known.client_status.is_terminal();
    if !becomes_terminal {
        return None;
    }
    if state.job(&known.namespace, &known.job_id).is_none() {
        return Some(Trigger::JobDeregister);
    }
    let failed = Allocation { client_status: update.client_status, ..known.clone() };
    (known.followup_eval_id.is_none() && reschedule::eligible(state, &failed, update.time))
        .then_some(Trigger::RetryFailedAlloc)
}
