//! Jobs: one record per name, with versions, summary, submissions, scaling events and the counts that make its status.
//!
//! A record outlives its job while allocations, evaluations or deployments of that name are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::{Allocation, Job, JobSubmission, JobSummary, ScalingEvent, Text};

use crate::key::{JobKey, Pair};
use crate::state::State;

/// What is kept under the name of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobRecord {
    /// What indexes call it.
    pub(crate) number: u64,
    pub(crate) job: Option<Arc<Job>>,
    /// Tracked and tagged versions, newest first; the first is `job`.
    pub(crate) versions: Vec<Arc<Job>>,
    /// By create index and version: how many allocations refer to it, and its text once it is no longer tracked.
    pub(crate) pins: BTreeMap<(u64, u64), Pin>,
    pub(crate) summary: Option<Arc<JobSummary>>,
    pub(crate) submissions: BTreeMap<u64, Arc<JobSubmission>>,
    pub(crate) scaling: BTreeMap<Text, Arc<Vec<ScalingEvent>>>,
    pub(crate) allocations: u32,
    /// Neither stopped by servers nor done by the client's word.
    pub(crate) live_allocations: u32,
    pub(crate) evaluations: u32,
    pub(crate) live_evaluations: u32,
    pub(crate) blocked_evaluations: u32,
    pub(crate) deployments: u32,
    pub(crate) active_deployments: u32,
    /// Since the job was created it had an evaluation or allocation, perhaps deleted by now.
    pub(crate) has_history: bool,
    /// How many versions are kept; 0: the usual number.
    pub(crate) tracked_versions: u64,
    /// When a plan last changed its allocations; a plan that has not seen that is stale.
    pub(crate) last_plan_index: u64,
}

/// A version that allocations refer to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pin {
    pub(crate) allocations: u32,
    /// Absent while the version is tracked.
    pub(crate) job: Option<Arc<Job>>,
}

impl JobRecord {
    /// The version of the job that was created at an index.
    pub(crate) fn version_of(&self, create_index: u64, version: u64) -> Option<&Arc<Job>> {
        let tracked = self.versions.iter().find(|job| job.version == version && job.create_index == create_index);
        tracked.or_else(|| self.pins.get(&(create_index, version)).and_then(|pin| pin.job.as_ref()))
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.job.is_none() && self.allocations == 0 && self.evaluations == 0 && self.deployments == 0
    }
}

impl State {
    pub(crate) fn record(&self, namespace: &str, id: &str) -> Option<&Arc<JobRecord>> {
        self.jobs.get(&Pair(namespace, id))
    }
    fn records_from(&self, namespace: &str, prefix: &str) -> impl Iterator<Item = (&JobKey, &Arc<JobRecord>)> {
        self.jobs.range::<_, JobKey>(JobKey { namespace: namespace.into(), id: prefix.into() }..)
    }

    /// A job in its current version.
    pub fn job(&self, namespace: &str, id: &str) -> Option<&Arc<Job>> {
        self.record(namespace, id)?.job.as_ref()
    }
    /// All jobs by namespace and id.
    pub fn jobs(&self) -> impl DoubleEndedIterator<Item = &Arc<Job>> {
        self.jobs.values().filter_map(|record| record.job.as_ref())
    }
    /// The jobs of a namespace by id.
    pub fn jobs_in(&self, namespace: &str) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs_by_prefix(namespace, "")
    }
    /// The jobs of a namespace whose id begins with a text, by id.
    pub fn jobs_by_prefix(&self, namespace: &str, prefix: &str) -> impl Iterator<Item = &Arc<Job>> {
        self.records_from(namespace, prefix)
            .take_while(move |(key, _)| key.namespace == *namespace && key.id.starts_with(prefix))
            .filter_map(|(_, record)| record.job.as_ref())
    }
    /// How many jobs there are.
    pub fn job_count(&self) -> usize {
        self.jobs().count()
    }
    /// A version of a job: tracked, tagged, or referred to by an allocation. After a purge the newest job of that name
    /// comes first.
    pub fn job_version(&self, namespace: &str, id: &str, version: u64) -> Option<&Arc<Job>> {
        let record = self.record(namespace, id)?;
        let tracked = record.versions.iter().find(|job| job.version == version);
        tracked.or_else(|| {
            record.pins.iter().rev().find(|((_, pinned), _)| *pinned == version).and_then(|(_, pin)| pin.job.as_ref())
        })
    }
    /// The job as an allocation was made from it.
    pub fn job_of(&self, allocation: &Allocation) -> Option<&Arc<Job>> {
        self.record(&allocation.namespace, &allocation.job_id)?
            .version_of(allocation.job_create_index, allocation.job_version)
    }
    /// The tracked and tagged versions of a job, newest first.
    pub fn job_versions(&self, namespace: &str, id: &str) -> impl Iterator<Item = &Arc<Job>> {
        self.record(namespace, id).into_iter().flat_map(|record| record.versions.iter())
    }
    /// The counts of a job's allocations.
    pub fn job_summary(&self, namespace: &str, id: &str) -> Option<&Arc<JobSummary>> {
        self.record(namespace, id)?.summary.as_ref()
    }
    /// The job file of a version as it was sent.
    pub fn job_submission(&self, namespace: &str, id: &str, version: u64) -> Option<&Arc<JobSubmission>> {
        self.record(namespace, id)?.submissions.get(&version)
    }
    /// The scaling events of a job, by group, newest first.
    pub fn scaling_events(&self, namespace: &str, id: &str) -> impl Iterator<Item = (&Text, &Arc<Vec<ScalingEvent>>)> {
        self.record(namespace, id).into_iter().flat_map(|record| record.scaling.iter())
    }
    /// The jobs that a periodic or parameterized job has launched, by id.
    pub fn children(&self, namespace: &str, parent: &str) -> impl Iterator<Item = &Arc<Job>> {
        let parent = JobKey { namespace: namespace.into(), id: parent.into() };
        let from = (parent.clone(), JobKey::default());
        self.children
            .range::<_, (JobKey, JobKey)>(from..)
            .take_while(move |(of, _)| *of == parent)
            .filter_map(|(_, child)| self.jobs.get(child)?.job.as_ref())
    }
}
