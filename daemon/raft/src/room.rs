//! The thread behind the handle: starts openraft over log and state machine, watches over it, and starts it again from the
//! disk when the log could not be written. Snapshots and restores are ordered here.
//!
//! Everything of openraft runs on this one thread with a runtime of its own, apart from the server's load; blocking work is on
//! the log's writer thread, the apply thread, and for snapshots on threads of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nomadd_runtime::TaskKind;
use nomadd_state::{Command, State};
use openraft::async_runtime::WatchReceiver as _;
use openraft::{Instant as _, ServerState, SnapshotPolicy};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::config::{Bootstrap, Config};
use crate::error::{OpenError, ProposeError, SnapshotError};
use crate::folder::Folder;
use crate::handle::{Leadership, Recovered};
use crate::log::{Log, Opened, Writer};
use crate::machine::{Applied, Machine};
use crate::membership::only_voter;
use crate::network::Network;
use crate::recovery::{self, News, Override};
use crate::shared::{Consensus, Core, Shared, blocking};
use crate::snapshots::Snapshots;
use crate::types::log_id;
use crate::wire::Why;

/// A single voter becomes leader within a few disk writes; longer means that something is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many entries are applied at a time before openraft runs.
const REPLAY: u64 = 1024;

/// A leader that has not heard a majority for so long no longer says that it leads.
const ALONE: Duration = Duration::from_secs(3);
/// How often a leader looks whether it still hears a majority.
const LOOK: Duration = Duration::from_millis(250);
/// How long a graceful stop waits for another server to lead.
const HAND_OVER: Duration = Duration::from_millis(200);

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
    /// Whether this server was seen among the servers of the cluster.
    member: bool,
    /// Whether the operator has just said who the servers are.
    recovered: bool,
}

struct Running {
    core: Arc<Core>,
    writer: Writer,
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

    async fn stop(&self, mut running: Running) {
        self.shared.core.store(None);
        if running.core.raft.shutdown().await.is_err() {
            tracing::error!("the consensus ended with a panic");
        }
        running.writer.close();
        self.shared.leadership.send_modify(|leadership| {
            *leadership = Leadership { leading: false, leader: None, ..leadership.clone() };
        });
    }

    /// Opens the log and starts openraft over it; a single voter leads when this returns.
    async fn start(&mut self, first: bool) -> Result<(Running, Recovered), OpenError> {
        let published = Arc::clone(&self.shared.published);
        let salt = self.config.runtime.seeds.seed() as u32;
        let before = published.count();
        let grown = (Arc::clone(&self.shared.grown), self.config.limits.snapshot_bytes.max(1));
        let disk = Arc::clone(&self.config.disk);
        let (log, writer, mut opened) = Log::open(
            disk,
            &self.folder.log,
            (salt, self.config.limits.segment),
            Arc::clone(&published),
            grown,
            self.config.runtime.pool.is_inline(),
        )?;
        self.check(&opened, first)?;
        log.keep_after(self.shared.snapshots.oldest_index());
        let last = opened.last.max(published.applied.load().last).map(|id| id.index);
        let known = match opened.memberships.last() {
            Some(stored) => stored.membership().clone(),
            None => published.applied.load().membership.membership().clone(),
        };
        if let Some((recovered, news)) = recovery::recover(&*self.config.disk, &self.folder, last, &known)? {
            opened.memberships = opened.memberships.into_iter().map(|stored| recovered.stored(stored)).collect();
            if news == News::New {
                self.recover(&recovered).await?;
            }
            log.override_members(recovered);
        }
        let membership = match opened.memberships.last() {
            Some(stored) => stored.membership().clone(),
            None => published.applied.load().membership.membership().clone(),
        };
        let fresh = opened.fresh && before == 0;
        let alone = fresh && self.config.bootstrap == Bootstrap::Alone;
        if fresh && self.folder.was_member() {
            if alone {
                return Err(OpenError::Emptied { path: self.folder.path().to_owned() });
            }
            let text = format!(
                "the log in {} is empty, but this server ({}) was a member of a cluster: its disk was lost; remove it from the cluster (operator raft remove-peer {}), clear the folder, and let it join as a new server",
                self.folder.path().display(),
                self.shared.me.name,
                self.shared.id
            );
            self.shared.refuse(Why::Lost, &text);
        }
        let single = alone || only_voter(&membership, self.shared.id);
        let halted = |error: String| match published.halted.get() {
            Some(reason) => OpenError::Halted(Arc::clone(reason)),
            None => OpenError::Start(error),
        };
        if single {
            // What is in the log of the only voter is committed.
            log.commit_all();
        }
        // openraft would apply it in small steps.
        let end = log.committed();
        while published.count() < end {
            let start = published.count();
            let entries = log.entries(start..end.min(start + REPLAY)).map_err(|error| halted(error.to_string()))?;
            if entries.is_empty() {
                return Err(OpenError::Start(format!("log entry {start} is not there")));
            }
            self.machine.replay(entries).await.map_err(|error| halted(error.to_string()))?;
        }
        let config = Arc::new(self.consensus_config(single)?);
        let network = Network(Arc::clone(&self.shared));
        let built = Consensus::build(self.shared.id, config, network, log.clone(), self.machine.clone()).await;
        let raft = built.map_err(|error| halted(error.to_string()))?;
        raft.runtime_config().elect(self.shared.refusal().is_none());
        raft.run();
        if alone {
            let servers = BTreeMap::from([(self.shared.id, self.config.server.clone())]);
            raft.initialize(servers).await.map_err(|error| halted(error.to_string()))?;
        } else if single {
            raft.trigger().elect(false).await.map_err(|error| halted(error.to_string()))?;
        }
        if single {
            let wait = raft.wait(Some(PATIENCE));
            let leads = wait.metrics(
                |metrics| {
                    metrics.running_state.is_err()
                        || metrics.state == ServerState::Leader
                            && metrics.last_applied.is_some_and(|id| id.leader_id.term == metrics.current_term)
                },
                "the only voter leads",
            );
            let metrics = leads.await.map_err(|_| OpenError::NoLeader { seconds: PATIENCE.as_secs() })?;
            metrics.running_state.map_err(|error| halted(error.to_string()))?;
        }
        let core = Arc::new(Core { raft, log });
        self.marked = 0;
        let recovered = Recovered {
            index: *published.index.borrow(),
            snapshot_index: self.shared.snapshots.newest().map(|file| file.index()),
            replayed: published.count() - before,
            torn: opened.torn,
        };
        self.shared.core.store(Some(Arc::clone(&core)));
        self.shared.elect_only_if_wanted();
        self.lead(&core);
        Ok((Running { core, writer }, recovered))
    }

    /// The operator has said who the servers are: the snapshot says so, too, and then the operator's file goes.
    async fn recover(&mut self, recovered: &Override) -> Result<(), OpenError> {
        let before = self.shared.published.applied.load_full();
        if before.last.is_some() {
            let applied =
                Applied { membership: recovered.stored(before.membership.clone()), ..Applied::clone(&before) };
            let (snapshots, written, now) =
                (Arc::clone(&self.shared.snapshots), applied.clone(), self.config.runtime.clock.now());
            let written = self.shared.blocking(move || snapshots.rewrite(&written, now)).await;
            let failed = |error: String| OpenError::Start(format!("the snapshot cannot be written anew: {error}"));
            written.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(chain(&error)))?;
            self.machine.install(applied).await.map_err(|error| failed(error.to_string()))?;
        }
        recovery::done(&*self.config.disk, &self.folder)?;
        tracing::warn!("the servers of the cluster are from now on those of peers.json");
        self.recovered = true;
        Ok(())
    }

    /// Whether the log on the disk fits what is applied already.
    fn check(&self, opened: &Opened, first: bool) -> Result<(), OpenError> {
        let applied = self.shared.published.applied.load();
        let newest = self.shared.snapshots.newest().and_then(|file| file.meta.last_log_id);
        if opened.previous.is_some_and(|previous| Some(previous) > applied.last) {
            return Err(OpenError::Gap {
                path: self.folder.snapshots.clone(),
                first: opened.previous.map_or(0, |id| id.index + 1),
                index: applied.last.map_or(0, |id| id.index),
            });
        }
        if !first && opened.last < applied.last && newest < applied.last {
            let index = |id: Option<crate::types::LogId>| id.map_or(0, |id| id.index);
            return Err(OpenError::Lost { found: index(opened.last), applied: index(applied.last) });
        }
        Ok(())
    }

    fn consensus_config(&self, single: bool) -> Result<openraft::Config, OpenError> {
        let config = openraft::Config {
            cluster_name: "nomadd".to_owned(),
            election_timeout_min: milliseconds(self.config.pace.election.start),
            election_timeout_max: milliseconds(self.config.pace.election.end),
            heartbeat_interval: milliseconds(self.config.pace.heartbeat),
            // The log reader bounds the bytes.
            max_payload_entries: 4096,
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.config.limits.trailing_logs,
            enable_pre_vote: Some(true),
            // A leader that comes back has lost what it had not synced, so it must not go on in the same term.
            enable_leader_restore: Some(false),
            // A follower that really lost what it had acknowledged is found by `network` and put out. What gets past it is an
            // answer that was overtaken by a newer one: the leader looks again instead of failing.
            allow_log_reversion: Some(true),
            // One voter needs no heartbeats and no election timer: it never wakes without work.
            enable_tick: !single,
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| OpenError::Start(error.to_string()))
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

    /// Publishes who leads and who the servers are; whether it must be looked at again when more is applied, and whether from
    /// time to time.
    fn lead(&mut self, core: &Core) -> (bool, bool) {
        let metrics = core.raft.metrics().borrow_watched().clone();
        let leads = metrics.state == ServerState::Leader;
        let term = metrics.vote.leader_id.term;
        let applied = self.shared.published.applied.load().last.is_some_and(|id| id.leader_id.term == term);
        self.members(core, &metrics, leads);
        if leads && applied && self.recovered {
            self.recovered = false;
            // An entry of its own says so to everybody, those too that were left out.
            let raft = core.raft.clone();
            let all = metrics.membership_config.membership().nodes().map(|(id, server)| (*id, server.clone()));
            let all = openraft::ChangeMembers::SetNodes(all.collect());
            self.config.runtime.tasks.spawn(TaskKind::Background, async move {
                if let Err(error) = raft.change_membership(all, true).await {
                    tracing::warn!(%error, "the recovered servers were not written to the log once more");
                }
            });
        }
        let several = leads && metrics.membership_config.voter_ids().nth(1).is_some();
        let heard = !several || metrics.last_quorum_acked.is_some_and(|at| at.into_inner().elapsed() < ALONE);
        let now = Leadership { term, leader: metrics.current_leader, leading: leads && applied && heard };
        self.shared.leadership.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                *before = now;
            }
            changed
        });
        (leads && !applied, several)
    }

    /// Takes note of the servers of the cluster.
    fn members(&mut self, core: &Core, metrics: &openraft::RaftMetrics<crate::types::Types>, leads: bool) {
        let newest = &metrics.membership_config;
        let at = newest.log_id().map_or(0, |id| id.index);
        let servers: BTreeMap<_, _> = newest.membership().nodes().map(|(id, server)| (*id, server.clone())).collect();
        // A server that is alone and leads never wakes without work.
        core.raft.runtime_config().tick(!(leads && servers.len() == 1));
        if !self.folder.was_member()
            && !core.log.is_empty()
            && core.log.last().is_some()
            && let Err(error) = self.folder.mark_member(&*self.config.disk)
        {
            tracing::warn!(%error, "cannot note that this server is a member");
        }
        let id = self.shared.id;
        if servers.contains_key(&id) {
            self.member = true;
        } else if self.member && !servers.is_empty() && metrics.committed_membership_config.log_id() == newest.log_id()
        {
            let text = format!(
                "this server ({}, {id}) was removed from the cluster with log entry {at}: clear its raft folder and let it join as a new server, or stop it",
                self.shared.me.name
            );
            self.member = false;
            self.shared.refuse(Why::Removed, &text);
        }
        self.shared.membership.store(at, Ordering::Relaxed);
        if **self.shared.servers.load() != servers {
            self.shared.servers.store(Arc::new(servers));
        }
    }

    /// Lets another server lead before this one stops.
    async fn hand_over(&self, core: &Core) {
        let metrics = core.raft.metrics().borrow_watched().clone();
        if metrics.state != ServerState::Leader {
            return;
        }
        let Some(to) = crate::members::successor(&metrics, self.shared.id) else { return };
        if core.raft.trigger().transfer_leader(to).await.is_err() {
            return;
        }
        let wait = core.raft.wait(Some(HAND_OVER));
        let moved = wait.metrics(
            |metrics| metrics.state != ServerState::Leader && metrics.current_leader.is_some_and(|id| id != metrics.id),
            "another server leads",
        );
        if moved.await.is_err() {
            tracing::warn!("no other server took over the leadership in time: one will when it misses this one");
        }
    }

    /// Writes a snapshot beside the work and lets openraft drop what it covers.
    fn compact(&self, core: &Arc<Core>) {
        // Half a restore is in no snapshot: those after it begin from one before it.
        if self.shared.published.restoring.load(Ordering::SeqCst) || self.compacting.swap(true, Ordering::SeqCst) {
            return;
        }
        // A snapshot that fills the disk would stop the log, too: better a longer log.
        let needed = self.shared.snapshots.newest().map_or(0, |file| file.size).saturating_mul(2) + (16 << 20);
        if self.config.disk.free(&self.folder.snapshots).is_ok_and(|free| free < needed) {
            tracing::warn!(needed, "too little free space for a snapshot: the log is kept instead");
            self.compacting.store(false, Ordering::SeqCst);
            return;
        }
        let (core, compacting) = (Arc::clone(core), Arc::clone(&self.compacting));
        let (snapshots, applied) = (Arc::clone(&self.shared.snapshots), self.shared.published.applied.load_full());
        let now = self.config.runtime.clock.now();
        let inline = self.config.runtime.pool.is_inline();
        self.config.runtime.tasks.spawn(TaskKind::Background, async move {
            let kept = Arc::clone(&snapshots);
            match blocking(inline, move || snapshots.write(&applied, now)).await {
                Ok(Ok(file)) => {
                    tracing::debug!(index = file.index(), bytes = file.size, "snapshot written");
                    covered(&core, &kept).await;
                }
                // The log stays as long as it is; the next look tries again.
                Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "cannot write a snapshot"),
                Err(error) => tracing::error!(%error, "writing a snapshot failed"),
            }
            compacting.store(false, Ordering::SeqCst);
        });
    }

    async fn compacted(&self, core: &Core) {
        covered(core, &self.shared.snapshots).await;
    }

    /// Writes a snapshot of what is applied now.
    async fn snapshot(&self) -> Result<u64, SnapshotError> {
        if self.shared.published.restoring.load(Ordering::SeqCst) {
            return Err(ProposeError::Busy.into());
        }
        let (snapshots, applied) = (Arc::clone(&self.shared.snapshots), self.shared.published.applied.load_full());
        let now = self.config.runtime.clock.now();
        let written = self.shared.blocking(move || snapshots.write(&applied, now)).await;
        written.map_err(|error| SnapshotError::Start(error.to_string()))?.map(|file| file.index())
    }

    /// Puts a restored state in the place of the one that is there, one entry after everything that was. The log starts anew
    /// behind it, so a crash in between finds either the old state and its log, or the new snapshot.
    async fn restore(&mut self, mut running: Running, state: State) -> (Result<u64, SnapshotError>, Option<Running>) {
        self.fail("a snapshot is being restored".into());
        let log = running.core.log.clone();
        if running.core.raft.shutdown().await.is_err() {
            tracing::error!("the consensus ended with a panic");
        }
        running.writer.close();
        drop(running);
        let before = self.shared.published.applied.load_full();
        let result = self.replace(&before, log.last().max(before.last).map_or(0, |id| id.index) + 1, state).await;
        match self.start(false).await {
            Ok((up, _)) => {
                if result.is_ok() {
                    self.shared.snapshots.keep_only_newest();
                    up.core.log.keep_after(self.shared.snapshots.oldest_index());
                }
                (result, Some(up))
            }
            Err(error) => {
                self.fail(chain(&error).into());
                (result.and(Err(SnapshotError::Start(chain(&error)))), None)
            }
        }
    }

    async fn replace(&self, before: &Applied, index: u64, mut state: State) -> Result<u64, SnapshotError> {
        let now = self.config.runtime.clock.now();
        state.apply(index, now, Command::Noop);
        let term = self.shared.leadership.borrow().term;
        let applied =
            Applied { state: Arc::new(state), last: Some(log_id(term, index)), membership: before.membership.clone() };
        let (snapshots, written) = (Arc::clone(&self.shared.snapshots), applied.clone());
        let written = self.shared.blocking(move || snapshots.write(&written, now)).await;
        written.map_err(|error| SnapshotError::Start(error.to_string()))??;
        let installed = self.machine.install(applied).await;
        installed.map_err(|source| SnapshotError::Io { what: "put the restored state in place", source })?;
        Ok(index)
    }
}

/// Resolves with the reason once the log is broken, also when it was before.
async fn broken(failed: &mut watch::Receiver<Option<Arc<str>>>) -> Arc<str> {
    let reason = failed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    reason.unwrap_or_else(|| "the writer has ended".into())
}

/// Tells openraft of a snapshot that is written, and the log what it may drop.
async fn covered(core: &Core, snapshots: &Snapshots) {
    core.log.keep_after(snapshots.oldest_index());
    if core.raft.trigger().snapshot().await.is_err() {
        tracing::debug!("the consensus ended before it heard of a snapshot");
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
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
mod tests {
    use nomadd_runtime::Runtime;

    use super::*;
    use crate::disk::{Durability, RealDisk};
    use crate::handle::Raft;
    use crate::log::record;
    use crate::log::segments::{Change, Segments};
    use crate::membership::Server;
    use crate::testing::Scratch;
    use crate::types::{Entry, Proposal};

    #[tokio::test]
    async fn an_entry_of_a_newer_release_stops_the_server_with_a_sentence_and_is_not_skipped() {
        let scratch = Scratch::new("unknown");
        let config = || Config::new(scratch.0.clone(), Server::default(), Durability::NoSync, Runtime::real(1));
        let (raft, _) = Raft::open(config()).await.unwrap();
        let last = raft.propose(Command::Noop).await.unwrap().index;
        let term = raft.leadership().borrow().term;
        raft.shutdown().await;
        let (mut log, _) = Segments::open(Arc::new(RealDisk::default()), &scratch.0.join("log"), 1, 1 << 20).unwrap();
        let mut stored = 7_i64.to_le_bytes().to_vec();
        rmp_serde::encode::write_named(&mut stored, "Teleport").unwrap();
        let payload = openraft::EntryPayload::Normal(Proposal::stored(stored.into()));
        let entry = Entry { log_id: log_id(term, last + 1), payload };
        log.write(&[Change::Entry(record::entry(&entry).unwrap())]).unwrap();
        drop(log);
        for _ in 0..2 {
            let text = Raft::open(config()).await.unwrap_err().to_string();
            assert!(text.contains(&format!("log entry {} cannot be applied", last + 1)), "{text}");
            assert!(text.contains("\"Teleport\"") && text.contains("run the release that wrote it"), "{text}");
        }
    }
}
