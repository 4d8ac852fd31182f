//! The pool for computations and blocking work: scheduling, hashing, files. Bounded, never on the reactor.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Runs computations beside the reactor; a clone shares the bound.
#[derive(Clone, Debug)]
pub struct Pool(Option<Arc<Semaphore>>);

/// The computation panicked or the process is going down.
#[derive(Debug, thiserror::Error)]
#[error("the computation did not finish: it panicked, or the agent is shutting down")]
pub struct Unfinished;

impl Pool {
    /// At most `most` computations at a time.
    pub fn threads(most: usize) -> Self {
        Self(Some(Arc::new(Semaphore::new(most.max(1)))))
    }
    /// Work is done where it is asked for (simulation).
    pub fn inline() -> Self {
        Self(None)
    }
    /// Whether work is done where it is asked for.
    pub fn is_inline(&self) -> bool {
        self.0.is_none()
    }
    /// Runs `work` and returns what it made. Waits for a free place first.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Unfinished> {
        let Some(semaphore) = &self.0 else { return Ok(work()) };
        let permit = Arc::clone(semaphore).acquire_owned().await.map_err(|_| Unfinished)?;
        let joined = tokio::task::spawn_blocking(move || {
            let made = work();
            drop(permit);
            made
        });
        joined.await.map_err(|_| Unfinished)
    }
}
