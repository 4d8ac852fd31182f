//! The status of a job, from counts that are kept as things change.

use std::sync::Arc;

use nomadd_model::{Job, JobChildrenSummary, JobStatus, JobSummary, JobType};

use super::Applier;
use crate::key::JobKey;
use crate::table::jobs::JobRecord;

/// The status that a job has by its counts (semantics: job state).
fn status_of(job: &Job, record: &JobRecord) -> JobStatus {
    let launches = job.periodic.as_ref().is_some_and(|periodic| periodic.enabled) || job.parameterized_job.is_some();
    if job.kind == JobType::System || (launches && !job.dispatched) {
        return if job.stop { JobStatus::Dead } else { JobStatus::Running };
    }
    if record.active_deployments > 0 && !job.stop || record.live_allocations > 0 {
        JobStatus::Running
    } else if record.live_evaluations > 0 {
        JobStatus::Pending
    } else if job.stop || record.has_history {
        JobStatus::Dead
    } else {
        JobStatus::Pending
    }
}

impl Applier<'_> {
    /// Sets the status anew; whether it changed.
    pub(crate) fn update_status(&mut self, key: &JobKey) -> bool {
        let Some(record) = self.state.jobs.get(key) else { return false };
        let Some(job) = &record.job else { return false };
        let status = status_of(job, record);
        if status == job.status {
            return false;
        }
        let (old, parent) = (job.status, job.parent_id.clone());
        let index = self.index;
        self.change_current(key, |job| {
            job.status = status;
            job.modify_index = index;
        });
        if !parent.is_empty() {
            let parent = JobKey { namespace: key.namespace.clone(), id: parent };
            self.count_child(&parent, Some(old), Some(status));
        }
        true
    }

    /// Changes the current version of a job in place.
    pub(crate) fn change_current(&mut self, key: &JobKey, change: impl FnOnce(&mut Job)) {
        let Some(record) = self.existing_record_mut(key) else { return };
        let Some(current) = record.job.take() else { return };
        // The list of versions holds the same job: let go of it first, so that it is not copied without need.
        let listed = record.versions.first().is_some_and(|first| Arc::ptr_eq(first, &current));
        if listed {
            record.versions.remove(0);
        }
        let mut job = current;
        change(Arc::make_mut(&mut job));
        if listed {
            record.versions.insert(0, job.clone());
        }
        record.job = Some(job);
    }

    /// Counts a child of a job that came, went or changed its status.
    pub(crate) fn count_child(&mut self, parent: &JobKey, old: Option<JobStatus>, new: Option<JobStatus>) {
        let index = self.index;
        let Some(record) = self.existing_record_mut(parent) else { return };
        let Some(summary) = &mut record.summary else { return };
        let summary: &mut JobSummary = Arc::make_mut(summary);
        let children = summary.children.get_or_insert_default();
        if let Some(status) = old {
            let count = child_count(children, status);
            *count = (*count - 1).max(0);
        }
        if let Some(status) = new {
            *child_count(children, status) += 1;
        }
        summary.modify_index = index;
        self.touch(parent).summary = true;
    }
}

fn child_count(children: &mut JobChildrenSummary, status: JobStatus) -> &mut i64 {
    match status {
        JobStatus::Pending => &mut children.pending,
        JobStatus::Running => &mut children.running,
        JobStatus::Dead => &mut children.dead,
    }
}
