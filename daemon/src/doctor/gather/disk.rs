//! The disks of the agent's folders: room, how long a synced write takes, and files from the future.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use crate::doctor::facts::Disk;

/// How many writes are timed; the one in the middle counts.
const WRITES: usize = 9;
/// How many files of a folder are looked at for their times.
const MOST_FILES: usize = 10_000;

/// Looks at the disk of a folder, or of the next one above that is there.
pub fn look(folder: &Path) -> Disk {
    let there = existing(folder);
    let Ok(of) = rustix::fs::statvfs(&there) else { return Disk::default() };
    let used = of.f_files.saturating_sub(of.f_favail);
    Disk {
        free: of.f_bavail.saturating_mul(of.f_frsize),
        total: of.f_blocks.saturating_mul(of.f_frsize),
        inodes: (used * 100).checked_div(of.f_files).unwrap_or(0),
        sync: Some(time(&there).map_err(|error| error.to_string())),
    }
}

/// The folder itself or the nearest above it.
fn existing(folder: &Path) -> PathBuf {
    folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// What a write of a log entry takes here, in microseconds.
fn time(folder: &Path) -> io::Result<u64> {
    let path = folder.join(format!(".nomadd-doctor-{}", std::process::id()));
    let timed = write(&path);
    drop(fs::remove_file(&path));
    timed
}

fn write(path: &Path) -> io::Result<u64> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    let mut spans = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let begun = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        spans.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    spans.sort_unstable();
    Ok(spans.get(WRITES / 2).copied().unwrap_or_default())
}

/// By how many seconds the newest file of a folder is in the future; 0 when none is.
pub fn ahead(folder: &Path) -> i64 {
    let now = SystemTime::now();
    let mut open = vec![folder.to_owned()];
    let (mut seen, mut most) = (0, 0);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            seen += 1;
            if seen > MOST_FILES {
                return most;
            }
            // Links are not followed, and other file systems below (tasks' memory) are small.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                open.push(entry.path());
            } else if let Some(span) = metadata.modified().ok().and_then(|time| time.duration_since(now).ok()) {
                most = most.max(i64::try_from(span.as_secs()).unwrap_or(i64::MAX));
            }
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_disk_is_timed_without_a_trace_and_a_file_of_tomorrow_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let disk = look(&folder.path().join("not/there/yet"));
        assert!(disk.total > 0 && disk.free <= disk.total && disk.sync.unwrap().is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(ahead(folder.path()), 0);
        let file = File::create(folder.path().join("log")).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
        assert!((86_000..=86_400).contains(&ahead(folder.path())));
    }
}
