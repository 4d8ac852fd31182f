//! The disk of the operating system.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FallocateFlags;

use super::{Disk, DiskFile, Durability, Open};

/// Files of the operating system; with `NoSync` syncing does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk {
    /// Whether syncing does anything.
    pub durability: Durability,
}

impl Disk for RealDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            // Names that are not UTF-8 are not ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let file = match how {
            Open::Read => File::open(path)?,
            Open::Create => {
                OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?
            }
        };
        Ok(Arc::new(RealFile { file, durability: self.durability }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        match self.durability {
            Durability::Sync => File::open(folder)?.sync_all(),
            Durability::NoSync => Ok(()),
        }
    }
    fn free(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    durability: Durability,
}

/// Zeros are written in pieces of this size.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

impl RealFile {
    /// Writes zeros. Blocks that are only reserved are marked as written after each first write by a thread of the kernel's,
    /// which every sync waits for: on a busy machine for tens of milliseconds (measured: 264 us a sync on the average, 142 ms
    /// at most; into blocks that were written before 70 to 155 us and 2 ms).
    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        let mut at = from;
        while at < to {
            let piece = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROS.len());
            self.file.write_all_at(&ZEROS[..piece], at)?;
            at += piece as u64;
        }
        Ok(())
    }
}

impl DiskFile for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self.file.read_at(&mut into[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
    fn reserve(&self, length: u64) -> io::Result<()> {
        let now = self.length()?;
        if now >= length {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), now, length - now) {
            // A file system that cannot reserve gets a file with a hole: slower, not wrong.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => return self.file.set_len(length),
            other => other?,
        }
        match self.durability {
            Durability::Sync => self.fill(now, length),
            Durability::NoSync => Ok(()),
        }
    }
    fn sync(&self) -> io::Result<()> {
        match self.durability {
            Durability::Sync => self.file.sync_data(),
            Durability::NoSync => Ok(()),
        }
    }
}
