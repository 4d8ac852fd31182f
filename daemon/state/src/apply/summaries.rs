//! Summaries of jobs: counts per group, kept as allocations and evaluations change.

use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::{Allocation, ClientStatus, Evaluation, Job, JobChildrenSummary, JobSummary, TaskGroupSummary, Text};

use super::Applier;
use crate::key::JobKey;
use crate::response::Response;
use crate::table::jobs::JobRecord;

/// The summary of a job that has no allocations yet.
pub(crate) fn fresh(job: &Job, index: u64) -> JobSummary {
    let launches = job.periodic.is_some() || job.parameterized_job.is_some();
    JobSummary {
        children: launches.then(JobChildrenSummary::default),
        create_index: job.create_index,
        job_id: job.id.clone(),
        modify_index: index,
        namespace: job.namespace.clone(),
        summary: job.task_groups.iter().map(|group| (group.name.clone(), TaskGroupSummary::default())).collect(),
    }
}

/// Adds groups that a new version of the job brings; counts of groups that are gone stay readable.
pub(crate) fn extend(summary: &mut JobSummary, job: &Job, index: u64) {
    for group in &job.task_groups {
        summary.summary.entry(group.name.clone()).or_default();
    }
    if summary.children.is_none() && (job.periodic.is_some() || job.parameterized_job.is_some()) {
        summary.children = Some(JobChildrenSummary::default());
    }
    summary.modify_index = index;
}

fn counter(group: &mut TaskGroupSummary, status: ClientStatus) -> &mut i64 {
    match status {
        ClientStatus::Pending => &mut group.starting,
        ClientStatus::Running => &mut group.running,
        ClientStatus::Complete => &mut group.complete,
        ClientStatus::Failed => &mut group.failed,
        ClientStatus::Lost => &mut group.lost,
        ClientStatus::Unknown => &mut group.unknown,
    }
}

/// Counts an allocation that came or changed; whether a count changed. One that is deleted stays counted.
pub(crate) fn count(record: &mut JobRecord, old: Option<&Allocation>, new: &Allocation, index: u64) -> bool {
    let status = old.map(|old| old.client_status);
    if status == Some(new.client_status) {
        return false;
    }
    let Some(summary) = &mut record.summary else { return false };
    if summary.create_index != new.job_create_index {
        return false;
    }
    let summary = Arc::make_mut(summary);
    let Some(group) = summary.summary.get_mut(&new.task_group) else { return false };
    *counter(group, new.client_status) += 1;
    match status {
        None => group.queued = (group.queued - 1).max(0),
        Some(ClientStatus::Failed | ClientStatus::Complete) => {}
        Some(status) => {
            let count = counter(group, status);
            *count = (*count - 1).max(0);
        }
    }
    summary.modify_index = index;
    true
}

impl Applier<'_> {
    /// Takes over how many allocations an evaluation could not place.
    pub(crate) fn count_queued(&mut self, key: &JobKey, evaluation: &Evaluation) {
        if evaluation.queued_allocations.is_empty() {
            return;
        }
        let index = self.index;
        let Some(record) = self.state.jobs.get(key) else { return };
        let Some(summary) = &record.summary else { return };
        let differs =
            |(group, queued): (&Text, &i64)| summary.summary.get(group).is_some_and(|counts| counts.queued != *queued);
        if !evaluation.queued_allocations.iter().any(differs) {
            return;
        }
        let Some(summary) = self.existing_record_mut(key).and_then(|record| record.summary.as_mut()) else { return };
        let summary = Arc::make_mut(summary);
        for (group, queued) in &evaluation.queued_allocations {
            if let Some(counts) = summary.summary.get_mut(group) {
                counts.queued = (*queued).max(0);
            }
        }
        summary.modify_index = index;
        self.touch(key).summary = true;
    }

    /// Counts every summary anew from what is there.
    pub(crate) fn summaries_reconcile(&mut self) -> Response {
        let keys: Vec<JobKey> = self.state.jobs.keys().cloned().collect();
        for key in keys {
            self.reconcile(&key);
        }
        self.ok()
    }

    fn reconcile(&mut self, key: &JobKey) {
        let Some(record) = self.state.jobs.get(key) else { return };
        let Some(job) = &record.job else { return };
        let mut summary = fresh(job, self.index);
        let mut counted: BTreeMap<Text, TaskGroupSummary> = BTreeMap::new();
        for allocation in self.state.allocations_by_job(&key.namespace, &key.id) {
            if allocation.job_create_index == job.create_index {
                *counter(counted.entry(allocation.task_group.clone()).or_default(), allocation.client_status) += 1;
            }
        }
        for (name, mut group) in counted {
            group.queued = record
                .summary
                .as_ref()
                .and_then(|summary| summary.summary.get(&name))
                .map_or(0, |counts| counts.queued);
            summary.summary.insert(name, group);
        }
        if let Some(children) = &mut summary.children {
            for child in self.state.children(&key.namespace, &key.id) {
                match child.status {
                    nomadd_model::JobStatus::Pending => children.pending += 1,
                    nomadd_model::JobStatus::Running => children.running += 1,
                    nomadd_model::JobStatus::Dead => children.dead += 1,
                }
            }
        }
        if let Some(record) = self.existing_record_mut(key) {
            record.summary = Some(Arc::new(summary));
        }
        self.touch(key).summary = true;
    }
}
