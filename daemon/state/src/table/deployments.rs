//! Deployments and their index by job, oldest first.

use std::sync::Arc;

use nomadd_model::{Deployment, DeploymentId};

use super::id_range;
use crate::state::State;

impl State {
    /// A deployment.
    pub fn deployment(&self, id: DeploymentId) -> Option<&Arc<Deployment>> {
        self.deployments.get(&id)
    }
    /// All deployments by id.
    pub fn deployments(&self) -> impl DoubleEndedIterator<Item = &Arc<Deployment>> {
        self.deployments.values()
    }
    /// The deployments of a job, oldest first.
    pub fn deployments_by_job(&self, namespace: &str, id: &str) -> impl DoubleEndedIterator<Item = &Arc<Deployment>> {
        let bounds = |number: u64| (number, 0, DeploymentId([0; 16]))..=(number, u64::MAX, DeploymentId([0xff; 16]));
        self.record(namespace, id)
            .into_iter()
            .flat_map(move |record| self.deployments_by_job.range(bounds(record.number)))
            .filter_map(|(_, _, id)| self.deployments.get(id))
    }
    /// The newest deployment of a job.
    pub fn latest_deployment(&self, namespace: &str, id: &str) -> Option<&Arc<Deployment>> {
        self.deployments_by_job(namespace, id).next_back()
    }
    /// The deployments whose id begins with hexadecimal digits, by id.
    pub fn deployments_by_prefix(&self, prefix: &str) -> impl DoubleEndedIterator<Item = &Arc<Deployment>> {
        id_range(prefix)
            .into_iter()
            .flat_map(|(low, high)| self.deployments.range(DeploymentId(low)..=DeploymentId(high)))
            .map(|(_, deployment)| deployment)
    }
}
