//! Versions of a job: which are kept, which are stable, what they are called.

use std::sync::Arc;

use nomadd_model::Job;

use super::Applier;
use crate::command::{JobStability, JobVersionTagSet};
use crate::event::{EventKind, Subject};
use crate::key::JobKey;
use crate::response::{Refused, Response};
use crate::table::jobs::JobRecord;

/// How many versions are kept when a command does not say.
const TRACKED: usize = 6;

/// Makes a job the current version of its record and drops what is beyond the limit; `tracked` 0 keeps the limit
/// that the job had.
pub(crate) fn push(record: &mut JobRecord, job: Job, tracked: u64) {
    let job = Arc::new(job);
    record.versions.insert(0, job.clone());
    record.job = Some(job);
    if tracked > 0 {
        record.tracked_versions = tracked;
    }
    trim(record);
}

/// Drops the oldest untagged versions beyond the limit. When that would drop the newest stable one, the second oldest goes
/// instead, so that there is always something to go back to.
fn trim(record: &mut JobRecord) {
    let limit = match record.tracked_versions {
        0 => TRACKED,
        tracked => usize::try_from(tracked).unwrap_or(usize::MAX),
    };
    loop {
        let untagged: Vec<usize> =
            (0..record.versions.len()).filter(|at| record.versions[*at].version_tag.is_none()).collect();
        if untagged.len() <= limit {
            return;
        }
        let newest_stable = record.versions.iter().position(|job| job.stable);
        let mut oldest_first = untagged.into_iter().rev().filter(|at| *at > 0);
        let Some(oldest) = oldest_first.next() else { return };
        let victim = if newest_stable == Some(oldest) { oldest_first.next().unwrap_or(oldest) } else { oldest };
        forget(record, victim);
    }
}

/// Stops tracking a version; allocations that refer to it keep it readable.
fn forget(record: &mut JobRecord, at: usize) {
    let job = record.versions.remove(at);
    record.submissions.remove(&job.version);
    if let Some(pin) = record.pins.get_mut(&(job.create_index, job.version)) {
        pin.job = Some(job);
    }
}

/// Stops tracking every version (the job is purged).
pub(crate) fn forget_all(record: &mut JobRecord) {
    while !record.versions.is_empty() {
        forget(record, 0);
    }
}

/// Notes that an allocation refers to a version.
pub(crate) fn pin(record: &mut JobRecord, create_index: u64, version: u64) {
    pin_many(record, create_index, version, 1);
}

/// Notes that allocations refer to a version.
pub(crate) fn pin_many(record: &mut JobRecord, create_index: u64, version: u64, count: u32) {
    let pin = record.pins.entry((create_index, version)).or_default();
    pin.allocations = pin.allocations.saturating_add(count);
}

/// Notes that an allocation no longer refers to a version.
pub(crate) fn unpin(record: &mut JobRecord, create_index: u64, version: u64) {
    let Some(pin) = record.pins.get_mut(&(create_index, version)) else { return };
    pin.allocations = pin.allocations.saturating_sub(1);
    if pin.allocations == 0 {
        record.pins.remove(&(create_index, version));
    }
}

impl Applier<'_> {
    pub(crate) fn job_stability(&mut self, command: &JobStability) -> Response {
        let key = JobKey::new(&command.namespace, &command.id);
        if self.set_stable(&key, None, command.version, command.stable) {
            self.event(EventKind::JobRegistered, Subject::Job(key));
            return self.ok();
        }
        Response::Refused(Refused::VersionNotFound { job: command.id.clone(), version: command.version })
    }

    /// Marks a tracked version; whether there is such a version.
    pub(crate) fn set_stable(&mut self, key: &JobKey, create_index: Option<u64>, version: u64, stable: bool) -> bool {
        self.change_version(
            key,
            |job| job.version == version && create_index.is_none_or(|index| index == job.create_index),
            |job| job.stable = stable,
        )
    }

    pub(crate) fn job_version_tag(&mut self, command: JobVersionTagSet) -> Response {
        let JobVersionTagSet { namespace, id, version, tag, name } = command;
        let key = JobKey::new(&namespace, &id);
        let Some(record) = self.state.jobs.get(&key) else {
            return Response::Refused(Refused::NotFound { kind: "job".into(), id });
        };
        let holder = |name: &str| {
            record
                .versions
                .iter()
                .find(|job| job.version_tag.as_ref().is_some_and(|tag| tag.name == name))
                .map(|job| job.version)
        };
        let found = match tag {
            Some(mut tag) => {
                if holder(&tag.name).is_some_and(|holder| holder != version) {
                    return Response::Refused(Refused::TagTaken { job: id, name: tag.name.into() });
                }
                if tag.tagged_time == 0 {
                    tag.tagged_time = self.now.unix_nanos();
                }
                self.change_version(&key, |job| job.version == version, |job| job.version_tag = Some(tag))
            }
            None => {
                let Some(version) = holder(&name) else {
                    return Response::Refused(Refused::NotFound { kind: "version tag".into(), id: name });
                };
                let found = self.change_version(&key, |job| job.version == version, |job| job.version_tag = None);
                if let Some(record) = self.existing_record_mut(&key) {
                    trim(record);
                }
                found
            }
        };
        if found { self.ok() } else { Response::Refused(Refused::VersionNotFound { job: id, version }) }
    }

    /// Changes a tracked version; whether there is one.
    fn change_version(&mut self, key: &JobKey, which: impl Fn(&Job) -> bool, change: impl FnOnce(&mut Job)) -> bool {
        let index = self.index;
        let Some(record) = self.existing_record_mut(key) else { return false };
        let Some(at) = record.versions.iter().position(|job| which(job)) else { return false };
        if at == 0 {
            // The current version stands in the list and as the job.
            self.change_current(key, |job| {
                change(job);
                job.modify_index = index;
            });
        } else {
            let job = Arc::make_mut(&mut record.versions[at]);
            change(job);
            job.modify_index = index;
        }
        self.touch(key).job = true;
        true
    }
}
