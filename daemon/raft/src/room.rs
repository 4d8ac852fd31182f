//! The thread behind the handle: starts openraft over log and state machine, watches over it, and starts it again from the
//! disk when the log could not be written. `room/start.rs` starts and stops, `room/lead.rs` tells who leads, `room/compact.rs` writes
//! snapshots and restores them.
//!
//! Everything of openraft runs on this one thread with a runtime of its own, apart from the server's load; blocking work is on
//! the log's writer thread, the apply thread, and for snapshots on threads of their own.

mod compact;
mod lead;
mod start;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nomadd_state::State;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::config::Config;
use crate::error::{OpenError, ProposeError, SnapshotError};
use crate::folder::Folder;
use crate::handle::Recovered;
use crate::log::{Synced, Writer};
use crate::machine::Machine;
use crate::shared::{Core, Shared};

/// How often a leader looks whether it still hears a majority.
const LOOK: Duration = Duration::from_millis(250);

/// What the handle asks of the room.
#[derive(Debug)]
pub(crate) enum Order {
    Restore { state: Box<State>, done: oneshot::Sender<Result<u64, SnapshotError>> },
    Snapshot { done: oneshot::Sender<Result<u64, SnapshotError>> },
    Stop { done: oneshot::Sender<()> },
}

/// The room.
pub(crate) struct Room {
    pub(crate) config: Config,
    pub(crate) folder: Folder,
    pub(crate) shared: Arc<Shared>,
    pub(crate) machine: Machine,
    pub(crate) orders: mpsc::Receiver<Order>,
    /// Entry bytes of the log when the newest snapshot was made.
    marked: u64,
    compacting: Arc<AtomicBool>,
    /// What of the log is durable for certain.
    synced: Synced,
    /// Whether this server was seen among the servers of the cluster.
    member: bool,
    /// Whether the operator has just said who the servers are.
    recovered: bool,
}

struct Running {
    core: Arc<Core>,
    writer: Writer,
    /// Ends when openraft has let go of the state machine.
    applying: mpsc::Receiver<()>,
}

impl Room {
    pub(crate) fn new(
        config: Config,
        folder: Folder,
        shared: Arc<Shared>,
        machine: Machine,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        Self {
            config,
            folder,
            shared,
            machine,
            orders,
            marked: 0,
            compacting: Arc::default(),
            synced: Synced::default(),
            member: false,
            recovered: false,
        }
    }

    /// Runs until it is told to stop, or nobody holds the handle any more.
    pub(crate) async fn run(mut self, ready: oneshot::Sender<Result<Recovered, OpenError>>) {
        let mut running = match self.start(true).await {
            Ok((running, recovered)) => {
                if ready.send(Ok(recovered)).is_err() {
                    return self.stop(running).await;
                }
                Some(running)
            }
            Err(error) => {
                // The folder is free before anybody hears of it.
                drop(self);
                return drop(ready.send(Err(error)));
            }
        };
        let mut wait = Backoff::default();
        loop {
            let order = match &running {
                Some(up) => self.watch_over(up).await,
                None => match tokio::time::timeout(wait.next(&self.config), self.orders.recv()).await {
                    Ok(order) => Event::Order(order),
                    Err(_) => Event::Retry,
                },
            };
            match order {
                Event::Order(None) => {
                    if let Some(up) = running.take() {
                        self.stop(up).await;
                    }
                    return;
                }
                Event::Order(Some(Order::Stop { done })) => {
                    if let Some(up) = &running {
                        self.hand_over(&up.core).await;
                    }
                    self.shared.trouble.store(Arc::new(ProposeError::Stopped));
                    if let Some(up) = running.take() {
                        self.stop(up).await;
                    }
                    self.shared.published.watchers.wake_all();
                    drop(self);
                    let _gone = done.send(());
                    return;
                }
                Event::Order(Some(Order::Snapshot { done })) => {
                    let made = self.snapshot().await;
                    if let (Ok(_), Some(up)) = (&made, &running) {
                        self.compacted(&up.core).await;
                    }
                    let _gone = done.send(made);
                }
                Event::Order(Some(Order::Restore { state, done })) => {
                    let _gone = match running.take() {
                        Some(up) => {
                            let (result, up) = self.restore(up, *state).await;
                            running = up;
                            done.send(result)
                        }
                        None => {
                            done.send(Err(SnapshotError::Refused(ProposeError::clone(&self.shared.trouble.load()))))
                        }
                    };
                }
                Event::Failed(reason) => {
                    tracing::error!(%reason, "the log cannot be written: starting again from the disk");
                    if let Some(up) = running.take() {
                        self.fail(reason);
                        self.stop(up).await;
                    }
                    wait = Backoff::default();
                }
                Event::Retry => {
                    if self.shared.published.halted.get().is_some() {
                        continue;
                    }
                    match self.start(false).await {
                        Ok((up, _)) => {
                            tracing::info!("the log can be written again");
                            self.shared.restarts.fetch_add(1, Ordering::Relaxed);
                            running = Some(up);
                            wait = Backoff::default();
                        }
                        Err(error) => {
                            tracing::error!(
                                error = &error as &dyn std::error::Error,
                                "cannot start again from the disk"
                            );
                            self.fail(chain(&error).into());
                        }
                    }
                }
            }
        }
    }

    /// Writes are refused with this reason from now on.
    fn fail(&self, reason: Arc<str>) {
        self.shared.trouble.store(Arc::new(ProposeError::Storage { reason }));
        self.shared.core.store(None);
    }

    /// Waits for the next thing that concerns the room.
    async fn watch_over(&mut self, up: &Running) -> Event {
        let mut failed = up.core.log.failed();
        let mut metrics = up.core.raft.server_metrics();
        let mut applied = self.shared.published.index.subscribe();
        let mut look = Instant::now() + self.interval();
        loop {
            // Leading counts once all of earlier terms is applied.
            let (waits, several) = self.lead(&up.core);
            tokio::select! {
                order = self.orders.recv() => return Event::Order(order),
                reason = broken(&mut failed) => return Event::Failed(reason),
                changed = metrics.changed() => if changed.is_err() {
                    let reason = match self.shared.published.halted.get() {
                        Some(reason) => Arc::clone(reason),
                        None => "the consensus has ended".into(),
                    };
                    return Event::Failed(reason);
                },
                _ = applied.changed(), if waits => {}
                () = tokio::time::sleep(LOOK), if several => {}
                () = tokio::time::sleep_until(look) => {
                    look = Instant::now() + self.interval();
                    let since = self.shared.snapshots.newest().map_or(0, |file| file.index());
                    if self.shared.published.index.borrow().saturating_sub(since) >= self.config.limits.snapshot_threshold {
                        self.compact(&up.core);
                    }
                }
                () = self.shared.grown.notified() => {
                    let size = self.shared.snapshots.newest().map_or(0, |file| file.size);
                    let limit = self.config.limits.snapshot_bytes.max(size.saturating_mul(2));
                    if up.core.log.appended().saturating_sub(self.marked) >= limit {
                        self.marked = up.core.log.appended();
                        self.compact(&up.core);
                    }
                }
            }
        }
    }

    fn interval(&self) -> Duration {
        let interval = self.config.limits.snapshot_interval;
        interval + self.config.runtime.seeds.jitter(interval / 8)
    }
}

/// Resolves with the reason once the log is broken, also when it was before.
async fn broken(failed: &mut watch::Receiver<Option<Arc<str>>>) -> Arc<str> {
    let reason = failed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    reason.unwrap_or_else(|| "the writer has ended".into())
}

enum Event {
    Order(Option<Order>),
    Failed(Arc<str>),
    Retry,
}

/// How long to wait before the next start: 100 ms, doubled up to 5 s, with jitter.
#[derive(Default)]
struct Backoff(u32);

impl Backoff {
    fn next(&mut self, config: &Config) -> Duration {
        let wait = Duration::from_millis(100 << self.0.min(6)).min(Duration::from_secs(5));
        self.0 += 1;
        wait + config.runtime.seeds.jitter(wait / 4)
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
