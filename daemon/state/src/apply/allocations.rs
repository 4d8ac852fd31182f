//! The one place where allocations are written: indexes, what their node holds, counts of their job, watchers.
//!
//! Also what servers want to happen to allocations. Plans, client updates and deployments come through here.

use std::sync::Arc;

use nomadd_model::{Allocation, AllocationId, DesiredTransition, NodeId};

use super::{Applier, summaries, versions};
use crate::command::AllocationDesiredTransitions;
use crate::event::{EventKind, Subject};
use crate::key::JobKey;
use crate::response::Response;
use crate::usage::Footprint;
use crate::watch::{Table, WatchKey};

/// Whether it counts for the status of its job.
pub(crate) fn is_live(allocation: &Allocation) -> bool {
    !allocation.desired_status.is_terminal() && !allocation.client_status.is_terminal()
}

impl Applier<'_> {
    /// Changes an allocation; whether it is there. `holds` is what it holds afterwards where the caller knows it.
    pub(crate) fn change_allocation(
        &mut self,
        id: AllocationId,
        holds: Option<&Footprint>,
        change: impl FnOnce(&mut Allocation),
    ) -> bool {
        let Some(old) = self.state.allocations.get(&id).cloned() else { return false };
        let mut new = (*old).clone();
        change(&mut new);
        self.put_allocation(Some(old), new, holds);
        true
    }

    /// Writes an allocation with all that depends on it. `old` is what the table has under that id.
    pub(crate) fn put_allocation(&mut self, old: Option<Arc<Allocation>>, new: Allocation, holds: Option<&Footprint>) {
        let (id, node) = (new.id, new.node_id);
        let key = JobKey::new(&new.namespace, &new.job_id);
        if old.as_ref().is_none_or(|old| old.alloc_modify_index != new.alloc_modify_index) {
            self.assign(node, id);
        }
        self.put_usage(old.as_deref(), &new, holds);
        self.put_indexes(&key, old.as_deref(), &new);
        let new = Arc::new(new);
        self.wrote(&new);
        self.state.allocations.insert(id, new);
        self.change(WatchKey::Allocation(id));
        self.change(WatchKey::NodeAllocations(node));
    }

    /// Keeps the sum of the node. An allocation that was done holds nothing again: its room may be someone else's by now.
    fn put_usage(&mut self, old: Option<&Allocation>, new: &Allocation, holds: Option<&Footprint>) {
        let held = old.is_some_and(|old| self.state.holds_resources(old));
        let done = |allocation: &Allocation| allocation.client_status.is_terminal();
        match old {
            Some(old) if !done(old) && done(new) => {
                self.state.released.remove(&new.id);
            }
            Some(old) if done(old) && !done(new) => {
                self.state.released.insert(new.id);
            }
            _ => {}
        }
        let hold = self.state.holds_resources(new);
        let same = old.is_some_and(|old| Arc::ptr_eq(&old.allocated_resources, &new.allocated_resources));
        if held == hold && (!hold || same) {
            return;
        }
        if held && let Some(old) = old {
            self.subtract_usage(old.node_id, &Footprint::of(&old.allocated_resources));
        }
        if hold {
            let counted;
            let footprint = match holds {
                Some(footprint) => footprint,
                None => {
                    counted = Footprint::of(&new.allocated_resources);
                    &counted
                }
            };
            let index = self.index;
            if let Some(record) = self.state.nodes.get_mut(&new.node_id) {
                let record = Arc::make_mut(record);
                record.usage.add(footprint);
                record.generation = index;
            }
        }
    }

    pub(crate) fn subtract_usage(&mut self, node: NodeId, footprint: &Footprint) {
        let index = self.index;
        if let Some(record) = self.state.nodes.get_mut(&node) {
            let record = Arc::make_mut(record);
            record.usage.subtract(footprint);
            record.generation = index;
        }
    }

    /// Takes what an allocation holds from it, for a successor; it is being stopped and will not get it back.
    pub(crate) fn release(&mut self, id: AllocationId) {
        let Some(allocation) = self.state.allocations.get(&id).cloned() else { return };
        if self.state.holds_resources(&allocation) {
            self.state.released.insert(id);
            self.subtract_usage(allocation.node_id, &Footprint::of(&allocation.allocated_resources));
        }
    }

    fn put_indexes(&mut self, key: &JobKey, old: Option<&Allocation>, new: &Allocation) {
        let index = self.index;
        let record = self.record_mut(key);
        let number = record.number;
        let version = (new.job_create_index, new.job_version);
        let before = old.map(|old| (old.job_create_index, old.job_version));
        if before != Some(version) {
            versions::pin(record, version.0, version.1);
            if let Some((create_index, version)) = before {
                versions::unpin(record, create_index, version);
            }
        }
        if old.is_none() {
            record.allocations += 1;
        }
        record.has_history = true;
        match (old.is_some_and(is_live), is_live(new)) {
            (false, true) => record.live_allocations += 1,
            (true, false) => record.live_allocations = record.live_allocations.saturating_sub(1),
            _ => {}
        }
        let counted = summaries::count(record, old, new, index);
        let touched = self.touch(key);
        touched.allocations = true;
        touched.summary |= counted;

        if old.is_none() {
            self.state.allocations_by_job.insert((number, new.id));
            self.state.allocations_by_node.insert((new.node_id, new.id));
        }
        let (eval, deployment) = (old.map(|old| old.eval_id), old.map(|old| old.deployment_id));
        if eval != Some(new.eval_id) {
            if let Some(eval) = eval {
                self.state.allocations_by_evaluation.remove(&(eval, new.id));
            }
            self.state.allocations_by_evaluation.insert((new.eval_id, new.id));
        }
        if deployment != Some(new.deployment_id) {
            if let Some(deployment) = deployment {
                self.state.allocations_by_deployment.remove(&(deployment, new.id));
            }
            if new.deployment_id.is_some() {
                self.state.allocations_by_deployment.insert((new.deployment_id, new.id));
            }
        }
    }

    /// Removes an allocation (garbage collection); whether it was there and holds nothing any more.
    pub(crate) fn remove_allocation(&mut self, id: AllocationId) -> bool {
        let Some(old) = self.state.allocations.get(&id).cloned() else { return false };
        if self.state.holds_resources(&old) && self.state.nodes.contains_key(&old.node_id) {
            return false;
        }
        let key = JobKey::new(&old.namespace, &old.job_id);
        let record = self.record_mut(&key);
        let number = record.number;
        record.allocations = record.allocations.saturating_sub(1);
        if is_live(&old) {
            record.live_allocations = record.live_allocations.saturating_sub(1);
        }
        versions::unpin(record, old.job_create_index, old.job_version);
        self.state.allocations_by_job.remove(&(number, id));
        self.state.allocations_by_node.remove(&(old.node_id, id));
        self.state.allocations_by_evaluation.remove(&(old.eval_id, id));
        self.state.allocations_by_deployment.remove(&(old.deployment_id, id));
        self.state.released.remove(&id);
        self.state.allocations.remove(&id);
        self.touch(&key).allocations = true;
        self.change(WatchKey::Allocation(id));
        self.change(WatchKey::NodeAllocations(old.node_id));
        self.assign(old.node_id, id);
        true
    }

    pub(crate) fn desired_transitions(&mut self, command: AllocationDesiredTransitions) -> Response {
        let mut count = 0;
        for entry in command.transitions {
            let (index, now) = (self.index, self.now);
            let changed = self.change_allocation(entry.id, None, |allocation| {
                merge(&mut allocation.desired_transition, &entry.transition);
                allocation.modify_index = index;
                allocation.modify_time = now.unix_nanos();
            });
            if changed {
                count += 1;
                self.table(Table::Allocations);
                self.event(EventKind::AllocationUpdateDesiredStatus, Subject::Allocation(entry.id));
            }
        }
        self.evaluations(command.evaluations);
        Response::Count { index: self.index, count }
    }
}

/// What the later wish says counts; what it leaves open stays.
fn merge(transition: &mut DesiredTransition, later: &DesiredTransition) {
    let DesiredTransition { force_reschedule, migrate, migrate_disable_placement, no_shutdown_delay, reschedule } =
        later;
    let parts = [
        (&mut transition.force_reschedule, force_reschedule),
        (&mut transition.migrate, migrate),
        (&mut transition.migrate_disable_placement, migrate_disable_placement),
        (&mut transition.no_shutdown_delay, no_shutdown_delay),
        (&mut transition.reschedule, reschedule),
    ];
    for (part, later) in parts {
        *part = later.or(*part);
    }
}
