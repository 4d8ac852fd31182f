//! The state machine: one thread that applies committed entries to the state, publishes it once per batch, answers who
//! proposed them, and wakes who watches what changed.
//!
//! It outlives a restart of the log: what it applied was durable before. An entry that it cannot read halts it for good.

mod store;

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};

use arc_swap::ArcSwap;
use nomadd_model::{AllocationId, NodeId, Time};
use nomadd_runtime::Clock;
use nomadd_state::{Command, CommandSet, Event, Response, State, WatchKey};
use openraft::EntryPayload;
use openraft::storage::ApplyResponder;
use tokio::sync::{broadcast, oneshot, watch};

use crate::restore::{Piece, Spool, Taken};
use crate::snapshots::Snapshots;
use crate::types::{Entry, LogId, Proposal, StoredMembership, Types};
use crate::watch::Watchers;

/// How many batches of events a slow reader may be behind.
const EVENTS: usize = 1024;

/// What happened at one index.
#[derive(Clone, Debug)]
pub struct Happened {
    /// The index of the change.
    pub index: u64,
    /// The events, in order.
    pub events: Arc<[Event]>,
    /// The allocations of which nodes have to be told, node by node.
    pub assigned: Arc<[(NodeId, AllocationId)]>,
    /// Whether the whole state was replaced by another one, of which no events tell: a snapshot came, or was restored.
    pub replaced: bool,
}

impl Happened {
    fn replaced(index: u64) -> Self {
        Self { index, events: Arc::default(), assigned: Arc::default(), replaced: true }
    }
}

/// What is applied, as readers see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    pub(crate) state: Arc<State>,
    pub(crate) last: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

/// What the apply thread shares with readers.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) applied: ArcSwap<Applied>,
    /// The index of the last applied entry.
    pub(crate) index: watch::Sender<u64>,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) events: broadcast::Sender<Happened>,
    /// Why nothing can be applied any more.
    pub(crate) halted: OnceLock<Arc<str>>,
    /// Whether a restore has begun and not ended.
    pub(crate) restoring: AtomicBool,
    /// The number of the last restore that came through the log.
    pub(crate) restored: AtomicU64,
}

impl Published {
    pub(crate) fn new(applied: Applied) -> Self {
        Self {
            index: watch::Sender::new(applied.last.map_or(0, |id| id.index)),
            applied: ArcSwap::from_pointee(applied),
            watchers: Arc::default(),
            events: broadcast::Sender::new(EVENTS),
            halted: OnceLock::new(),
            restoring: AtomicBool::new(false),
            restored: AtomicU64::new(0),
        }
    }
    /// How many entries are applied, counted from index 0.
    pub(crate) fn count(&self) -> u64 {
        self.applied.load().last.map_or(0, |id| id.index + 1)
    }
}

type Item = (Entry, Option<ApplyResponder<Types>>);

enum Work {
    Apply { entries: Vec<Item>, done: oneshot::Sender<io::Result<()>> },
    Install { applied: Box<Applied>, done: oneshot::Sender<io::Result<()>> },
}

/// The handle of the apply thread, which ends with the last one. openraft drives it through `machine/store.rs`.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) published: Arc<Published>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) clock: Clock,
    /// Whether blocking work is done where it is asked for.
    pub(crate) inline: bool,
    work: Worker,
    /// Whoever waits for the other end learns when nobody has the lent one any more.
    _lent: Option<tokio::sync::mpsc::Sender<()>>,
}

/// Who does the work.
#[derive(Clone, Debug)]
enum Worker {
    /// A thread.
    Queue(mpsc::SyncSender<Work>),
    /// Whoever asks (simulation).
    Here(Arc<Mutex<Thread>>),
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Apply { .. } => "Apply",
            Self::Install { .. } => "Install",
        })
    }
}

impl Machine {
    /// Starts the thread with what is applied already.
    pub(crate) fn start(
        published: Arc<Published>,
        snapshots: Arc<Snapshots>,
        clock: Clock,
        inline: bool,
    ) -> io::Result<Self> {
        let thread = Thread {
            state: State::clone(&published.applied.load().state),
            published: Arc::clone(&published),
            restore: Spool::new(&snapshots),
            commands: snapshots.commands(),
        };
        let work = if inline {
            Worker::Here(Arc::new(Mutex::new(thread)))
        } else {
            let (work, queue) = mpsc::sync_channel(4);
            std::thread::Builder::new().name("raft-apply".into()).spawn(move || thread.run(&queue))?;
            Worker::Queue(work)
        };
        Ok(Self { published, snapshots, clock, inline, work, _lent: None })
    }
    /// One for openraft; it and its clones hold `lent`.
    pub(crate) fn lend(&self, lent: tokio::sync::mpsc::Sender<()>) -> Self {
        Self { _lent: Some(lent), ..self.clone() }
    }

    async fn ask(&self, work: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Work) -> io::Result<()> {
        let (done, told) = oneshot::channel();
        let gone = || io::Error::other("the apply thread has ended");
        match &self.work {
            Worker::Queue(queue) => queue.send(work(done)).map_err(|_| gone())?,
            Worker::Here(thread) => thread.lock().unwrap_or_else(PoisonError::into_inner).one(work(done)),
        }
        told.await.map_err(|_| {
            let _first = self.published.halted.set("applying a log entry failed in an unforeseen way: this is a bug of nomadd; keep the data folder and report it".into());
            gone()
        })?
    }
    /// Applies entries that nobody waits for.
    pub(crate) async fn replay(&self, entries: Vec<Entry>) -> io::Result<()> {
        let entries = entries.into_iter().map(|entry| (entry, None)).collect();
        self.ask(|done| Work::Apply { entries, done }).await
    }
    /// Puts another state in the place of the one that is there.
    pub(crate) async fn install(&self, applied: Applied) -> io::Result<()> {
        self.ask(|done| Work::Install { applied: Box::new(applied), done }).await
    }
}

/// What an entry asked for.
#[expect(clippy::large_enum_variant, reason = "moved once per entry: a box would cost an allocation each")]
enum Done {
    Command(Time, Command),
    Piece,
    Restored,
}

impl std::fmt::Debug for Thread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Thread")
    }
}

struct Thread {
    state: State,
    published: Arc<Published>,
    /// The restore that comes in with the entries.
    restore: Spool,
    commands: CommandSet,
}

impl Thread {
    fn run(mut self, queue: &mpsc::Receiver<Work>) {
        while let Ok(work) = queue.recv() {
            self.one(work);
        }
    }

    fn one(&mut self, work: Work) {
        match work {
            // Whoever asked is gone when the room restarts.
            Work::Apply { entries, done } => drop(done.send(self.apply(entries))),
            Work::Install { applied, done } => {
                self.abort_restore();
                self.state = State::clone(&applied.state);
                let index = applied.last.map_or(0, |id| id.index);
                bury(self.published.applied.swap(Arc::from(applied)));
                self.published.index.send_replace(index);
                self.published.watchers.wake_all();
                let _listeners = self.published.events.send(Happened::replaced(index));
                drop(done.send(Ok(())));
            }
        }
    }

    fn apply(&mut self, entries: Vec<Item>) -> io::Result<()> {
        if let Some(reason) = self.published.halted.get() {
            return Err(io::Error::other(reason.to_string()));
        }
        let before = self.published.applied.load_full();
        let (mut last, mut membership) = (before.last, before.membership.clone());
        let mut changes: BTreeSet<WatchKey> = BTreeSet::new();
        let mut answers = Vec::with_capacity(entries.len());
        let mut happened = Vec::new();
        let mut result = Ok(());
        let mut everything = false;
        for (entry, responder) in entries {
            let index = entry.log_id.index;
            let response = match entry.payload {
                EntryPayload::Blank => {
                    // Every term begins with one: a restore that the leader before did not finish is over.
                    self.abort_restore();
                    Response::Ok { index }
                }
                EntryPayload::Membership(new) => {
                    membership = StoredMembership::new(Some(entry.log_id), new);
                    Response::Ok { index }
                }
                EntryPayload::Normal(proposal) => match self.read(index, &proposal) {
                    Ok(Some(Done::Piece)) => Response::Ok { index },
                    Ok(Some(Done::Restored)) => {
                        everything = true;
                        happened.push(Happened::replaced(index));
                        Response::Ok { index }
                    }
                    Ok(Some(Done::Command(now, command))) => {
                        let applied = self.state.apply(index, now, command);
                        changes.extend(applied.changes);
                        if !applied.events.is_empty() || !applied.assigned.is_empty() {
                            let (events, assigned) = (applied.events.into(), applied.assigned.into());
                            happened.push(Happened { index, events, assigned, replaced: false });
                        }
                        applied.response
                    }
                    Ok(None) => Response::Ok { index },
                    Err(reason) => {
                        let reason: Arc<str> = format!(
                            "log entry {index} cannot be applied: {reason}; this server stops at entry {}: run the release that wrote it",
                            index.saturating_sub(1)
                        )
                        .into();
                        let _first = self.published.halted.set(Arc::clone(&reason));
                        result = Err(io::Error::other(reason.to_string()));
                        break;
                    }
                },
            };
            last = Some(entry.log_id);
            answers.extend(responder.map(|responder| (responder, response)));
        }
        self.publish(Applied { state: Arc::new(self.state.clone()), last, membership });
        for (responder, response) in answers {
            responder.send(response);
        }
        if everything {
            self.published.watchers.wake_all();
            bury(before);
        }
        for key in &changes {
            self.published.watchers.wake(key);
        }
        for one in happened {
            // Nobody listening is fine.
            let _listeners = self.published.events.send(one);
        }
        result
    }

    fn abort_restore(&mut self) {
        self.restore.clear();
        self.published.restoring.store(false, Ordering::SeqCst);
    }

    /// What an entry asks for; pieces of a restore are taken at once. None: a piece of a restore that is over.
    fn read(&mut self, index: u64, proposal: &Proposal) -> Result<Option<Done>, String> {
        let Some(piece) = Piece::of(&proposal.stored)? else {
            return read(proposal, self.commands).map(|(now, command)| Some(Done::Command(now, command)));
        };
        match self.restore.take(piece)? {
            Taken::Over => Ok(None),
            Taken::More => {
                self.published.restoring.store(true, Ordering::SeqCst);
                Ok(Some(Done::Piece))
            }
            Taken::All { restore, now, mut state } => {
                self.published.restored.store(restore, Ordering::SeqCst);
                state.apply(index, now, Command::Noop);
                self.state = *state;
                self.abort_restore();
                Ok(Some(Done::Restored))
            }
        }
    }

    fn publish(&self, applied: Applied) {
        let index = applied.last.map_or(0, |id| id.index);
        self.published.applied.store(Arc::new(applied));
        self.published.index.send_replace(index);
    }
}

/// The stored form of a command: when it was proposed (ns since 1970, 8 bytes little-endian), then the command's own encoding.
pub(crate) fn encode(now: Time, command: &Command) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut stored = Vec::with_capacity(512);
    stored.extend_from_slice(&now.0.to_le_bytes());
    // The same as `Command::encode`, without a second buffer.
    rmp_serde::encode::write_named(&mut stored, command)?;
    Ok(stored)
}

/// A command from its stored form, when this server can apply it; why not, in words.
pub(crate) fn read(proposal: &Proposal, known: CommandSet) -> Result<(Time, Command), String> {
    if let Some(fresh) = proposal.take() {
        return Ok(fresh);
    }
    let (now, command) = proposal.stored.split_first_chunk::<8>().ok_or("it is too short")?;
    let command = Command::decode(command).map_err(|error| {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        format!("{error}{source}")
    })?;
    match command.since() {
        needed if needed > known => {
            Err(format!("it needs command set {needed} of a newer release, and this one knows sets up to {known}"))
        }
        _ => Ok((Time(i64::from_le_bytes(*now)), command)),
    }
}

/// Lets a state go that another one has replaced whole, when nobody reads it any more. Freeing a million allocations takes a
/// second, which no reader who happens to be the last one shall spend.
fn bury(before: Arc<Applied>) {
    const LOOK: std::time::Duration = std::time::Duration::from_millis(100);
    if before.state.allocation_count() < 10_000 {
        return;
    }
    let wait = move || {
        while Arc::strong_count(&before) > 1 || Arc::strong_count(&before.state) > 1 {
            std::thread::sleep(LOOK);
        }
    };
    // Without a thread it goes here.
    drop(std::thread::Builder::new().name("raft-bury".into()).spawn(wait));
}
