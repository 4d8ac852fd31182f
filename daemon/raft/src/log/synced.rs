//! Up to which entry the log is durable for certain: what this server may have acknowledged. Outlives the log, which is opened anew
//! after a failure of the disk; the room then looks whether all of it is still there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::LogId;

/// The last entry that was synced; a clone is the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Synced(Arc<Mutex<Option<LogId>>>);

impl Synced {
    fn lock(&self) -> MutexGuard<'_, Option<LogId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn get(&self) -> Option<LogId> {
        *self.lock()
    }
    /// The log ends here, and all of it is on the disk.
    pub(crate) fn set(&self, last: Option<LogId>) {
        *self.lock() = last;
    }
    /// What follows this entry is about to go: whether it is still there is not known until the disk has answered.
    pub(crate) fn lower(&self, last: Option<LogId>) {
        let mut synced = self.lock();
        *synced = (*synced).min(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::log_id;

    #[test]
    fn what_is_about_to_be_truncated_is_not_missed() {
        let synced = Synced::default();
        synced.set(Some(log_id(2, 9)));
        synced.lower(Some(log_id(1, 5)));
        assert_eq!(synced.get(), Some(log_id(1, 5)));
        synced.lower(Some(log_id(2, 7)));
        assert_eq!(synced.get(), Some(log_id(1, 5)), "lowered, never raised");
        synced.set(Some(log_id(3, 6)));
        assert_eq!(synced.clone().get(), Some(log_id(3, 6)));
    }
}
