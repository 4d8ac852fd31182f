//! The clock: wall time in nanoseconds, of the system or set by hand.
//!
//! Waiting is tokio's business (`tokio::time`), which a simulation pauses by itself; this only answers "when is now".

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nomadd_model::{Duration, Time};

/// Tells the time; a clone shows the same.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The system's wall clock.
    pub fn system() -> Self {
        Self(None)
    }
    /// A clock that moves only by `set` and `advance`; it starts at 1 s after 1970.
    pub fn manual() -> Self {
        Self(Some(Arc::new(AtomicI64::new(1_000_000_000))))
    }
    /// Now.
    pub fn now(&self) -> Time {
        match &self.0 {
            Some(manual) => Time(manual.load(Ordering::SeqCst)),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
            }
        }
    }
    /// Sets a manual clock; the system's stays as it is.
    pub fn set(&self, time: Time) {
        if let Some(manual) = &self.0 {
            manual.store(time.0, Ordering::SeqCst);
        }
    }
    /// Moves a manual clock on; the system's stays as it is.
    pub fn advance(&self, span: Duration) {
        if let Some(manual) = &self.0 {
            manual.fetch_add(span.0, Ordering::SeqCst);
        }
    }
}
