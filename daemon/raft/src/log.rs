//! The log of this server: what openraft appends, held until it is durable and applied, and the thread that writes it.
//!
//! Appends only queue; the writer thread takes everything that is queued, writes it in one go and syncs once (group commit: no
//! timer, the batch is what came while the last one was synced). After the first failure nothing is written any more: the
//! room opens the log again from the disk (`room.rs`). `log/store.rs` is openraft's side, `log/segments.rs` the files.

mod check;
pub(crate) mod record;
pub(crate) mod segments;
mod store;
mod synced;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use openraft::storage::IOFlushed;
use tokio::sync::{Notify, oneshot, watch};

use crate::disk::Disk;
use crate::frame;
use crate::machine::Published;
use crate::recovery::Override;
use crate::types::{Entry, LogId, StoredMembership, Types, Vote};
pub use check::{Checked, check_segment};
use record::StoredEntry;
pub use segments::LogError;
use segments::{Change, Found, Position, Readable, Segments};
pub(crate) use synced::Synced;

/// Entries nearer to each other than this, in bytes, are read together.
const RUN: u32 = 64 << 10;

/// The log; a clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    view: Mutex<View>,
    queue: Mutex<Queue>,
    wake: Condvar,
    /// What is applied need not be held.
    published: Arc<Published>,
    /// Woken each time so many more bytes of entries have come.
    grown: (Arc<Notify>, u64),
    /// Entries at or below this index may be removed from the disk at most.
    removable: AtomicU64,
    /// Bytes of entries appended since the log was opened.
    appended: AtomicU64,
    failed: watch::Sender<Option<Arc<str>>>,
    /// Who the servers are, whatever the entries say.
    members: OnceLock<Override>,
    /// The files, when whoever asks writes them (simulation); otherwise the writer's thread has them.
    here: Mutex<Option<Segments>>,
    inline: bool,
    synced: Synced,
}

/// What readers see: everything appended, durable or not.
#[derive(Debug)]
struct View {
    /// The entries from index `held_from` on: those that are not yet durable or not yet applied.
    held: VecDeque<Entry>,
    held_from: u64,
    /// Where the durable entries stand, from `first` on.
    positions: VecDeque<Position>,
    first: u64,
    previous: Option<LogId>,
    last: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
    files: BTreeMap<u64, Readable>,
}

#[derive(Debug, Default)]
struct Queue {
    requests: Vec<Request>,
    committed: Option<LogId>,
    closed: bool,
}

enum Request {
    Append { entries: Vec<StoredEntry>, done: IOFlushed<Types> },
    Vote { vote: Vote, done: oneshot::Sender<io::Result<()>> },
    Truncate { stay: u64, last: Option<LogId>, done: oneshot::Sender<io::Result<()>> },
    Purge { upto: u64 },
    Reset { previous: LogId, done: oneshot::Sender<io::Result<()>> },
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Append { .. } => "Append",
            Self::Vote { .. } => "Vote",
            Self::Truncate { .. } => "Truncate",
            Self::Purge { .. } => "Purge",
            Self::Reset { .. } => "Reset",
        })
    }
}

/// What the log held when it was opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opened {
    pub(crate) previous: Option<LogId>,
    pub(crate) last: Option<LogId>,
    pub(crate) memberships: Vec<StoredMembership>,
    pub(crate) torn: u64,
    pub(crate) fresh: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writer thread; waits for it when it is closed.
#[derive(Debug)]
pub(crate) struct Writer {
    log: Log,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    /// Ends the thread; what is queued is still written.
    pub(crate) fn close(&mut self) {
        locked(&self.log.0.queue).closed = true;
        self.log.0.wake.notify_all();
        locked(&self.log.0.here).take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log's writer thread panicked");
        }
    }
}
impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Log {
    /// Opens the log in a folder and starts its writer. Entries that are published as applied are not held in memory; `grown` is
    /// woken each time that so many bytes of entries came; `synced` follows what is durable.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        (salt, segment): (u32, u64),
        published: Arc<Published>,
        grown: (Arc<Notify>, u64),
        inline: bool,
        synced: Synced,
    ) -> Result<(Self, Writer, Opened), LogError> {
        let (segments, found) = Segments::open(disk, folder, salt, segment)?;
        let last = found.last();
        let first = found.first_index();
        let Found { vote, committed, previous, positions, memberships, torn } = found;
        let opened = Opened { previous, last, memberships, torn, fresh: last.is_none() && vote.is_none() };
        let view = View {
            held: VecDeque::new(),
            held_from: first + positions.len() as u64,
            positions,
            first,
            previous,
            last,
            vote,
            committed,
            files: segments.readable(),
        };
        let log = Self(Arc::new(Shared {
            view: Mutex::new(view),
            queue: Mutex::default(),
            wake: Condvar::new(),
            published,
            grown,
            removable: AtomicU64::new(0),
            appended: AtomicU64::new(0),
            failed: watch::Sender::new(None),
            members: OnceLock::new(),
            here: Mutex::default(),
            inline,
            synced,
        }));
        if inline {
            *locked(&log.0.here) = Some(segments);
            return Ok((log.clone(), Writer { log, thread: None }, opened));
        }
        let shared = Arc::clone(&log.0);
        let run = move || shared.run(segments);
        let thread = std::thread::Builder::new().name("raft-log".into()).spawn(run).map_err(|source| LogError::Io {
            what: "start the writer of",
            path: folder.to_owned(),
            source,
        })?;
        Ok((log.clone(), Writer { log, thread: Some(thread) }, opened))
    }

    /// Turns to the reason once the log can no longer be written.
    pub(crate) fn failed(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.failed.subscribe()
    }
    /// Bytes of entries appended since it was opened.
    pub(crate) fn appended(&self) -> u64 {
        self.0.appended.load(Ordering::Relaxed)
    }
    /// The last entry.
    pub(crate) fn last(&self) -> Option<LogId> {
        locked(&self.0.view).last
    }
    /// Whether nothing was ever written to it: no entry, no vote.
    pub(crate) fn is_empty(&self) -> bool {
        let view = locked(&self.0.view);
        view.last.is_none() && view.vote.is_none()
    }
    /// Up to where its entries are known to be committed, counted from index 0.
    pub(crate) fn committed(&self) -> u64 {
        let view = locked(&self.0.view);
        view.committed.min(view.last).map_or(0, |id| id.index + 1)
    }
    /// The durable entries of a range, for those who apply them before openraft runs.
    pub(crate) fn entries(&self, range: Range<u64>) -> io::Result<Vec<Entry>> {
        self.read(range)
    }
    /// Entries above this index stay on the disk whatever openraft purges: an older snapshot needs them.
    pub(crate) fn keep_after(&self, index: u64) {
        self.0.removable.store(index, Ordering::Relaxed);
    }
    /// Entries say from now on that these are the servers.
    pub(crate) fn override_members(&self, members: Override) {
        let _once = self.0.members.set(members);
    }
    /// Says that all durable entries up to the last are committed (a single voter's are).
    pub(crate) fn commit_all(&self) {
        let mut view = locked(&self.0.view);
        view.committed = view.last;
    }

    fn ask(&self, request: Request) {
        locked(&self.0.queue).requests.push(request);
        if self.0.inline {
            self.0.write_here();
        } else {
            self.0.wake.notify_one();
        }
    }
    async fn ask_and_wait(&self, request: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Request) -> io::Result<()> {
        let (done, told) = oneshot::channel();
        self.ask(request(done));
        told.await.unwrap_or_else(|_| Err(io::Error::other("the log's writer has ended")))
    }

    /// The entries of a range, as far as they are there.
    fn read(&self, range: Range<u64>) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut wanted = Vec::new();
        let files = {
            let view = locked(&self.0.view);
            let end = range.end.min(view.last.map_or(0, |id| id.index + 1));
            let start = range.start.max(view.first);
            for index in start..end.min(view.held_from) {
                let place = usize::try_from(index - view.first).unwrap_or(usize::MAX);
                let position = view.positions.get(place).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::NotFound, format!("log entry {index} is not there"))
                })?;
                wanted.push((index, *position));
            }
            for index in start.max(view.held_from)..end {
                let place = usize::try_from(index - view.held_from).unwrap_or(usize::MAX);
                entries.extend(view.held.get(place).cloned());
            }
            if wanted.is_empty() { BTreeMap::new() } else { view.files.clone() }
        };
        if wanted.is_empty() {
            return Ok(entries);
        }
        let mut read = Vec::with_capacity(wanted.len() + entries.len());
        // Neighbours are read in one go.
        let near = |a: &(u64, Position), b: &(u64, Position)| {
            a.1.segment == b.1.segment && b.1.offset - a.1.offset < RUN && b.1.length < RUN
        };
        for run in wanted.chunk_by(near).flat_map(|run| run.chunks(256)) {
            let (Some((_, first)), Some((_, last))) = (run.first(), run.last()) else { continue };
            let file = files.get(&first.segment).ok_or(io::ErrorKind::NotFound)?;
            let mut bytes = vec![0; (last.offset + last.length - first.offset) as usize];
            let there = file.file.read_at(&mut bytes, first.offset.into())?;
            bytes.truncate(there);
            for (index, position) in run {
                let start = (position.offset - first.offset) as usize;
                let record = bytes.get(start..).unwrap_or_default();
                let entry = read_one(file, *index, *position, record)?;
                read.push(match self.0.members.get() {
                    Some(members) => members.entry(entry),
                    None => entry,
                });
            }
        }
        read.append(&mut entries);
        Ok(read)
    }
}

fn read_one(file: &Readable, index: u64, position: Position, bytes: &[u8]) -> io::Result<Entry> {
    let damaged = |reason: String| {
        let (path, offset) = (file.path.clone(), position.offset.into());
        io::Error::other(LogError::Damaged { path, offset, reason })
    };
    let record = frame::record(bytes, file.salt)
        .filter(|record| record.kind == record::ENTRY)
        .ok_or_else(|| damaged(format!("entry {index} does not have its checksum")))?;
    let entry = record::read_entry(record.body(bytes)).map_err(damaged)?;
    if entry.log_id.index != index {
        return Err(damaged(format!("entry {} stands where entry {index} belongs", entry.log_id.index)));
    }
    Ok(entry)
}

impl View {
    /// Lets go of held entries that are durable and applied.
    fn release(&mut self, applied: u64) {
        let durable = self.first + self.positions.len() as u64;
        while self.held_from < applied.min(durable) && self.held.pop_front().is_some() {
            self.held_from += 1;
        }
    }
}

/// Whom to tell when a batch is durable.
enum Told {
    Flushed(IOFlushed<Types>),
    Sender(oneshot::Sender<io::Result<()>>),
}
impl Told {
    fn tell(self, result: io::Result<()>) {
        match self {
            Self::Flushed(flushed) => flushed.io_completed(result),
            // Nobody waits any more: openraft was shut down.
            Self::Sender(sender) => drop(sender.send(result)),
        }
    }
}

impl Shared {
    /// The writer thread.
    fn run(&self, mut segments: Segments) {
        let mut newest = segments.newest();
        loop {
            let (requests, committed) = {
                let mut queue = locked(&self.queue);
                while queue.requests.is_empty() && !queue.closed {
                    queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                if queue.requests.is_empty() {
                    return;
                }
                (std::mem::take(&mut queue.requests), queue.committed.take())
            };
            self.serve(&mut segments, requests, committed);
            if segments.newest() != newest {
                newest = segments.newest();
                locked(&self.view).files = segments.readable();
            }
        }
    }

    /// What is queued, where it is asked for.
    fn write_here(&self) {
        let mut here = locked(&self.here);
        let (requests, committed) = {
            let mut queue = locked(&self.queue);
            (std::mem::take(&mut queue.requests), queue.committed.take())
        };
        if let Some(segments) = here.as_mut() {
            let newest = segments.newest();
            self.serve(segments, requests, committed);
            if segments.newest() != newest {
                locked(&self.view).files = segments.readable();
            }
        }
    }

    /// Writes requests in their order, together as far as that goes.
    fn serve(&self, segments: &mut Segments, requests: Vec<Request>, committed: Option<LogId>) {
        let mut changes = Vec::new();
        let mut told = Vec::new();
        changes.extend(committed.map(Change::Committed));
        for request in requests {
            match request {
                Request::Append { entries, done } => {
                    changes.extend(entries.into_iter().map(Change::Entry));
                    told.push(Told::Flushed(done));
                }
                Request::Vote { vote, done } => {
                    changes.push(Change::Vote(vote));
                    told.push(Told::Sender(done));
                }
                Request::Truncate { stay, last, done } => {
                    // Positions change, so what stands before it is written first.
                    self.write(segments, &mut changes, &mut told);
                    self.synced.lower(last);
                    changes.push(Change::Truncate { stay, last });
                    told.push(Told::Sender(done));
                    self.write(segments, &mut changes, &mut told);
                    let mut view = locked(&self.view);
                    let keep = usize::try_from(stay.saturating_sub(view.first)).unwrap_or(usize::MAX);
                    view.positions.truncate(keep);
                }
                Request::Purge { upto } => {
                    self.write(segments, &mut changes, &mut told);
                    self.purge(segments, upto);
                }
                Request::Reset { previous, done } => {
                    self.write(segments, &mut changes, &mut told);
                    self.reset(segments, previous, done);
                }
            }
        }
        self.write(segments, &mut changes, &mut told);
    }

    fn fail(&self, error: &io::Error) -> io::Error {
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            if first {
                *failed = Some(error.to_string().into());
            }
            first
        });
        io::Error::new(error.kind(), error.to_string())
    }
    /// The first failure, if there was one: the files are not touched any more.
    fn broken(&self) -> Option<io::Error> {
        self.failed.borrow().as_ref().map(|reason| io::Error::other(reason.to_string()))
    }

    fn write(&self, segments: &mut Segments, changes: &mut Vec<Change>, told: &mut Vec<Told>) {
        if changes.is_empty() && told.is_empty() {
            return;
        }
        let newest = segments.newest();
        let written = match self.broken() {
            Some(error) => Err(error),
            None => segments.write(changes),
        };
        changes.clear();
        match written {
            Ok(positions) => {
                self.synced.set(segments.last());
                let mut view = locked(&self.view);
                if segments.newest() != newest {
                    view.files = segments.readable();
                }
                view.positions.extend(positions);
                view.release(self.published.count());
                drop(view);
                told.drain(..).for_each(|one| one.tell(Ok(())));
            }
            Err(error) => {
                tracing::error!(%error, "cannot write the log");
                told.drain(..).for_each(|one| one.tell(Err(self.fail(&error))));
                self.fail(&error);
            }
        }
    }

    fn purge(&self, segments: &mut Segments, upto: u64) {
        if self.broken().is_some() {
            return;
        }
        match segments.drop_through(upto) {
            Ok(first) => {
                let mut view = locked(&self.view);
                while let Some(position) = view.positions.front().copied()
                    && position.segment < first
                {
                    view.positions.pop_front();
                    view.previous = Some(crate::types::log_id(position.term, view.first));
                    view.first += 1;
                }
                view.files = segments.readable();
            }
            // The file is tried again with the next purge.
            Err(error) => tracing::warn!(%error, "cannot remove an old segment of the log"),
        }
    }

    fn reset(&self, segments: &mut Segments, previous: LogId, done: oneshot::Sender<io::Result<()>>) {
        let result = match self.broken() {
            Some(error) => Err(error),
            None => segments.reset(previous).map_err(|error| self.fail(&error)),
        };
        if result.is_ok() {
            self.synced.set(Some(previous));
            let mut view = locked(&self.view);
            view.positions.clear();
            view.held.clear();
            (view.first, view.held_from) = (previous.index + 1, previous.index + 1);
            (view.previous, view.last) = (Some(previous), Some(previous));
            view.files = segments.readable();
        }
        Told::Sender(done).tell(result);
    }
}
