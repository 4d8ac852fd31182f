//! Snapshots that the room orders: beside the work, because somebody asked, or in the place of what was there (restore).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nomadd_runtime::TaskKind;
use nomadd_state::{Command, State};

use super::{Room, Running, chain};
use crate::error::{ProposeError, SnapshotError};
use crate::machine::Applied;
use crate::shared::{Core, blocking};
use crate::snapshots::Snapshots;
use crate::types::log_id;

impl Room {
    /// Writes a snapshot beside the work and lets openraft drop what it covers.
    pub(super) fn compact(&self, core: &Arc<Core>) {
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

    pub(super) async fn compacted(&self, core: &Core) {
        covered(core, &self.shared.snapshots).await;
    }

    /// Writes a snapshot of what is applied now.
    pub(super) async fn snapshot(&self) -> Result<u64, SnapshotError> {
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
    pub(super) async fn restore(
        &mut self,
        running: Running,
        state: State,
    ) -> (Result<u64, SnapshotError>, Option<Running>) {
        self.fail("a snapshot is being restored".into());
        let log = running.core.log.clone();
        self.end(running).await;
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

/// Tells openraft of a snapshot that is written, and the log what it may drop.
async fn covered(core: &Core, snapshots: &Snapshots) {
    core.log.keep_after(snapshots.oldest_index());
    if core.raft.trigger().snapshot().await.is_err() {
        tracing::debug!("the consensus ended before it heard of a snapshot");
    }
}
