//! New allocations of a committed plan.

use nomadd_model::{AllocDeploymentStatus, Allocation, Job, Placement, PlacementBatch, Plan, Text};

use super::Applier;
use crate::event::{EventKind, Subject};
use crate::usage::Footprint;

impl Applier<'_> {
    /// Writes a new allocation. Texts that a million allocations have in common are the job's and the node's.
    pub(crate) fn place(
        &mut self,
        plan: &Plan,
        job: &Job,
        group: &Text,
        batch: &PlacementBatch,
        placement: &Placement,
        holds: &Footprint,
    ) {
        let node_name = self.state.node(placement.node_id).map(|node| node.name.clone()).unwrap_or_default();
        let nanos = self.now.unix_nanos();
        let metrics = placement.metrics.as_ref().or(batch.metrics.as_ref());
        let canary = placement.canary && placement.deployment_id.is_some();
        let mut preempted = placement.preempted.clone();
        preempted.shrink_to_fit();
        let allocation = Allocation {
            alloc_modify_index: self.index,
            allocated_resources: placement.resources.as_ref().unwrap_or(&batch.resources).clone(),
            create_index: self.index,
            create_time: nanos,
            deployment_id: placement.deployment_id,
            deployment_status: canary
                .then(|| AllocDeploymentStatus { canary: true, ..AllocDeploymentStatus::default() }),
            eval_id: plan.eval_id,
            id: placement.id,
            job_create_index: job.create_index,
            job_id: job.id.clone(),
            job_version: job.version,
            metrics: metrics.cloned(),
            modify_index: self.index,
            modify_time: nanos,
            name: format!("{}.{}[{}]", job.id, group, placement.index).into(),
            namespace: job.namespace.clone(),
            node_id: placement.node_id,
            node_name,
            preempted_allocations: preempted,
            previous_allocation: placement.previous,
            reschedule_tracker: placement.reschedule_tracker.clone(),
            task_group: group.clone(),
            ..Allocation::default()
        };
        self.count_health(None, &allocation);
        self.put_allocation(None, allocation, Some(holds));
        self.event(EventKind::PlanResult, Subject::Allocation(placement.id));
        if placement.previous.is_some() {
            let index = self.index;
            self.change_allocation(placement.previous, None, |previous| {
                previous.next_allocation = placement.id;
                previous.modify_index = index;
                previous.modify_time = nanos;
            });
        }
    }
}
