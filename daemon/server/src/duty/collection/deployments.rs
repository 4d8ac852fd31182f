//! Deployments that are finished and whose allocations are over.

use nomadd_state::{Command, DeploymentDelete, State};

use super::{CHUNK, Cutoffs};

pub(super) fn find(state: &State, cutoffs: &Cutoffs) -> Vec<Command> {
    let over = state.deployments().filter(|deployment| {
        !deployment.status.is_active()
            && deployment.modify_time <= cutoffs.deployments.0
            && state
                .allocations_by_deployment(deployment.id)
                .all(|allocation| allocation.client_status.is_terminal() || allocation.desired_status.is_terminal())
    });
    let ids: Vec<_> = over.map(|deployment| deployment.id).collect();
    ids.chunks(CHUNK).map(|chunk| Command::DeploymentDelete(DeploymentDelete { ids: chunk.to_vec() })).collect()
}
