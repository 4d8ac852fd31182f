//! Allocations, and the indexes by job, node, evaluation and deployment (keys only).

use std::sync::Arc;

use nomadd_model::{Allocation, AllocationId, DeploymentId, EvaluationId, NodeId};

use super::id_range;
use crate::state::State;

const LOWEST: AllocationId = AllocationId([0; 16]);
const HIGHEST: AllocationId = AllocationId([0xff; 16]);

impl State {
    /// An allocation.
    pub fn allocation(&self, id: AllocationId) -> Option<&Arc<Allocation>> {
        self.allocations.get(&id)
    }
    /// All allocations by id.
    pub fn allocations(&self) -> impl DoubleEndedIterator<Item = &Arc<Allocation>> {
        self.allocations.values()
    }
    /// How many allocations there are.
    pub fn allocation_count(&self) -> usize {
        self.allocations.len()
    }
    /// The allocations whose id begins with hexadecimal digits, by id.
    pub fn allocations_by_prefix(&self, prefix: &str) -> impl DoubleEndedIterator<Item = &Arc<Allocation>> {
        id_range(prefix)
            .into_iter()
            .flat_map(|(low, high)| self.allocations.range(AllocationId(low)..=AllocationId(high)))
            .map(|(_, allocation)| allocation)
    }
    /// The allocations of a job by id, also of an earlier job of that name.
    pub fn allocations_by_job(&self, namespace: &str, id: &str) -> impl DoubleEndedIterator<Item = &Arc<Allocation>> {
        self.record(namespace, id)
            .into_iter()
            .flat_map(|record| self.allocations_by_job.range((record.number, LOWEST)..=(record.number, HIGHEST)))
            .filter_map(|(_, id)| self.allocations.get(id))
    }
    /// The allocations of a node by id.
    pub fn allocations_by_node(&self, node: NodeId) -> impl DoubleEndedIterator<Item = &Arc<Allocation>> {
        self.allocations_by_node.range((node, LOWEST)..=(node, HIGHEST)).filter_map(|(_, id)| self.allocations.get(id))
    }
    /// The allocations that an evaluation made or last changed, by id.
    pub fn allocations_by_evaluation(&self, id: EvaluationId) -> impl DoubleEndedIterator<Item = &Arc<Allocation>> {
        self.allocations_by_evaluation
            .range((id, LOWEST)..=(id, HIGHEST))
            .filter_map(|(_, id)| self.allocations.get(id))
    }
    /// The allocations of a deployment by id.
    pub fn allocations_by_deployment(&self, id: DeploymentId) -> impl DoubleEndedIterator<Item = &Arc<Allocation>> {
        self.allocations_by_deployment
            .range((id, LOWEST)..=(id, HIGHEST))
            .filter_map(|(_, id)| self.allocations.get(id))
    }
    /// Whether an allocation holds its resources on its node: the client is not done with it, and its room was not
    /// given to a successor.
    pub fn holds_resources(&self, allocation: &Allocation) -> bool {
        !allocation.client_status.is_terminal() && !self.released.contains(&allocation.id)
    }
}
