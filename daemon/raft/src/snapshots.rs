//! The snapshots in the data folder: written beside, synced, renamed; the newest two are kept, leftovers of crashes removed.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nomadd_model::Time;
use nomadd_state::{CommandSet, State};

use crate::archive::{self, SnapshotHeader};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{OpenError, SnapshotError};
use crate::machine::Applied;
use crate::types::{LogId, SnapshotMeta, StoredMembership, log_id};

/// So many are kept: the one before the newest serves when the newest is found damaged.
const KEPT: usize = 2;

/// A snapshot in the data folder.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) meta: SnapshotMeta,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
}

impl SnapshotFile {
    pub(crate) fn index(&self) -> u64 {
        self.meta.last_log_id.map_or(0, |id| id.index)
    }
}

/// The folder of snapshots.
#[derive(Debug)]
pub(crate) struct Snapshots {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    commands: CommandSet,
    /// The kept ones, oldest first.
    kept: Mutex<Vec<SnapshotFile>>,
}

/// The header of a snapshot of what is applied.
pub(crate) fn header(applied: &Applied, created: Time) -> SnapshotHeader {
    SnapshotHeader {
        index: applied.last.map_or(0, |id| id.index),
        term: applied.last.map_or(0, |id| id.leader_id.term),
        created,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        empty: applied.last.is_none(),
        membership_at: applied.membership.log_id().map(|id| (id.index, id.leader_id.term)),
        servers: applied.membership.membership().into(),
    }
}

/// What openraft knows of a snapshot.
fn meta(header: &SnapshotHeader) -> Result<SnapshotMeta, SnapshotError> {
    let membership = header.servers.clone().membership().map_err(SnapshotError::Damaged)?;
    let at: Option<LogId> = header.membership_at.map(|(index, term)| log_id(term, index));
    Ok(SnapshotMeta {
        last_log_id: (!header.empty).then(|| log_id(header.term, header.index)),
        last_membership: StoredMembership::new(at, membership),
    })
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { what, path: path.to_owned(), source }
}

impl Snapshots {
    /// Opens the folder and reads the newest snapshot, if there is one.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        commands: CommandSet,
    ) -> Result<(Self, Option<Applied>), OpenError> {
        disk.create_folder(folder).map_err(failed("create", folder))?;
        let mut names = Vec::new();
        for name in disk.list(folder).map_err(failed("read", folder))? {
            let path = folder.join(&name);
            if name.ends_with(".tmp") {
                disk.remove(&path).map_err(failed("remove", &path))?;
            } else if name.ends_with(".snapshot") {
                names.push(name);
            }
        }
        // Names begin with the index at full width, so their order is the order of the snapshots.
        let mut kept = Vec::new();
        let mut newest = None;
        let count = names.len();
        for (place, name) in names.iter().enumerate() {
            let path = folder.join(name);
            let unusable = |source| {
                let next = if place > 0 {
                    format!("remove it, and the server starts from {}", names[place - 1])
                } else {
                    "put a sound copy in its place, or restore this server's data folder from a backup".to_owned()
                };
                OpenError::Snapshot { path: path.clone(), next, source }
            };
            let file = disk.open(&path, Open::Read).map_err(failed("open", &path))?;
            let size = file.length().map_err(failed("read", &path))?;
            let mut reader = FileReader::new(file);
            if place + 1 == count {
                let (header, state) = archive::read(&mut reader, u64::MAX, commands).map_err(unusable)?;
                let meta = meta(&header).map_err(unusable)?;
                newest = Some(Applied {
                    state: Arc::new(state),
                    last: meta.last_log_id,
                    membership: meta.last_membership.clone(),
                });
                kept.push(SnapshotFile { meta, path: path.clone(), size });
            } else {
                let header = archive::header(&mut reader).map_err(unusable)?;
                let meta = meta(&header).map_err(unusable)?;
                kept.push(SnapshotFile { meta, path: path.clone(), size });
            }
        }
        Ok((Self { disk, folder: folder.to_owned(), commands, kept: Mutex::new(kept) }, newest))
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
    /// The commands that this server can apply.
    pub(crate) const fn commands(&self) -> CommandSet {
        self.commands
    }
    fn kept(&self) -> MutexGuard<'_, Vec<SnapshotFile>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn newest(&self) -> Option<SnapshotFile> {
        self.kept().last().cloned()
    }
    /// Entries of the log above this index are needed by the oldest kept snapshot.
    pub(crate) fn oldest_index(&self) -> u64 {
        self.kept().first().map_or(0, SnapshotFile::index)
    }

    /// Writes what is applied as the newest snapshot; one that is as new already is answered instead.
    pub(crate) fn write(&self, applied: &Applied, created: Time) -> Result<SnapshotFile, SnapshotError> {
        if let Some(newest) = self.newest().filter(|newest| newest.meta.last_log_id >= applied.last) {
            return Ok(newest);
        }
        self.put(applied, created)
    }

    /// Writes what is applied in the place of a snapshot that is as new; there are no others after.
    pub(crate) fn rewrite(&self, applied: &Applied, created: Time) -> Result<SnapshotFile, SnapshotError> {
        let file = self.put(applied, created)?;
        self.keep_only_newest();
        Ok(file)
    }

    fn put(&self, applied: &Applied, created: Time) -> Result<SnapshotFile, SnapshotError> {
        let header = header(applied, created);
        let path = self.folder.join(format!("{:020}-{}.snapshot", header.index, header.term));
        let beside = path.with_extension("tmp");
        let size = match self.write_beside(&beside, &applied.state, &header) {
            Ok(size) => size,
            Err(error) => {
                // What was written of it only takes room.
                let _leftover = self.disk.remove(&beside);
                return Err(error);
            }
        };
        let failed = |source| SnapshotError::Io { what: "put the snapshot in its place", source };
        self.disk.rename(&beside, &path).map_err(failed)?;
        self.disk.sync_folder(&self.folder).map_err(failed)?;
        let file = SnapshotFile { meta: meta(&header)?, path, size };
        let mut kept = self.kept();
        kept.retain(|known| known.path != file.path);
        kept.push(file.clone());
        // One that was begun before another may be done after it.
        kept.sort_by_key(|known| known.meta.last_log_id);
        while kept.len() > KEPT {
            let old = kept.remove(0);
            if let Err(error) = self.disk.remove(&old.path) {
                tracing::warn!(%error, path = %old.path.display(), "cannot remove an old snapshot");
            }
        }
        Ok(file)
    }

    /// Reads the state of a snapshot.
    pub(crate) fn read(&self, file: &SnapshotFile) -> Result<State, SnapshotError> {
        let failed = |source| SnapshotError::Io { what: "open the snapshot", source };
        let reader = FileReader::new(self.disk.open(&file.path, Open::Read).map_err(failed)?);
        archive::read(reader, u64::MAX, self.commands).map(|(_, state)| state)
    }

    /// Puts a snapshot that another server sent in its place, at once; the older ones go, since the log no longer reaches
    /// back to them. One that is in its place already is answered as it is.
    pub(crate) fn adopt(&self, file: &SnapshotFile) -> Result<SnapshotFile, SnapshotError> {
        if file.path.extension().is_none_or(|extension| extension != "tmp") {
            return Ok(file.clone());
        }
        let term = file.meta.last_log_id.map_or(0, |id| id.leader_id.term);
        let path = self.folder.join(format!("{:020}-{term}.snapshot", file.index()));
        let failed = |source| SnapshotError::Io { what: "put the leader's snapshot in its place", source };
        self.disk.rename(&file.path, &path).map_err(failed)?;
        self.disk.sync_folder(&self.folder).map_err(failed)?;
        let adopted = SnapshotFile { path, ..file.clone() };
        let mut kept = self.kept();
        kept.retain(|known| known.path != adopted.path);
        kept.push(adopted.clone());
        drop(kept);
        self.keep_only_newest();
        Ok(adopted)
    }

    /// Removes all but the newest: the log no longer reaches back to them.
    pub(crate) fn keep_only_newest(&self) {
        let mut kept = self.kept();
        let spare = kept.len().saturating_sub(1);
        for old in kept.drain(..spare) {
            if let Err(error) = self.disk.remove(&old.path) {
                tracing::warn!(%error, path = %old.path.display(), "cannot remove an old snapshot");
            }
        }
    }

    fn write_beside(&self, path: &Path, state: &State, header: &SnapshotHeader) -> Result<u64, SnapshotError> {
        let failed = |source| SnapshotError::Io { what: "write the snapshot", source };
        let file = self.disk.open(path, Open::Create).map_err(failed)?;
        let mut writer = io::BufWriter::with_capacity(1 << 20, FileWriter { file: Arc::clone(&file), at: 0 });
        let size = archive::write(state, header, &mut writer)?;
        writer.flush().map_err(failed)?;
        file.sync().map_err(failed)?;
        Ok(size)
    }
}

/// Reads a snapshot to its end and answers what openraft must know of it.
pub(crate) fn check(file: Arc<dyn DiskFile>) -> Result<SnapshotMeta, SnapshotError> {
    meta(&archive::inspect(FileReader::new(file))?.header)
}

struct FileWriter {
    file: Arc<dyn DiskFile>,
    at: u64,
}
impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a file in large steps.
pub(crate) struct FileReader {
    file: Arc<dyn DiskFile>,
    at: u64,
    buffer: Vec<u8>,
    used: usize,
}
impl FileReader {
    pub(crate) const fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, at: 0, buffer: Vec::new(), used: 0 }
    }
}
impl Read for FileReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.used == self.buffer.len() {
            self.buffer.resize(1 << 20, 0);
            let read = self.file.read_at(&mut self.buffer, self.at)?;
            self.buffer.truncate(read);
            self.at += read as u64;
            self.used = 0;
        }
        let count = into.len().min(self.buffer.len() - self.used);
        into[..count].copy_from_slice(&self.buffer[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}
