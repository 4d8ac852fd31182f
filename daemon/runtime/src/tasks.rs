//! The registry of long-lived tasks: every one has a kind, and its kind says what its end means.
//!
//! Nobody calls `tokio::spawn`; whoever needs a task of its own asks here, and shutdown cancels and waits for all.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKind {
    /// The listener of the HTTP API.
    HttpListener,
    /// One connection of the HTTP API.
    HttpConnection,
    /// The listener for other agents.
    RpcListener,
    /// One connection with another agent, dialled or accepted.
    RpcConnection,
    /// One call, subscription or tunnel of such a connection.
    RpcStream,
    /// The raft room's own tasks.
    Raft,
    /// Everything that only the leader does.
    LeaderDuty,
    /// A scheduling worker.
    Worker,
    /// The plan applier.
    PlanApplier,
    /// The client's stream with a server.
    ClientStream,
    /// The client's loop.
    ClientLoop,
    /// An allocation's runner.
    AllocationRunner,
    /// A task's runner.
    TaskRunner,
    /// Watches a process that a task runs.
    Supervision,
    /// Serves a request beside its connection (streams, exec).
    Request,
    /// Membership: the loop, its listener and what is asked of other members.
    Gossip,
    /// Housekeeping that may end at any time.
    Background,
}

/// What it means that a task ended without being told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Ordinary.
    Fine,
    /// The agent cannot go on: it shuts down with an error.
    Fatal,
}

impl TaskKind {
    /// What the end of such a task means.
    pub const fn end(self) -> End {
        match self {
            Self::HttpListener | Self::RpcListener | Self::Raft | Self::PlanApplier | Self::ClientLoop => End::Fatal,
            _ => End::Fine,
        }
    }
}

/// The registry; a clone is the same registry, `child` one that can be cancelled by itself.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
    fatal: CancellationToken,
    running: Arc<Mutex<BTreeMap<TaskKind, usize>>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// An empty registry.
    pub fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            token: CancellationToken::new(),
            fatal: CancellationToken::new(),
            running: Arc::default(),
        }
    }

    /// A part of this registry that can be cancelled without the rest (leader duties, one allocation).
    pub fn child(&self) -> Self {
        Self {
            tracker: TaskTracker::new(),
            token: self.token.child_token(),
            fatal: self.fatal.clone(),
            running: Arc::clone(&self.running),
        }
    }

    /// Starts a task. It is dropped at its next await when the registry is cancelled.
    pub fn spawn<F>(&self, kind: TaskKind, future: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (token, fatal, running) = (self.token.clone(), self.fatal.clone(), Counted::new(kind, &self.running));
        self.tracker.spawn(async move {
            let _running = running;
            let guard = OnPanic { kind, fatal: fatal.clone() };
            let output = token.run_until_cancelled(future).await;
            std::mem::forget(guard);
            if output.is_some() && kind.end() == End::Fatal {
                tracing::error!(?kind, "a task that the agent needs has ended");
                fatal.cancel();
            }
            output
        })
    }

    /// Resolves when the registry is cancelled: the signal to stop in order.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }
    /// Whether it is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }
    /// Resolves when a task ended without which the agent cannot go on.
    pub async fn failed(&self) {
        self.fatal.cancelled().await;
    }
    /// Says that the agent cannot go on.
    pub fn fail(&self) {
        self.fatal.cancel();
    }
    /// Cancels every task and waits until all have ended.
    pub async fn shutdown(&self) {
        self.token.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
    /// Cancels every task without waiting.
    pub fn cancel(&self) {
        self.token.cancel();
    }
    /// How many tasks of each kind run.
    pub fn running(&self) -> BTreeMap<TaskKind, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Counted(TaskKind, Arc<Mutex<BTreeMap<TaskKind, usize>>>);

impl Counted {
    fn new(kind: TaskKind, running: &Arc<Mutex<BTreeMap<TaskKind, usize>>>) -> Self {
        *running.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
        Self(kind, Arc::clone(running))
    }
}
impl Drop for Counted {
    fn drop(&mut self) {
        let mut running = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.0);
            }
        }
    }
}

/// A panic of a task that the agent needs is its end, too.
struct OnPanic {
    kind: TaskKind,
    fatal: CancellationToken,
}
impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() && self.kind.end() == End::Fatal {
            self.fatal.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_ends_every_task_and_counts_to_zero() {
        let tasks = Tasks::new();
        tasks.spawn(TaskKind::Background, std::future::pending::<()>());
        let child = tasks.child();
        child.spawn(TaskKind::LeaderDuty, std::future::pending::<()>());
        assert_eq!(tasks.running().len(), 2);
        child.shutdown().await;
        assert_eq!(tasks.running().len(), 1);
        tasks.shutdown().await;
        assert!(tasks.running().is_empty());
    }

    #[tokio::test]
    async fn the_end_of_a_needed_task_fails_the_agent() {
        let tasks = Tasks::new();
        tasks.spawn(TaskKind::Background, async {});
        tasks.spawn(TaskKind::PlanApplier, async {});
        tasks.failed().await;
    }
}
