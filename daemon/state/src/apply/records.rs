//! Access to the record of a job, made when it is absent.

use std::sync::Arc;

use imbl::ordmap::Entry;

use super::Applier;
use crate::key::JobKey;
use crate::table::jobs::JobRecord;

impl Applier<'_> {
    /// The record of a name, to be changed.
    pub(crate) fn record_mut(&mut self, key: &JobKey) -> &mut JobRecord {
        let number = &mut self.state.next_number;
        match self.state.jobs.entry(key.clone()) {
            Entry::Occupied(entry) => Arc::make_mut(entry.into_mut()),
            Entry::Vacant(entry) => {
                let record = JobRecord { number: *number, ..JobRecord::default() };
                *number += 1;
                Arc::make_mut(entry.insert(Arc::new(record)))
            }
        }
    }

    /// The record of a name, to be changed, if there is one.
    pub(crate) fn existing_record_mut(&mut self, key: &JobKey) -> Option<&mut JobRecord> {
        self.state.jobs.get_mut(key).map(Arc::make_mut)
    }
}
