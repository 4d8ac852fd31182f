//! Jobs come, change, stop and go.

use std::sync::Arc;

use nomadd_model::update::specification_changed;
use nomadd_model::{AllocationId, Job, JobStatus, Text};

use super::{Applier, summaries, versions};
use crate::command::{JobDelete, JobDeregister, JobRegister};
use crate::event::{EventKind, Subject};
use crate::key::JobKey;
use crate::response::{Refused, Response};
use crate::watch::{Table, WatchKey};

/// Checks the job modify index that a caller expects.
pub(crate) fn enforce(job: Option<&Arc<Job>>, wanted: Option<u64>) -> Result<(), Refused> {
    match (wanted, job) {
        (None, _) | (Some(0), None) => Ok(()),
        (Some(0), Some(_)) => Err(Refused::JobExists),
        (Some(wanted), None) => Err(Refused::JobAbsent { wanted }),
        (Some(wanted), Some(job)) if job.job_modify_index == wanted => Ok(()),
        (Some(wanted), Some(job)) => Err(Refused::JobModified { wanted, found: job.job_modify_index }),
    }
}

pub(crate) fn not_found(kind: &str, id: &Text) -> Response {
    Response::Refused(Refused::NotFound { kind: kind.into(), id: id.clone() })
}

impl Applier<'_> {
    pub(crate) fn job_register(&mut self, command: JobRegister) -> Response {
        let JobRegister { job, submission, evaluation, enforce_index, tracked_versions } = command;
        let key = JobKey::new(&job.namespace, &job.id);
        if job.id.is_empty() {
            return Response::Refused(Refused::State("a job without an id cannot be registered".into()));
        }
        if !self.state.namespaces.contains_key(&job.namespace) {
            return not_found("namespace", &job.namespace);
        }
        if !job.node_pool.is_empty() && !self.state.node_pools.contains_key(&job.node_pool) {
            return not_found("node pool", &job.node_pool);
        }
        let existing = self.state.jobs.get(&key).and_then(|record| record.job.clone());
        if let Err(refused) = enforce(existing.as_ref(), enforce_index) {
            return Response::Refused(refused);
        }
        let changed = existing.as_ref().is_none_or(|existing| specification_changed(existing, &job));
        if changed {
            self.put_job(&key, job, existing.as_ref(), tracked_versions);
            if let (Some(submission), Some(record)) = (submission, self.existing_record_mut(&key)) {
                let version = record.job.as_ref().map_or(0, |job| job.version);
                record.submissions.insert(version, Arc::new(submission));
            }
            self.event(EventKind::JobRegistered, Subject::Job(key.clone()));
        }
        self.evaluations(evaluation);
        self.job_response(&key, changed)
    }

    /// Writes a new version of a job, or the first.
    pub(crate) fn put_job(&mut self, key: &JobKey, job: Arc<Job>, existing: Option<&Arc<Job>>, tracked: u64) {
        let index = self.index;
        let mut job = Arc::unwrap_or_clone(job);
        job.create_index = existing.map_or(index, |job| job.create_index);
        job.modify_index = index;
        job.job_modify_index = index;
        job.version = existing.map_or(0, |job| job.version.saturating_add(1));
        job.status = existing.map_or(JobStatus::Pending, |job| job.status);
        job.stable = false;
        job.version_tag = None;
        // All that refers to the job shares these texts.
        job.namespace = key.namespace.clone();
        job.id = key.id.clone();
        let parent = job.parent_id.clone();
        let record = self.record_mut(key);
        match &mut record.summary {
            Some(summary) if existing.is_some() => summaries::extend(Arc::make_mut(summary), &job, index),
            summary => *summary = Some(Arc::new(summaries::fresh(&job, index))),
        }
        if existing.is_none() {
            record.has_history = false;
            record.submissions.clear();
            record.scaling.clear();
        }
        versions::push(record, job, tracked);
        if existing.is_none() && !parent.is_empty() {
            let parent = JobKey { namespace: key.namespace.clone(), id: parent };
            self.state.children.insert((parent.clone(), key.clone()));
            self.count_child(&parent, None, Some(JobStatus::Pending));
        }
        let touched = self.touch(key);
        touched.job = true;
        touched.summary = true;
    }

    /// What is answered about a job; its status may still change at the end of the command.
    pub(crate) fn job_response(&self, key: &JobKey, changed: bool) -> Response {
        let job = self.state.jobs.get(key).and_then(|record| record.job.as_ref());
        Response::Job {
            index: self.index,
            create_index: job.map_or(0, |job| job.create_index),
            job_modify_index: job.map_or(self.index, |job| job.job_modify_index),
            version: job.map_or(0, |job| job.version),
            changed,
        }
    }

    pub(crate) fn job_deregister(&mut self, command: JobDeregister) -> Response {
        let JobDeregister { namespace, id, purge, submit_time, evaluation, no_shutdown_delay } = command;
        let key = JobKey::new(&namespace, &id);
        let Some(job) = self.state.jobs.get(&key).and_then(|record| record.job.clone()) else {
            return not_found("job", &id);
        };
        if no_shutdown_delay {
            self.skip_shutdown_delay(&key);
        }
        let changed = purge || !job.stop;
        if purge {
            self.remove_job(&key);
            self.event(EventKind::JobDeregistered, Subject::DeletedJob(job));
        } else if changed {
            let mut stopped = (*job).clone();
            stopped.stop = true;
            if submit_time != 0 {
                stopped.submit_time = submit_time;
            }
            self.put_job(&key, Arc::new(stopped), Some(&job), 0);
            self.event(EventKind::JobDeregistered, Subject::Job(key.clone()));
        }
        self.evaluations(evaluation);
        self.job_response(&key, changed)
    }

    fn skip_shutdown_delay(&mut self, key: &JobKey) {
        let live: Vec<AllocationId> = self
            .state
            .allocations_by_job(&key.namespace, &key.id)
            .filter(|allocation| !allocation.desired_status.is_terminal() && !allocation.client_status.is_terminal())
            .map(|allocation| allocation.id)
            .collect();
        for id in live {
            let index = self.index;
            self.change_allocation(id, None, |allocation| {
                allocation.desired_transition.no_shutdown_delay = Some(true);
                allocation.modify_index = index;
            });
        }
    }

    /// Removes a job with all that is told of it. Its allocations, evaluations and deployments stay until they are collected.
    fn remove_job(&mut self, key: &JobKey) {
        let Some(record) = self.existing_record_mut(key) else { return };
        let Some(job) = record.job.take() else { return };
        versions::forget_all(record);
        record.summary = None;
        record.submissions.clear();
        record.scaling.clear();
        record.has_history = false;
        record.last_plan_index = 0;
        if !job.parent_id.is_empty() {
            let parent = JobKey { namespace: key.namespace.clone(), id: job.parent_id.clone() };
            self.state.children.remove(&(parent.clone(), key.clone()));
            self.count_child(&parent, Some(job.status), None);
        }
        let touched = self.touch(key);
        touched.job = true;
        touched.summary = true;
        self.table(Table::Scaling);
    }

    pub(crate) fn job_delete(&mut self, command: JobDelete) -> Response {
        let mut count = 0;
        for deletion in command.jobs {
            let Some(record) = self.state.jobs.get(&deletion.key) else { continue };
            let Some(job) = record.job.clone() else { continue };
            let as_seen = deletion.modify_index == 0 || deletion.modify_index == job.modify_index;
            let in_use = record.live_allocations > 0 || record.live_evaluations > 0;
            if !as_seen || in_use || job.status != JobStatus::Dead {
                continue;
            }
            self.remove_job(&deletion.key);
            self.event(EventKind::JobBatchDeregistered, Subject::DeletedJob(job));
            count += 1;
        }
        Response::Count { index: self.index, count }
    }

    /// Wakes who waits for one thing and its table.
    pub(crate) fn changed_in(&mut self, table: Table, key: WatchKey) {
        self.table(table);
        self.change(key);
    }
}
