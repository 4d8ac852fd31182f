//! The state machine and its snapshots as openraft asks for them.
//!
//! Snapshots are written by the room before openraft is told (`room.rs`), so that a full disk fails a snapshot and not the
//! server; the builder then only answers what is there. It writes one itself where openraft must have one.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use openraft::storage::{EntryResponder, RaftStateMachine, Snapshot};
use openraft::{OptionalSend, RaftSnapshotBuilder};

use super::{Applied, Machine, Work};
use crate::shared::blocking;
use crate::snapshots::SnapshotFile;
use crate::types::{LogId, SnapshotMeta, StoredMembership, Types};

type SnapshotOf = openraft::type_config::alias::SnapshotOf<Types, SnapshotFile>;

fn snapshot(file: SnapshotFile) -> SnapshotOf {
    Snapshot { meta: file.meta.clone(), snapshot: file }
}

/// Makes a snapshot of what was applied when it was made.
#[derive(Debug)]
pub(crate) struct Builder {
    machine: Machine,
    applied: Arc<Applied>,
    ready: Option<SnapshotFile>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf, io::Error> {
        if let Some(ready) = self.ready.take() {
            return Ok(snapshot(ready));
        }
        let (snapshots, applied) = (Arc::clone(&self.machine.snapshots), Arc::clone(&self.applied));
        let now = self.machine.clock.now();
        let written = blocking(self.machine.inline, move || snapshots.write(&applied, now)).await;
        written?.map(snapshot).map_err(io::Error::other)
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let applied = self.published.applied.load();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut entries = entries;
        let mut batch = Vec::new();
        while let Some(entry) = entries.next().await {
            batch.push(entry?);
        }
        self.ask(|done| Work::Apply { entries: batch, done }).await
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        let ready = self.snapshots.newest();
        if ready.is_none() && !force {
            return None;
        }
        Some(Builder { machine: self.clone(), applied: self.published.applied.load_full(), ready })
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { machine: self.clone(), applied: self.published.applied.load_full(), ready: None }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, file: SnapshotFile) -> Result<(), io::Error> {
        let snapshots = Arc::clone(&self.snapshots);
        let read = blocking(self.inline, move || snapshots.adopt(&file).and_then(|file| snapshots.read(&file))).await;
        let state = read?.map_err(io::Error::other)?;
        let applied =
            Applied { state: Arc::new(state), last: meta.last_log_id, membership: meta.last_membership.clone() };
        self.install(applied).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf>, io::Error> {
        Ok(self.snapshots.newest().map(snapshot))
    }
}
