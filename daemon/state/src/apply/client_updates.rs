//! What clients say of their allocations. Only their half changes: the desired status is the servers'.
//!
//! Batches of one node are numbered by it: what a slow way brings after a newer batch would put allocations back, so it is not taken.

use std::collections::BTreeSet;
use std::sync::Arc;

use nomadd_model::{Allocation, DeploymentId, NodeId, TaskState, Text};

use super::Applier;
use crate::command::{AllocationClientUpdate, AllocationClientUpdates};
use crate::event::{EventKind, Subject};
use crate::response::Response;
use crate::watch::Table;

impl Applier<'_> {
    pub(crate) fn client_updates(&mut self, command: AllocationClientUpdates) -> Response {
        let mut count = 0;
        let mut nodes = BTreeSet::new();
        let mut batches = BTreeSet::new();
        for update in command.updates {
            let Some(old) = self.state.allocations.get(&update.id).cloned() else { continue };
            if update.number != 0 && !batches.contains(&(old.node_id, update.number)) {
                if update.number <= self.state.reported(old.node_id) {
                    continue;
                }
                self.state.reports.insert(old.node_id, update.number);
                batches.insert((old.node_id, update.number));
            }
            nodes.insert(old.node_id);
            self.client_update(&old, update);
            count += 1;
        }
        for node in nodes {
            self.note_contact(node);
        }
        self.evaluations(command.evaluations);
        if count > 0 {
            self.table(Table::Allocations);
        }
        Response::Count { index: self.index, count }
    }

    fn client_update(&mut self, old: &Arc<Allocation>, update: AllocationClientUpdate) {
        let AllocationClientUpdate {
            id,
            client_status,
            client_description,
            task_states,
            deployment_status,
            network_status,
            time,
            number: _,
        } = update;
        let mut new = (**old).clone();
        new.client_status = client_status;
        if new.client_description != client_description {
            new.client_description = client_description;
        }
        if !task_states.is_empty() {
            new.task_states = task_states;
            new.task_states.replace_keys(|name| shared_task_name(old, name));
            for state in new.task_states.values_mut() {
                shrink(state);
            }
        }
        if network_status.is_some() {
            new.network_status = network_status;
        }
        if let Some(said) = deployment_status.filter(|said| said.healthy.is_some()) {
            // Whether it is a canary is the servers' to say.
            let status = new.deployment_status.get_or_insert_default();
            status.healthy = said.healthy;
            status.timestamp = if said.timestamp.unix_nanos() == 0 { self.now } else { said.timestamp };
            status.modify_index = self.index;
        }
        new.modify_index = self.index;
        new.modify_time = if time.unix_nanos() == 0 { self.now.unix_nanos() } else { time.unix_nanos() };
        self.count_health(Some(old), &new);
        self.put_allocation(Some(old.clone()), new, None);
        self.event(EventKind::AllocationUpdated, Subject::Allocation(id));
    }

    /// A node that was out of contact has brought its allocations up to date.
    fn note_contact(&mut self, id: NodeId) {
        let index = self.index;
        let Some(record) = self.state.nodes.get(&id) else { return };
        if record.node.last_missed_heartbeat_index <= record.node.last_alloc_update_index {
            return;
        }
        if let Some(record) = self.state.nodes.get_mut(&id) {
            let node = Arc::make_mut(&mut Arc::make_mut(record).node);
            node.last_alloc_update_index = index;
            node.modify_index = index;
        }
        self.table(Table::Nodes);
    }

    /// Counts the health of an allocation in its deployment, as it changes.
    pub(crate) fn count_health(&mut self, old: Option<&Allocation>, new: &Allocation) {
        if new.deployment_id.is_none() {
            return;
        }
        let health = |allocation: &Allocation| allocation.deployment_status.as_ref().and_then(|status| status.healthy);
        let joined = old.is_none_or(|old| old.deployment_id != new.deployment_id);
        let before = old.filter(|_| !joined).and_then(health);
        let after = health(new);
        if !joined && before == after {
            return;
        }
        let delta = |value: bool| i64::from(after == Some(value)) - i64::from(before == Some(value));
        let (healthy, unhealthy) = (delta(true), delta(false));
        let canary = new.deployment_status.as_ref().is_some_and(|status| status.canary);
        let health_time = new.deployment_status.as_ref().map(|status| status.timestamp).unwrap_or_default();
        let now = self.now;
        self.event(EventKind::DeploymentStatusUpdate, Subject::Deployment(new.deployment_id));
        self.change_deployment(new.deployment_id, |deployment| {
            let Some(group) = deployment.task_groups.get_mut(&new.task_group) else { return };
            if joined {
                group.placed_allocs += 1;
                if canary && !group.placed_canaries.contains(&new.id) {
                    group.placed_canaries.push(new.id);
                }
            }
            group.healthy_allocs = (group.healthy_allocs + healthy).max(0);
            group.unhealthy_allocs = (group.unhealthy_allocs + unhealthy).max(0);
            if group.progress_deadline.as_nanos() == 0 {
                return;
            }
            if joined && group.require_progress_by.unix_nanos() == 0 {
                group.require_progress_by = now.plus(group.progress_deadline);
            }
            if healthy > 0 {
                let by = health_time.plus(group.progress_deadline);
                group.require_progress_by = group.require_progress_by.max(by);
            }
        });
    }

    /// Changes a deployment; whether it is there.
    pub(crate) fn change_deployment(
        &mut self,
        id: DeploymentId,
        change: impl FnOnce(&mut nomadd_model::Deployment),
    ) -> bool {
        let (index, nanos) = (self.index, self.now.unix_nanos());
        let Some(deployment) = self.state.deployments.get_mut(&id) else { return false };
        let was_active = deployment.status.is_active();
        let deployment = Arc::make_mut(deployment);
        change(deployment);
        deployment.modify_index = index;
        deployment.modify_time = nanos;
        let is_active = deployment.status.is_active();
        let key = crate::key::JobKey::new(&deployment.namespace, &deployment.job_id);
        if was_active != is_active
            && let Some(record) = self.existing_record_mut(&key)
        {
            super::evaluations::move_count(&mut record.active_deployments, was_active, is_active);
        }
        self.touch(&key).deployments = true;
        self.change(crate::watch::WatchKey::Deployment(id));
        true
    }
}

/// The name of a task as the resources of the allocation have it, so that both share one text.
fn shared_task_name(allocation: &Allocation, name: &Text) -> Text {
    allocation.allocated_resources.tasks.get_key_value(name).map_or_else(|| name.clone(), |(shared, _)| shared.clone())
}

/// Gives back what a growing list had in reserve; a million of these are kept.
fn shrink(state: &mut TaskState) {
    state.events.shrink_to_fit();
}
