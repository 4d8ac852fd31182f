//! Evaluations and their index by job.

use std::sync::Arc;

use nomadd_model::{Evaluation, EvaluationId};

use super::id_range;
use crate::state::State;

impl State {
    /// An evaluation.
    pub fn evaluation(&self, id: EvaluationId) -> Option<&Arc<Evaluation>> {
        self.evaluations.get(&id)
    }
    /// All evaluations by id.
    pub fn evaluations(&self) -> impl DoubleEndedIterator<Item = &Arc<Evaluation>> {
        self.evaluations.values()
    }
    /// How many evaluations there are.
    pub fn evaluation_count(&self) -> usize {
        self.evaluations.len()
    }
    /// The evaluations of a job by id.
    pub fn evaluations_by_job(&self, namespace: &str, id: &str) -> impl DoubleEndedIterator<Item = &Arc<Evaluation>> {
        let bounds = |number: u64| (number, EvaluationId([0; 16]))..=(number, EvaluationId([0xff; 16]));
        self.record(namespace, id)
            .into_iter()
            .flat_map(move |record| self.evaluations_by_job.range(bounds(record.number)))
            .filter_map(|(_, id)| self.evaluations.get(id))
    }
    /// The evaluations whose id begins with hexadecimal digits, by id.
    pub fn evaluations_by_prefix(&self, prefix: &str) -> impl DoubleEndedIterator<Item = &Arc<Evaluation>> {
        id_range(prefix)
            .into_iter()
            .flat_map(|(low, high)| self.evaluations.range(EvaluationId(low)..=EvaluationId(high)))
            .map(|(_, evaluation)| evaluation)
    }
}
