//! The handle that other rooms hold: propose, read, watch, snapshots. Nothing of openraft is seen here.

use std::future::Future;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nomadd_model::words;
use nomadd_runtime::{Runtime, TaskKind};
use nomadd_state::{Command, CommandSet, Response, State, WatchKey};
use openraft::ReadPolicy;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ClientWriteError, ForwardToLeader, LinearizableReadError, RaftError};
use openraft::impls::OneshotResponder;
use openraft::raft::ClientWriteResponse;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

use crate::archive::{self, SnapshotHeader};
use crate::config::{Config, Limits};
use crate::error::{Leader, OpenError, ProposeError, SnapshotError};
use crate::folder::{Alone, Folder};
use crate::machine::{Happened, Machine, Published, encode};
use crate::membership::{Configuration, Member, ServerId};
use crate::prompt;
use crate::restore::{self, Piece};
use crate::room::{Order, Room};
use crate::shared::{Core, Shared};
use crate::snapshots::{self, Snapshots};
use crate::space::{Size, Space};
use crate::types::{Proposal, Types};
use crate::watch::Watcher;

/// A unit of what may be under way, in bytes; so small commands are bounded by number, too.
const UNIT: usize = 1 << 10;

/// The replicated log of this server; a clone is the same one. The room ends when the last is dropped, or by `shutdown`.
#[derive(Clone, Debug)]
pub struct Raft(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    space: Space,
    under_way: Arc<Semaphore>,
    limits: Limits,
    commands: CommandSet,
    runtime: Runtime,
    orders: mpsc::Sender<Order>,
    /// One restore at a time.
    restoring: tokio::sync::Mutex<()>,
}

/// A command that is durable and applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// The index of its log entry.
    pub index: u64,
    /// What the state answered.
    pub response: Response,
}

/// What was found when the room opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The index of the last applied entry.
    pub index: u64,
    /// The index of the snapshot it started from.
    pub snapshot_index: Option<u64>,
    /// Entries applied since that snapshot, the entries of the new term among them.
    pub replayed: u64,
    /// Bytes of an unfinished write that were cut off the log; nothing in them was acknowledged.
    pub torn: u64,
}

/// Who leads, as far as this server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The newest term.
    pub term: u64,
    /// The leader.
    pub leader: Option<ServerId>,
    /// Whether this server leads, and everything written before its term is applied here.
    pub leading: bool,
}

words! {
    /// What a server is in the consensus.
    pub enum Role { #[default] Follower = "Follower", Candidate = "Candidate", Leader = "Leader", Learner = "Learner", Stopped = "Shutdown" }
}

/// Figures for `agent-info` and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// What this server is.
    pub role: Role,
    /// The newest term.
    pub term: u64,
    /// The last entry of the log.
    pub last_log_index: u64,
    /// The term of the last applied entry.
    pub last_log_term: u64,
    /// The last entry known to be committed.
    pub commit_index: u64,
    /// The last entry applied.
    pub applied_index: u64,
    /// Committed entries that wait to be applied.
    pub fsm_pending: u64,
    /// The last entry in the newest snapshot.
    pub last_snapshot_index: u64,
    /// Its term.
    pub last_snapshot_term: u64,
    /// Other voters.
    pub num_peers: u64,
    /// How often the log was opened again after a failure of the disk.
    pub restarts: u64,
}

impl Raft {
    /// Opens the data folder, or makes it. A single voter leads and has applied everything when this returns; one of several
    /// has applied what it knew to be committed and does not wait for a leader.
    pub async fn open(config: Config) -> Result<(Self, Recovered), OpenError> {
        let (limits, runtime) = (config.limits.clone(), config.runtime.clone());
        let commands = config.commands;
        let space = Space::new(Arc::clone(&config.disk), config.folder.clone(), limits.free);
        let (orders, taken) = mpsc::channel(8);
        let (ready, started) = oneshot::channel();
        let (made, opened) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let restoring = tokio::sync::Mutex::default();
        let under_way = Arc::new(Semaphore::new((limits.waiting / UNIT).max(1)));
        if runtime.pool.is_inline() {
            let (shared, room) = {
                let (shared, build) = open(&config, taken)?;
                (shared, build(config))
            };
            let room = prompt::seeded(runtime.seeds.clone(), room.run(ready));
            runtime.tasks.spawn(TaskKind::Background, room);
            let ended = |_| OpenError::Start("the room was cancelled".to_owned());
            let recovered = started.await.map_err(ended)??;
            let inner = Inner { shared, space, under_way, limits, commands, runtime, orders, restoring };
            return Ok((Self(Arc::new(inner)), recovered));
        }
        let folder = config.folder.clone();
        let thread = std::thread::Builder::new().name("raft".into()).spawn(move || {
            run(config, taken, made, ready);
            let _nobody = ended.send(());
        });
        let failed = |what: &'static str, source| OpenError::Io { what, path: folder.clone(), source };
        drop(thread.map_err(|source| failed("start the raft thread for", source))?);
        let gone = || failed("open", std::io::Error::other("the raft thread ended in an unforeseen way"));
        let shared = opened.await.map_err(|_| gone())??;
        let recovered = started.await.map_err(|_| gone())??;
        // The thread's end is the room's; only one that nobody ordered is a failure of the agent.
        runtime.tasks.spawn(TaskKind::Raft, async move {
            if end.await.is_ok() {
                std::future::pending::<()>().await;
            }
        });
        let inner = Inner { shared, space, under_way, limits, commands, runtime, orders, restoring };
        Ok((Self(Arc::new(inner)), recovered))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }
    /// This server's id, as its data folder keeps it.
    pub fn id(&self) -> ServerId {
        self.0.shared.id
    }

    /// The commands that this server can apply.
    pub fn commands(&self) -> CommandSet {
        self.0.commands
    }

    /// Writes a command to the log. When this returns it is durable, applied, and its change published.
    pub async fn propose(&self, command: Command) -> Result<Committed, ProposeError> {
        self.submit(command).await?.await
    }

    /// Writes commands in their order, without waiting for one before the next; answers in the same order.
    pub async fn propose_many(&self, commands: Vec<Command>) -> Vec<Result<Committed, ProposeError>> {
        let mut waiting = Vec::with_capacity(commands.len());
        for command in commands {
            waiting.push(self.submit(command).await);
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for one in waiting {
            answers.push(match one {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    /// Hands a command over; the future answers when it is applied.
    async fn submit(
        &self,
        command: Command,
    ) -> Result<impl Future<Output = Result<Committed, ProposeError>> + use<>, ProposeError> {
        let inner = &self.0;
        let now = inner.runtime.clock.now();
        let used = inner.shared.published.applied.load().state.command_set();
        // The wish to use a set is written before the set is used; whoever cannot apply it stops there.
        let raises = matches!(command, Command::CommandSetRaise(_));
        let needed = command.since();
        if needed > used && !raises || needed > inner.commands {
            return Err(ProposeError::NotYet { needed, used });
        }
        if let Err(short) = inner.space.check(now) {
            return Err(ProposeError::DiskFull {
                path: inner.space.path.clone(),
                free: short.free,
                needed: short.needed,
            });
        }
        let stored =
            encode(now, &command).map_err(|error| ProposeError::Encode { reason: error.to_string().into() })?;
        if stored.len() as u64 > inner.limits.entry {
            let (size, most) = (Size(stored.len() as u64), Size(inner.limits.entry));
            return Err(ProposeError::TooLarge { size, most });
        }
        self.hand_in(Proposal::new(stored.into(), now, command)).await
    }

    /// Hands in what is encoded already.
    async fn hand_in(
        &self,
        proposal: Proposal,
    ) -> Result<impl Future<Output = Result<Committed, ProposeError>> + use<>, ProposeError> {
        let inner = &self.0;
        let units = (1 + proposal.stored.len() / UNIT).min(inner.limits.waiting / UNIT).max(1) as u32;
        let place = match Arc::clone(&inner.under_way).try_acquire_many_owned(units) {
            Ok(place) => place,
            Err(_) => {
                let wait = Arc::clone(&inner.under_way).acquire_many_owned(units);
                let waited = tokio::time::timeout(inner.limits.patience, wait).await;
                waited.map_err(|_| ProposeError::Busy)?.map_err(|_| ProposeError::Stopped)?
            }
        };
        let core = self.core()?;
        let (responder, answer) = OneshotResponder::new_pair();
        let sent = core.raft.client_write_ff(proposal, Some(responder)).await;
        let shared = Arc::clone(&inner.shared);
        Ok(async move {
            let _place = place;
            sent.map_err(|_| ended(&shared))?;
            match answer.await {
                Ok(Ok(ClientWriteResponse { log_id, data, .. })) => {
                    Ok(Committed { index: log_id.index, response: data })
                }
                Ok(Err(ClientWriteError::ForwardToLeader(forward))) => Err(not_leader(forward)),
                Ok(Err(_)) => Err(ProposeError::Uncertain),
                Err(_) => Err(ended(&shared)),
            }
        })
    }

    pub(crate) fn core(&self) -> Result<Arc<Core>, ProposeError> {
        match self.0.shared.core.load_full() {
            Some(core) => Ok(core),
            None => Err(ProposeError::clone(&self.0.shared.trouble.load())),
        }
    }

    /// The newest published state.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.0.shared.published.applied.load().state)
    }
    /// The index of the last applied entry.
    pub fn applied_index(&self) -> u64 {
        *self.0.shared.published.index.borrow()
    }
    /// The state once the entry at `index` is applied; waits as long as that takes.
    pub async fn wait_for(&self, index: u64) -> Arc<State> {
        let mut applied = self.0.shared.published.index.subscribe();
        // The sender lives as long as this handle, so this only ends when the index is there.
        let _ended = applied.wait_for(|applied| *applied >= index).await;
        self.state()
    }
    /// Watches keys from now on: first watch, then look at the state, then wait.
    pub fn watch(&self, keys: impl IntoIterator<Item = WatchKey>) -> Watcher {
        self.0.shared.published.watchers.watch(keys)
    }
    /// Who leads.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.shared.leadership.subscribe()
    }
    /// The events of what is applied from now on; a reader that is too slow is told how many it missed.
    pub fn events(&self) -> broadcast::Receiver<Happened> {
        self.0.shared.published.events.subscribe()
    }
    /// Makes sure that this server still leads, and answers an index: what is applied up to it holds everything that was
    /// acknowledged before the call.
    pub async fn read_barrier(&self) -> Result<u64, ProposeError> {
        let core = self.core()?;
        match core.raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
            Ok(id) => Ok(id.index()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => Err(not_leader(forward)),
            Err(RaftError::APIError(_)) => Err(ProposeError::NotLeader { leader: None }),
            Err(RaftError::Fatal(_)) => Err(ended(&self.0.shared)),
        }
    }

    /// The servers of the cluster.
    pub fn configuration(&self) -> Configuration {
        let (stored, leader) = match self.core() {
            Ok(core) => {
                let metrics = core.raft.server_metrics();
                let metrics = metrics.borrow_watched();
                (metrics.membership_config.as_ref().clone(), metrics.current_leader)
            }
            Err(_) => (self.0.shared.published.applied.load().membership.clone(), None),
        };
        let voters: Vec<ServerId> = stored.membership().voter_ids().collect();
        let members = stored.membership().nodes().map(|(id, server)| Member {
            id: *id,
            server: server.clone(),
            voter: voters.contains(id),
            leader: leader == Some(*id),
        });
        Configuration { index: stored.log_id().map_or(0, |id| id.index), members: members.collect() }
    }

    /// Figures of the consensus.
    pub fn stats(&self) -> Stats {
        let shared = &self.0.shared;
        let applied = shared.published.applied.load();
        let newest = shared.snapshots.newest().and_then(|file| file.meta.last_log_id);
        let mut stats = Stats {
            role: Role::Stopped,
            term: shared.leadership.borrow().term,
            last_log_term: applied.last.map_or(0, |id| id.leader_id.term),
            applied_index: applied.last.map_or(0, |id| id.index),
            last_snapshot_index: newest.map_or(0, |id| id.index),
            last_snapshot_term: newest.map_or(0, |id| id.leader_id.term),
            restarts: shared.restarts.load(Ordering::Relaxed),
            ..Stats::default()
        };
        if let Ok(core) = self.core() {
            let metrics = core.raft.metrics();
            let metrics = metrics.borrow_watched();
            stats.role = match metrics.state {
                ServerState::Leader => Role::Leader,
                ServerState::Candidate => Role::Candidate,
                ServerState::Learner => Role::Learner,
                ServerState::Shutdown => Role::Stopped,
                _ => Role::Follower,
            };
            stats.term = metrics.current_term;
            stats.last_log_index = metrics.last_log_index.unwrap_or(0).max(stats.applied_index);
            stats.commit_index = metrics.local_committed.map_or(0, |id| id.index).max(stats.applied_index);
            stats.fsm_pending = stats.commit_index - stats.applied_index;
            stats.num_peers = metrics.membership_config.voter_ids().filter(|id| *id != shared.id).count() as u64;
        }
        stats
    }

    /// Writes a snapshot of the newest state to `out`; returns what it is.
    pub async fn snapshot_save(&self, out: impl Write + Send + 'static) -> Result<SnapshotHeader, SnapshotError> {
        let applied = self.0.shared.published.applied.load_full();
        let header = snapshots::header(&applied, self.0.runtime.clock.now());
        let written = self.0.runtime.pool.run(move || {
            archive::write(&applied.state, &header, out)?;
            Ok(header)
        });
        written.await.map_err(|error| SnapshotError::Start(error.to_string()))?
    }

    /// Reads a snapshot, checks all of it, and only then puts its state in the place of this cluster's. Returns the index at
    /// which it counts. Writes under way meanwhile are refused.
    pub async fn snapshot_restore(&self, from: impl Read + Send + 'static) -> Result<u64, SnapshotError> {
        if !self.leadership().borrow().leading {
            self.core()?;
            return Err(ProposeError::NotLeader { leader: None }.into());
        }
        // What not every server can apply must not come in by this way either.
        let (most, known) = (self.0.limits.restore, self.state().command_set());
        let read = self.0.runtime.pool.run(move || archive::read(std::io::BufReader::new(from), most, known)).await;
        let (header, state) = read.map_err(|error| SnapshotError::Start(error.to_string()))??;
        if self.configuration().members.len() > 1 {
            return self.restore_through_log(header, state).await;
        }
        let state = Box::new(state);
        self.order(|done| Order::Restore { state, done }).await?
    }

    /// Restores on every server of the cluster: the state goes through the log.
    async fn restore_through_log(&self, header: SnapshotHeader, state: State) -> Result<u64, SnapshotError> {
        let _alone = self.0.restoring.lock().await;
        let restore = self.0.runtime.seeds.seed();
        let (out, mut pieces) = mpsc::channel::<Piece>(4);
        let inline = self.0.runtime.pool.is_inline();
        let cut = async {
            if inline {
                let mut all = Vec::new();
                restore::pieces(
                    restore,
                    &state,
                    &header,
                    Box::new(|piece| {
                        all.push(piece);
                        Ok(())
                    }),
                )?;
                for piece in all {
                    // Nobody takes them when the write has failed, which is what counts then.
                    if out.send(piece).await.is_err() {
                        break;
                    }
                }
                drop(out);
                return Ok(());
            }
            let cut = move || {
                let gone = |_| std::io::Error::other("nobody takes the pieces any more");
                restore::pieces(restore, &state, &header, Box::new(|piece| out.blocking_send(piece).map_err(gone)))
            };
            let cut = self.0.runtime.pool.run(cut).await;
            cut.map_err(|error| SnapshotError::Start(error.to_string()))?
        };
        let write = async {
            let mut index = Err(SnapshotError::from(ProposeError::Uncertain));
            while let Some(piece) = pieces.recv().await {
                let stored = piece.stored(self.0.runtime.clock.now());
                let stored = stored.map_err(|error| ProposeError::Encode { reason: error.to_string().into() })?;
                // One after the other, so that other writes come between.
                let committed = self.hand_in(Proposal::stored(stored.into())).await?.await?;
                index = Ok(committed.index);
            }
            index
        };
        let (cut, index) = tokio::join!(cut, write);
        let index = index?;
        cut?;
        // A new leader in between has ended it.
        if self.0.shared.published.restored.load(Ordering::SeqCst) != restore {
            return Err(ProposeError::Uncertain.into());
        }
        if let Err(error) = self.snapshot_now().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot write a snapshot after a restore");
        }
        Ok(index)
    }

    /// Writes a snapshot into the data folder now; returns its index.
    pub async fn snapshot_now(&self) -> Result<u64, SnapshotError> {
        self.order(|done| Order::Snapshot { done }).await?
    }

    /// Ends the room: what was acknowledged is on the disk, the data folder is free for another process.
    pub async fn shutdown(&self) {
        let _ended_already = self.order(|done| Order::Stop { done }).await;
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, ProposeError> {
        let (done, told) = oneshot::channel();
        self.0.orders.send(order(done)).await.map_err(|_| ProposeError::Stopped)?;
        told.await.map_err(|_| ProposeError::Stopped)
    }
}

/// Why the consensus is gone.
fn ended(shared: &Shared) -> ProposeError {
    let Some(core) = shared.core.load_full() else { return ProposeError::clone(&shared.trouble.load()) };
    let reason = core.log.failed().borrow().clone();
    ProposeError::Storage { reason: reason.unwrap_or_else(|| "the consensus has ended".into()) }
}

fn not_leader(forward: ForwardToLeader<Types>) -> ProposeError {
    ProposeError::NotLeader { leader: leader_of(forward) }
}
pub(crate) fn leader_of(forward: ForwardToLeader<Types>) -> Option<Leader> {
    forward.leader_id.map(|id| Leader { id, server: forward.leader_node.unwrap_or_default() })
}

/// The thread: opens everything that can fail before openraft starts, then runs the room.
fn run(
    config: Config,
    orders: mpsc::Receiver<Order>,
    made: oneshot::Sender<Result<Arc<Shared>, OpenError>>,
    ready: oneshot::Sender<Result<Recovered, OpenError>>,
) {
    // Connections with other servers are driven here, apart from everything else.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            let (what, path) = ("start the raft room for", config.folder);
            return drop(made.send(Err(OpenError::Io { what, path, source })));
        }
    };
    let opened = open(&config, orders);
    let (shared, room) = match opened {
        Ok((shared, build)) => (shared, build),
        Err(error) => return drop(made.send(Err(error))),
    };
    let seeds = config.runtime.seeds.clone();
    let room = room(config);
    if made.send(Ok(shared)).is_ok() {
        runtime.block_on(prompt::seeded(seeds, room.run(ready)));
    }
}

type Build = Box<dyn FnOnce(Config) -> Room>;

fn open(config: &Config, orders: mpsc::Receiver<Order>) -> Result<(Arc<Shared>, Build), OpenError> {
    let failed = |what| move |source| OpenError::Io { what, path: config.folder.clone(), source };
    let alone = if config.runtime.pool.is_inline() { Alone::Known } else { Alone::Lock };
    let folder = Folder::open(&*config.disk, &config.folder, config.fresh_id, alone)?;
    let (snapshots, newest) = Snapshots::open(Arc::clone(&config.disk), &folder.snapshots, config.commands)?;
    let (snapshots, published) = (Arc::new(snapshots), Arc::new(Published::new(newest.unwrap_or_default())));
    let clock = config.runtime.clock.clone();
    let inline = config.runtime.pool.is_inline();
    let machine = Machine::start(Arc::clone(&published), Arc::clone(&snapshots), clock, inline)
        .map_err(failed("start the apply thread for"))?;
    let shared = Arc::new(Shared::new(config, folder.server, published, snapshots));
    let in_room = Arc::clone(&shared);
    let build = move |config| Room::new(config, folder, in_room, machine, orders);
    Ok((shared, Box::new(build)))
}
