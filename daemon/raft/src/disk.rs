//! The disk as the raft room sees it: a small trait, so that tests break it and a simulation loses what was not synced.
//!
//! Everything that must survive a crash (log segments, snapshots, the folder's version) goes through here; nothing else does.
//! `disk/real.rs` is the operating system, `disk/faulty.rs` a wrapper that fails on demand.

mod faulty;
mod real;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use faulty::{Faults, FaultyDisk};
pub use real::RealDisk;

/// Whether acknowledged writes survive the loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Every acknowledged write is on the disk.
    #[default]
    Sync,
    /// Writes reach the operating system only: they survive the process, not the machine (`-dev`).
    NoSync,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It exists and is only read.
    Read,
    /// It is made anew and empty; what was there is gone.
    Create,
}

/// A place for files. Paths are whole paths; names beneath one folder are unique.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Makes a folder and those above it; one that exists is fine.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, sorted.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// Puts a file in the place of another, at once.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Bytes that an ordinary writer can still write on the file system of `path`.
    fn free(&self, path: &Path) -> io::Result<u64>;
}

/// An open file; positions and lengths in bytes.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Its length.
    fn length(&self) -> io::Result<u64>;
    /// Fills `into` from `offset` on; fewer bytes only at the end of the file.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `data` at `offset`.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Makes it at least `length` long, with zeros, so that later writes need no new blocks.
    fn reserve(&self, length: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
}

/// Reads a whole file.
pub(crate) fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Writes a small file so that it is there whole or not at all: beside it, synced, then renamed.
pub(crate) fn write_whole(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let file = disk.open(&beside, Open::Create)?;
    file.write_at(content, 0)?;
    file.sync()?;
    disk.rename(&beside, path)?;
    match path.parent() {
        Some(folder) => disk.sync_folder(folder),
        None => Ok(()),
    }
}
