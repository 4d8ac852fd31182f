//! A disk that fails when a test says so; otherwise it is the one inside.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use super::{Disk, DiskFile, Open};

/// The switches of a `FaultyDisk`; shared with whoever flips them.
#[derive(Debug)]
pub struct Faults {
    /// Syncs fail with an input/output error, of files and of folders.
    pub fail_sync: AtomicBool,
    /// Writes fail with "no space left".
    pub fail_write: AtomicBool,
    /// Bytes that are said to be free; `u64::MAX` asks the disk inside.
    pub free: AtomicU64,
    /// Syncs that succeeded.
    pub syncs: AtomicU64,
    /// Held for writing, it holds up every sync.
    pub gate: RwLock<()>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            fail_sync: AtomicBool::new(false),
            fail_write: AtomicBool::new(false),
            free: AtomicU64::new(u64::MAX),
            syncs: AtomicU64::new(0),
            gate: RwLock::new(()),
        }
    }
}

impl Faults {
    fn sync(&self) -> io::Result<()> {
        let _open = self.gate.read();
        if self.fail_sync.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        self.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    fn write(&self) -> io::Result<()> {
        if self.fail_write.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error()));
        }
        Ok(())
    }
}

/// Another disk with faults.
#[derive(Debug)]
pub struct FaultyDisk {
    inside: Arc<dyn Disk>,
    faults: Arc<Faults>,
}

impl FaultyDisk {
    /// Wraps a disk; the switches are `faults`.
    pub fn new(inside: Arc<dyn Disk>, faults: Arc<Faults>) -> Self {
        Self { inside, faults }
    }
}

impl Disk for FaultyDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.inside.create_folder(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.inside.list(folder)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        if how == Open::Create {
            self.faults.write()?;
        }
        Ok(Arc::new(FaultyFile { inside: self.inside.open(path, how)?, faults: Arc::clone(&self.faults) }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inside.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inside.remove(path)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.faults.sync()?;
        self.inside.sync_folder(folder)
    }
    fn free(&self, path: &Path) -> io::Result<u64> {
        match self.faults.free.load(Ordering::SeqCst) {
            u64::MAX => self.inside.free(path),
            said => Ok(said),
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    inside: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
}

impl DiskFile for FaultyFile {
    fn length(&self) -> io::Result<u64> {
        self.inside.length()
    }
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inside.read_at(into, offset)
    }
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.faults.write()?;
        self.inside.write_at(data, offset)
    }
    fn reserve(&self, length: u64) -> io::Result<()> {
        self.faults.write()?;
        self.inside.reserve(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.faults.sync()?;
        self.inside.sync()
    }
}
