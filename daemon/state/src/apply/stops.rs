//! Allocations that a plan stops, calls lost or unknown, evicts, or updates in place.

use nomadd_model::{AllocState, AllocationPreemption, AllocationStop, DesiredStatus, InPlaceUpdate, Job};

use super::Applier;
use crate::event::{EventKind, Subject};
use crate::usage::Footprint;

impl Applier<'_> {
    pub(crate) fn stop(&mut self, stop: &AllocationStop) {
        let (index, now) = (self.index, self.now);
        let changed = self.change_allocation(stop.id, None, |allocation| {
            if stop.desired_status.is_terminal() {
                allocation.desired_status = stop.desired_status;
            }
            if !stop.desired_description.is_empty() {
                allocation.desired_description = stop.desired_description.clone();
            }
            if let Some(status) = stop.client_status {
                allocation.alloc_states.push(AllocState {
                    field: "client_status".to_owned(),
                    time: now,
                    value: status.to_string(),
                });
                allocation.client_status = status;
            }
            if stop.followup_eval_id.is_some() {
                allocation.followup_eval_id = stop.followup_eval_id;
            }
            if stop.rescheduled
                && let Some(tracker) = &mut allocation.reschedule_tracker
            {
                tracker.last_reschedule = "ok".to_owned();
            }
            allocation.modify_index = index;
            allocation.alloc_modify_index = index;
            allocation.modify_time = now.unix_nanos();
        });
        if changed {
            self.event(EventKind::PlanResult, Subject::Allocation(stop.id));
        }
    }

    pub(crate) fn preempt(&mut self, preemption: &AllocationPreemption) {
        let (index, now) = (self.index, self.now);
        let changed = self.change_allocation(preemption.id, None, |allocation| {
            allocation.desired_status = DesiredStatus::Evict;
            allocation.desired_description = format!("Preempted by alloc ID {}", preemption.by).into();
            allocation.preempted_by_allocation = preemption.by;
            allocation.modify_index = index;
            allocation.alloc_modify_index = index;
            allocation.modify_time = now.unix_nanos();
        });
        if changed {
            self.event(EventKind::PlanResult, Subject::Allocation(preemption.id));
        }
    }

    /// The allocation goes on under this version of its job.
    pub(crate) fn update_in_place(
        &mut self,
        update: &InPlaceUpdate,
        holds: Option<&Footprint>,
        job: &Job,
        eval_id: nomadd_model::EvaluationId,
    ) {
        let Some(old) = self.state.allocations.get(&update.id).cloned() else { return };
        let mut new = (*old).clone();
        new.job_version = job.version;
        new.job_create_index = job.create_index;
        new.eval_id = eval_id;
        if let Some(resources) = &update.resources {
            new.allocated_resources = resources.clone();
        }
        if update.metrics.is_some() {
            new.metrics = update.metrics.clone();
        }
        if new.deployment_id != update.deployment_id {
            new.deployment_id = update.deployment_id;
            // Its health counts anew in the new deployment.
            new.deployment_status = None;
        }
        new.modify_index = self.index;
        new.alloc_modify_index = self.index;
        new.modify_time = self.now.unix_nanos();
        self.count_health(Some(&old), &new);
        self.put_allocation(Some(old), new, holds);
        self.event(EventKind::PlanResult, Subject::Allocation(update.id));
    }
}
