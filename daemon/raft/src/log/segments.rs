//! The files of the log: plain append-only segments, reserved ahead, one write and one sync per batch.
//!
//! Why not a key-value store: measured on the machine this was built on (ext4, one writer), a write and fdatasync of one 300-byte
//! entry takes 23 µs into a reserved segment and 35 µs into a growing file (40,000 and 27,000 entries/s; 16 entries of 1 KiB:
//! 350,000/s), where fjall 3 gave 4,000 to 6,000/s at batch 1 and 44,000 to 58,000/s at 16. A log only appends, is read in order
//! and dropped from the front, so the store's tables and their compaction are work without use; and a failed sync poisons a
//! whole store, but here only the last segment, which is never trusted again: `open` copies what is sound in it into a new file.
//!
//! Segments are numbered; each starts with the vote, so older ones can go. Called by the writer thread (`log.rs`) only.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record;
use crate::disk::{Disk, DiskFile, Open, read_all};
use crate::frame::{self, Batch, HEADER, Header};
use crate::types::{LogId, StoredMembership, Vote, log_id};

/// Room is reserved in such steps.
const RESERVE: u64 = 2 << 20;

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    pub(crate) term: u64,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system failed.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file of the log is damaged where it had been written for good.
    #[error(
        "the log is damaged in {path} at byte {offset}: {reason}; entries from there on cannot be trusted: restore this server's data folder from a backup, or remove it and restore a saved snapshot"
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A segment in between is gone.
    #[error(
        "the log lacks segment {number} in {folder}: put the file back, or restore this server's data folder from a backup"
    )]
    Missing {
        /// The log's folder.
        folder: PathBuf,
        /// The number of the segment.
        number: u64,
    },
}

/// What a segment's file holds.
#[derive(Debug)]
struct Segment {
    number: u64,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    salt: u32,
    /// The greatest index in it.
    last: Option<u64>,
}

/// What a reader needs of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Readable {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) path: PathBuf,
    pub(crate) salt: u32,
}

/// What was found when the log was opened.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    /// The entry before the first.
    pub(crate) previous: Option<LogId>,
    pub(crate) positions: VecDeque<Position>,
    /// The last two memberships of the log.
    pub(crate) memberships: Vec<StoredMembership>,
    /// Bytes of an unfinished write that were cut off.
    pub(crate) torn: u64,
}

impl Found {
    pub(crate) fn first_index(&self) -> u64 {
        self.previous.map_or(0, |id| id.index.saturating_add(1))
    }
    fn next_index(&self) -> u64 {
        self.first_index().saturating_add(self.positions.len() as u64)
    }
    pub(crate) fn last(&self) -> Option<LogId> {
        match self.positions.back() {
            Some(position) => Some(log_id(position.term, self.next_index() - 1)),
            None => self.previous,
        }
    }
}

/// The open log.
#[derive(Debug)]
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// A segment is closed when it is longer.
    most: u64,
    segments: VecDeque<Segment>,
    salt: u32,
    /// Where the next batch goes.
    end: u64,
    reserved: u64,
    next_batch: u64,
    vote: Option<Vote>,
    committed: Option<LogId>,
    last: Option<LogId>,
    batch: Batch,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    move |source| LogError::Io { what, path: path.to_owned(), source }
}

impl Segments {
    /// Opens the log in a folder, or begins one. The last segment is copied into a new file: whether the bytes of the old one
    /// ever reached the disk is not known after a crash or a failed sync. `salt` is any number that differs from run to run.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: &Path, salt: u32, most: u64) -> Result<(Self, Found), LogError> {
        disk.create_folder(folder).map_err(failed("create", folder))?;
        let mut numbers = Vec::new();
        for name in disk.list(folder).map_err(failed("read", folder))? {
            let path = folder.join(&name);
            if name.ends_with(".tmp") {
                disk.remove(&path).map_err(failed("remove", &path))?;
            } else if let Some(number) = name.strip_suffix(".log").and_then(|name| name.parse::<u64>().ok()) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        let mut log = Self {
            disk,
            folder: folder.to_owned(),
            most: most.min(1 << 30),
            segments: VecDeque::new(),
            salt,
            end: 0,
            reserved: 0,
            next_batch: 1,
            vote: None,
            committed: None,
            last: None,
            batch: Batch::default(),
        };
        let mut found = Found::default();
        for (place, number) in numbers.iter().enumerate() {
            if let Some(before) = log.segments.back()
                && before.number + 1 != *number
            {
                return Err(LogError::Missing { folder: folder.to_owned(), number: before.number + 1 });
            }
            log.load(*number, place + 1 == numbers.len(), &mut found)?;
        }
        log.vote = found.vote;
        log.committed = found.committed;
        log.last = found.last();
        if log.segments.is_empty() {
            log.begin(1, None).map_err(failed("create the first segment of", folder))?;
        }
        Ok((log, found))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}.log"))
    }

    /// Reads one segment into `found`.
    fn load(&mut self, number: u64, newest: bool, found: &mut Found) -> Result<(), LogError> {
        let path = self.path(number);
        let file = self.disk.open(&path, Open::Read).map_err(failed("open", &path))?;
        let bytes = read_all(&*file).map_err(failed("read", &path))?;
        let damaged = |offset: usize, reason: &str| LogError::Damaged {
            path: path.clone(),
            offset: offset as u64,
            reason: reason.to_owned(),
        };
        let place = Place { number, first: self.segments.is_empty(), newest, next_batch: self.next_batch };
        let Taken { header, end: at, next_batch, last } =
            take(&bytes, &place, found).map_err(|(offset, reason)| damaged(offset, &reason))?;
        self.next_batch = next_batch;
        let mut segment = Segment { number, path: path.clone(), file, salt: header.salt, last };
        if newest {
            self.salt = header.salt;
            self.end = at as u64;
            segment.file =
                self.renew(&segment.path, &bytes[..at]).map_err(failed("write a sound copy of", &segment.path))?;
        }
        self.segments.push_back(segment);
        Ok(())
    }

    /// Puts a new file with these bytes in the place of a segment.
    fn renew(&mut self, path: &Path, sound: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
        let beside = path.with_extension("tmp");
        let file = self.disk.open(&beside, Open::Create)?;
        file.write_at(sound, 0)?;
        file.sync()?;
        self.disk.rename(&beside, path)?;
        self.disk.sync_folder(&self.folder)?;
        self.reserved = sound.len() as u64;
        Ok(file)
    }

    /// Starts a segment; entries after `previous` follow.
    fn begin(&mut self, number: u64, previous: Option<LogId>) -> io::Result<()> {
        // Another salt than before, so that what an old file left on the disk is not taken for this one's.
        self.salt = self.salt.wrapping_mul(0x9e37_79b1).wrapping_add(number as u32 | 1);
        let header = Header {
            number,
            first_batch: self.next_batch,
            previous: previous.map(|id| (id.index, id.leader_id.term)),
            salt: self.salt,
        };
        let path = self.path(number);
        let file = self.renew(&path, &header.encode())?;
        self.end = HEADER as u64;
        self.segments.push_back(Segment { number, path, file, salt: self.salt, last: None });
        Ok(())
    }

    fn start_batch(&mut self) {
        self.batch.clear();
        if self.end == HEADER as u64 {
            if let Some(vote) = &self.vote {
                self.batch.push(self.salt, record::VOTE, &[&record::vote(vote)]);
            }
            if let Some(committed) = self.committed {
                self.batch.push(self.salt, record::COMMITTED, &[&record::id(committed)]);
            }
        }
    }

    /// Writes changes in their order, makes them durable, and returns where the entries stand.
    pub(crate) fn write(&mut self, changes: &[Change]) -> io::Result<Vec<Position>> {
        if self.end > self.most {
            let number = self.newest() + 1;
            self.begin(number, self.last)?;
        }
        let mut positions = Vec::with_capacity(changes.len());
        self.start_batch();
        let mut wrote = false;
        for change in changes {
            if self.batch.is_full() || self.batch.bytes.len() as u64 > self.most {
                self.flush()?;
                wrote = true;
                self.start_batch();
            }
            match change {
                Change::Entry(stored) => {
                    let at = self.batch.push(self.salt, record::ENTRY, &[&stored.head, &stored.payload]);
                    positions.push(Position {
                        segment: self.newest(),
                        term: stored.id.leader_id.term,
                        offset: (self.end + at.start as u64) as u32,
                        length: at.len() as u32,
                    });
                    self.last = Some(stored.id);
                    if let Some(segment) = self.segments.back_mut() {
                        segment.last = segment.last.max(Some(stored.id.index));
                    }
                }
                Change::Vote(vote) => {
                    self.batch.push(self.salt, record::VOTE, &[&record::vote(vote)]);
                    self.vote = Some(*vote);
                }
                Change::Committed(committed) => {
                    self.batch.push(self.salt, record::COMMITTED, &[&record::id(*committed)]);
                    self.committed = Some(*committed);
                }
                Change::Truncate { stay, last } => {
                    self.batch.push(self.salt, record::TRUNCATE, &[&record::truncate(*stay, *last)]);
                    self.last = *last;
                }
            }
        }
        if !self.batch.is_empty() || !wrote {
            self.flush()?;
        }
        Ok(positions)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(segment) = self.segments.back() else { return Err(io::ErrorKind::NotFound.into()) };
        let bytes = self.batch.seal(self.salt, self.next_batch);
        let end = self.end + bytes.len() as u64;
        if end > self.reserved {
            segment.file.reserve(end.next_multiple_of(RESERVE))?;
            self.reserved = end.next_multiple_of(RESERVE);
        }
        segment.file.write_at(bytes, self.end)?;
        segment.file.sync()?;
        metrics::counter!("nomad.raft.log.sync").increment(1);
        metrics::counter!("nomad.raft.log.write").increment(bytes.len() as u64);
        self.end = end;
        self.next_batch += 1;
        Ok(())
    }

    /// Removes segments whose entries are all at or below `upto`; returns the numbers of the removed.
    pub(crate) fn drop_through(&mut self, upto: u64) -> io::Result<u64> {
        let mut first = self.segments.front().map_or(0, |segment| segment.number);
        while self.segments.len() > 1
            && self.segments.front().is_some_and(|segment| segment.last.is_none_or(|last| last <= upto))
        {
            if let Some(gone) = self.segments.pop_front() {
                self.disk.remove(&gone.path)?;
                first = gone.number + 1;
            }
        }
        Ok(first)
    }

    /// Starts anew after `previous`, which a snapshot holds: everything before goes.
    pub(crate) fn reset(&mut self, previous: LogId) -> io::Result<()> {
        let number = self.newest() + 1;
        self.last = Some(previous);
        self.begin(number, Some(previous))?;
        // The vote must be durable in the new segment before the old ones go.
        self.write(&[])?;
        while self.segments.len() > 1 {
            if let Some(gone) = self.segments.pop_front() {
                self.disk.remove(&gone.path)?;
            }
        }
        Ok(())
    }

    /// The segments as readers need them, by number.
    pub(crate) fn readable(&self) -> BTreeMap<u64, Readable> {
        let one = |segment: &Segment| Readable {
            file: Arc::clone(&segment.file),
            path: segment.path.clone(),
            salt: segment.salt,
        };
        self.segments.iter().map(|segment| (segment.number, one(segment))).collect()
    }
    /// The last entry written.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.last
    }
    /// The number of the newest segment.
    pub(crate) fn newest(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.number)
    }
}

/// Something to write.
#[derive(Debug)]
pub(crate) enum Change {
    Entry(record::StoredEntry),
    Vote(Vote),
    Committed(LogId),
    /// Entries from index `stay` on go; `last` is then the last one.
    Truncate {
        stay: u64,
        last: Option<LogId>,
    },
}

/// Where a segment stands among the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The number that its file's name has.
    pub(crate) number: u64,
    /// Whether none comes before it.
    pub(crate) first: bool,
    /// Whether none comes after it: then its end may be torn.
    pub(crate) newest: bool,
    /// The batch that comes next, unless it is the first segment.
    pub(crate) next_batch: u64,
}

/// What the bytes of a segment turned out to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) header: Header,
    /// Where the last whole batch ends.
    pub(crate) end: usize,
    pub(crate) next_batch: u64,
    /// The greatest index in it, entries that were truncated later among them.
    pub(crate) last: Option<u64>,
}

/// Takes the bytes of one segment over into `found`; where and why not, in words. Touches no file.
pub(crate) fn take(bytes: &[u8], place: &Place, found: &mut Found) -> Result<Taken, (usize, String)> {
    let damaged = |offset: usize, reason: &str| Err((offset, reason.to_owned()));
    let Some(header) = Header::decode(bytes) else {
        return damaged(0, "its header is not that of a log segment");
    };
    if header.number != place.number {
        return damaged(0, "it is the file of another segment");
    }
    let previous = header.previous.map(|(index, term)| log_id(term, index));
    let mut next_batch = place.next_batch;
    if place.first {
        next_batch = header.first_batch;
        found.previous = previous;
    } else if header.first_batch != next_batch {
        return damaged(0, "the segment before it lacks its end");
    } else if previous != found.last() {
        if previous <= found.last() {
            return damaged(0, "it does not follow the segment before it");
        }
        // A snapshot took the place of all that was before.
        found.previous = previous;
        found.positions.clear();
        found.memberships.clear();
    }
    let mut greatest = None;
    let mut at = HEADER;
    while let Some(whole) = frame::batch(bytes, at, header.salt) {
        if whole.number != next_batch {
            return damaged(at, "a write before this one is missing");
        }
        for record in &whole.records {
            let body = record.body(bytes);
            let position = (place.number, record.at.start);
            replay(record.kind, body, position, record.at.len(), found).map_err(|reason| (record.at.start, reason))?;
        }
        greatest = greatest.max(found.last().map(|last| last.index));
        next_batch = next_batch.saturating_add(1);
        at = whole.end;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let torn = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if torn > 0 {
        if !place.newest {
            return damaged(at, "a write in the middle of the log is not whole");
        }
        if let Some(later) = frame::batch_after(&bytes[..at + torn], at + 1, header.salt) {
            return damaged(at, &format!("a write is not whole, and a later one at byte {later} is"));
        }
        found.torn = torn as u64;
    }
    Ok(Taken { header, end: at, next_batch, last: greatest })
}

/// Takes one record of the file over into `found`; why not, in words.
fn replay(kind: u8, body: &[u8], at: (u64, usize), length: usize, found: &mut Found) -> Result<(), String> {
    match kind {
        record::ENTRY => {
            let (index, term, payload) = record::entry_head(body).ok_or("an entry is too short")?;
            if index != found.next_index() {
                return Err(format!("entry {index} stands where entry {} belongs", found.next_index()));
            }
            if payload == record::MEMBERSHIP {
                let entry = record::read_entry(body)?;
                if let openraft::EntryPayload::Membership(membership) = entry.payload {
                    found.memberships.push(StoredMembership::new(Some(entry.log_id), membership));
                    let spare = found.memberships.len().saturating_sub(2);
                    found.memberships.drain(..spare);
                }
            }
            let (segment, offset) = at;
            found.positions.push_back(Position { segment, term, offset: offset as u32, length: length as u32 });
        }
        record::VOTE => found.vote = Some(record::read_vote(body).ok_or("a vote is too short")?),
        record::COMMITTED => found.committed = Some(record::read_id(body).ok_or("a commit mark is too short")?),
        record::TRUNCATE => {
            let (stay, last) = record::read_truncate(body).ok_or("a truncation is too short")?;
            match stay.checked_sub(found.first_index()) {
                Some(keep) => found.positions.truncate(usize::try_from(keep).unwrap_or(usize::MAX)),
                // What it cut off stood in segments that were dropped since, behind a snapshot.
                None if stay == 0 || last.is_some() => {
                    found.previous = last;
                    found.positions.clear();
                }
                None => return Err(format!("it cuts off what follows entry {stay}, which is not there")),
            }
            found.memberships.retain(|stored| stored.log_id().is_some_and(|id| id.index < stay));
        }
        other => return Err(format!("its record kind {other} is not known to this release: a newer one wrote it")),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
