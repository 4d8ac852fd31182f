//! The log as openraft asks for it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::atomic::Ordering;

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};

use super::{Log, Request, locked, record};
use crate::network;
use crate::types::{Entry, LogId, Types, Vote};
use crate::wire;

/// So many entries are read at a time for another server.
const STEP: u64 = 256;

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<B: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: B,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start..end)
    }
    /// At most as much as one message carries, but always one entry.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut weight = 0;
        // Held entries are shared, not copied; those on the disk are read in small steps.
        while start + (entries.len() as u64) < end {
            let from = start + entries.len() as u64;
            let more = self.read(from..end.min(from + STEP))?;
            if more.is_empty() {
                break;
            }
            for entry in more {
                weight += network::weight(&entry.payload);
                if weight > wire::BATCH && !entries.is_empty() {
                    return Ok(entries);
                }
                entries.push(entry);
            }
        }
        Ok(entries)
    }
    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(locked(&self.0.view).vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let view = locked(&self.0.view);
        Ok(LogState { last_purged_log_id: view.previous, last_log_id: view.last })
    }
    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }
    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = *vote;
        self.ask_and_wait(|done| Request::Vote { vote, done }).await?;
        locked(&self.0.view).vote = Some(vote);
        Ok(())
    }
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        // It goes to the disk with the next entries: losing it costs a repetition, not an entry.
        locked(&self.0.view).committed = committed;
        locked(&self.0.queue).committed = committed;
        Ok(())
    }
    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        let view = locked(&self.0.view);
        Ok(view.committed.min(view.last))
    }
    async fn append<I>(&mut self, entries: I, done: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut stored = Vec::new();
        let mut bytes = 0;
        {
            let mut view = locked(&self.0.view);
            view.release(self.0.published.count());
            for entry in entries {
                let one = record::entry(&entry).map_err(io::Error::other)?;
                bytes += one.payload.len() as u64;
                view.last = Some(entry.log_id);
                view.held.push_back(entry);
                stored.push(one);
            }
        }
        let before = self.0.appended.fetch_add(bytes, Ordering::Relaxed);
        let (grown, step) = &self.0.grown;
        if before / step != (before + bytes) / step {
            grown.notify_one();
        }
        self.ask(Request::Append { entries: stored, done });
        Ok(())
    }
    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let stay = last.map_or(0, |id| id.index + 1);
        {
            let mut view = locked(&self.0.view);
            let keep = usize::try_from(stay.saturating_sub(view.held_from)).unwrap_or(usize::MAX);
            view.held.truncate(keep);
            view.held_from = view.held_from.min(stay);
            view.last = last;
        }
        self.ask_and_wait(|done| Request::Truncate { stay, last, done }).await
    }
    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let last = locked(&self.0.view).last;
        if last.is_none_or(|last| last < upto) {
            // A snapshot reaches beyond the log: it starts anew after the snapshot.
            return self.ask_and_wait(|done| Request::Reset { previous: upto, done }).await;
        }
        self.ask(Request::Purge { upto: upto.index.min(self.0.removable.load(Ordering::Relaxed)) });
        Ok(())
    }
}
