//! Deployments come with plans, are judged, promoted, ended and collected.

use std::sync::Arc;

use nomadd_model::{AllocDeploymentStatus, Deployment, DeploymentId, DeploymentStatus, DeploymentStatusUpdate, Text};

use super::evaluations::move_count;
use super::{Applier, jobs};
use crate::command::{DeploymentAllocHealth, DeploymentDelete, DeploymentPromote, DeploymentStatusSet};
use crate::event::{EventKind, Subject};
use crate::key::JobKey;
use crate::response::{Refused, Response};
use crate::watch::{Table, WatchKey};

impl Applier<'_> {
    /// Writes the deployment of a plan. What is counted here is not the scheduler's to say.
    pub(crate) fn put_deployment(&mut self, mut new: Deployment) {
        if new.id.is_none() {
            return;
        }
        let id = new.id;
        let old = self.state.deployments.get(&id).cloned();
        let key = match &old {
            Some(old) => JobKey::new(&old.namespace, &old.job_id),
            None => JobKey::new(&new.namespace, &new.job_id),
        };
        new.namespace = key.namespace.clone();
        new.job_id = key.id.clone();
        let nanos = self.now.unix_nanos();
        new.modify_index = self.index;
        new.modify_time = nanos;
        new.create_index = old.as_ref().map_or(self.index, |old| old.create_index);
        if new.create_time == 0 {
            new.create_time = old.as_ref().map_or(nanos, |old| old.create_time);
        }
        if let Some(old) = &old {
            for (name, group) in &mut new.task_groups {
                let Some(known) = old.task_groups.get(name) else { continue };
                group.placed_allocs = known.placed_allocs;
                group.healthy_allocs = known.healthy_allocs;
                group.unhealthy_allocs = known.unhealthy_allocs;
                group.placed_canaries.clone_from(&known.placed_canaries);
                group.require_progress_by = known.require_progress_by;
                group.promoted |= known.promoted;
            }
            if !old.status.is_active() {
                new.status = old.status;
                new.status_description.clone_from(&old.status_description);
            }
        }
        let record = self.record_mut(&key);
        let number = record.number;
        record.deployments += u32::from(old.is_none());
        let was_active = old.as_ref().is_some_and(|old| old.status.is_active());
        move_count(&mut record.active_deployments, was_active, new.status.is_active());
        if old.is_none() {
            self.state.deployments_by_job.insert((number, new.create_index, id));
        }
        self.state.deployments.insert(id, Arc::new(new));
        self.touch(&key).deployments = true;
        self.change(WatchKey::Deployment(id));
        self.event(EventKind::DeploymentStatusUpdate, Subject::Deployment(id));
    }

    /// Sets the status of a deployment that is still active; whether it did. Success makes the job version stable.
    pub(crate) fn update_deployment(&mut self, update: &DeploymentStatusUpdate) -> bool {
        let Some(deployment) = self.state.deployments.get(&update.deployment_id).cloned() else { return false };
        if !deployment.status.is_active() {
            return false;
        }
        self.change_deployment(update.deployment_id, |deployment| {
            deployment.status = update.status;
            deployment.status_description = update.description.to_string();
        });
        if update.status == DeploymentStatus::Successful {
            let key = JobKey::new(&deployment.namespace, &deployment.job_id);
            self.set_stable(&key, Some(deployment.job_create_index), deployment.job_version, true);
        }
        self.event(EventKind::DeploymentStatusUpdate, Subject::Deployment(update.deployment_id));
        true
    }

    fn active(&self, id: DeploymentId) -> Result<Arc<Deployment>, Response> {
        let Some(deployment) = self.state.deployments.get(&id) else {
            return Err(jobs::not_found("deployment", &id.to_string().into()));
        };
        if deployment.status.is_active() {
            return Ok(deployment.clone());
        }
        let reason = format!("Deployment {:?} has terminal status {:?}", id.to_string(), deployment.status.as_str());
        Err(Response::Refused(Refused::State(reason.into())))
    }

    pub(crate) fn deployment_status(&mut self, command: DeploymentStatusSet) -> Response {
        let DeploymentStatusSet { update, evaluation, revert } = command;
        if let Err(response) = self.active(update.deployment_id) {
            return response;
        }
        self.update_deployment(&update);
        if let Some(revert) = revert {
            self.job_register(revert);
        }
        self.evaluations(evaluation);
        self.ok()
    }

    pub(crate) fn deployment_promote(&mut self, command: DeploymentPromote) -> Response {
        let DeploymentPromote { id, groups, evaluation } = command;
        let deployment = match self.active(id) {
            Ok(deployment) => deployment,
            Err(response) => return response,
        };
        let chosen = |name: &Text| groups.is_empty() || groups.contains(name);
        let mut canaries = Vec::new();
        for (name, group) in &deployment.task_groups {
            if !chosen(name) || group.desired_canaries == 0 || group.promoted {
                continue;
            }
            let healthy = group
                .placed_canaries
                .iter()
                .filter_map(|id| self.state.allocations.get(id))
                .filter(|canary| canary.deployment_status.as_ref().is_some_and(|status| status.healthy == Some(true)))
                .count();
            if i64::try_from(healthy).unwrap_or(i64::MAX) < group.desired_canaries {
                let reason =
                    format!("Task group {name:?} has {healthy}/{} healthy allocations", group.desired_canaries);
                return Response::Refused(Refused::State(reason.into()));
            }
            canaries.extend(&group.placed_canaries);
        }
        self.change_deployment(id, |deployment| {
            for (name, group) in &mut deployment.task_groups {
                group.promoted |= chosen(name) && group.desired_canaries > 0;
            }
            if deployment.task_groups.values().all(|group| group.desired_canaries == 0 || group.promoted) {
                deployment.status_description = "Deployment is running".to_owned();
            }
        });
        let index = self.index;
        for canary in canaries {
            self.change_allocation(canary, None, |allocation| {
                if let Some(status) = &mut allocation.deployment_status {
                    status.canary = false;
                }
                allocation.modify_index = index;
                allocation.alloc_modify_index = index;
            });
        }
        self.event(EventKind::DeploymentPromotion, Subject::Deployment(id));
        self.evaluations(evaluation);
        self.ok()
    }

    pub(crate) fn deployment_alloc_health(&mut self, command: DeploymentAllocHealth) -> Response {
        let DeploymentAllocHealth { id, healthy, unhealthy, update, evaluation, revert } = command;
        if let Err(response) = self.active(id) {
            return response;
        }
        let all = healthy.iter().map(|id| (*id, true)).chain(unhealthy.iter().map(|id| (*id, false)));
        for (allocation, health) in all {
            let Some(old) = self.state.allocations.get(&allocation).cloned() else { continue };
            if old.deployment_id != id {
                continue;
            }
            let mut new = (*old).clone();
            let status: &mut AllocDeploymentStatus = new.deployment_status.get_or_insert_default();
            status.healthy = Some(health);
            status.timestamp = self.now;
            status.modify_index = self.index;
            new.modify_index = self.index;
            self.count_health(Some(&old), &new);
            self.put_allocation(Some(old), new, None);
        }
        if let Some(update) = update.filter(|update| update.deployment_id == id) {
            self.update_deployment(&update);
        }
        if let Some(revert) = revert {
            self.job_register(revert);
        }
        self.event(EventKind::DeploymentAllocHealth, Subject::Deployment(id));
        self.evaluations(evaluation);
        self.ok()
    }

    pub(crate) fn deployment_delete(&mut self, command: &DeploymentDelete) -> Response {
        let mut count = 0;
        for id in &command.ids {
            let Some(deployment) = self.state.deployments.get(id).cloned() else { continue };
            if deployment.status.is_active() {
                continue;
            }
            self.state.deployments.remove(id);
            let key = JobKey::new(&deployment.namespace, &deployment.job_id);
            let record = self.record_mut(&key);
            record.deployments = record.deployments.saturating_sub(1);
            let number = record.number;
            self.state.deployments_by_job.remove(&(number, deployment.create_index, *id));
            self.touch(&key).deployments = true;
            self.changed_in(Table::Deployments, WatchKey::Deployment(*id));
            count += 1;
        }
        Response::Count { index: self.index, count }
    }
}
