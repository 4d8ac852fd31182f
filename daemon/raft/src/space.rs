//! The gate before the disk: writes are refused while there is too little room for a log that must never stop half-way.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use nomadd_model::Time;

use crate::disk::Disk;

/// An answer of the file system is good for so long, in ns.
const FRESH: i64 = 50_000_000;

/// A number of bytes for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 30 => write!(f, "{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
            bytes if bytes >= 1 << 20 => write!(f, "{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
            bytes if bytes >= 1 << 10 => write!(f, "{:.1} KiB", bytes as f64 / f64::from(1 << 10)),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// There is too little room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    pub(crate) free: Size,
    pub(crate) needed: Size,
}

/// Watches the free space of the data folder.
#[derive(Debug)]
pub(crate) struct Space {
    disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
    needed: u64,
    free: AtomicU64,
    asked: AtomicI64,
}

impl Space {
    pub(crate) const fn new(disk: Arc<dyn Disk>, path: PathBuf, needed: u64) -> Self {
        Self { disk, path, needed, free: AtomicU64::new(0), asked: AtomicI64::new(0) }
    }
    /// Whether there is room to write. Asks the file system at most every 50 ms, and each time while there is none.
    pub(crate) fn check(&self, now: Time) -> Result<(), Short> {
        let mut free = self.free.load(Ordering::Relaxed);
        let age = now.0.saturating_sub(self.asked.load(Ordering::Relaxed));
        if free < self.needed || !(0..FRESH).contains(&age) {
            match self.disk.free(&self.path) {
                Ok(found) => free = found,
                Err(error) => {
                    // A file system that cannot answer is found out by the write itself.
                    tracing::warn!(%error, path = %self.path.display(), "cannot tell the free space");
                    free = u64::MAX;
                }
            }
            self.free.store(free, Ordering::Relaxed);
            self.asked.store(now.0, Ordering::Relaxed);
        }
        if free >= self.needed { Ok(()) } else { Err(Short { free: Size(free), needed: Size(self.needed) }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Faults, FaultyDisk, RealDisk};

    #[test]
    fn writes_are_refused_below_the_limit_and_taken_again_above_it() {
        let faults = Arc::new(Faults::default());
        let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk::default()), Arc::clone(&faults)));
        let space = Space::new(disk, "/".into(), 1000);
        faults.free.store(1000, Ordering::SeqCst);
        assert_eq!(space.check(Time(1)), Ok(()));
        faults.free.store(999, Ordering::SeqCst);
        assert_eq!(space.check(Time(2)), Ok(()), "the answer is still fresh");
        let short = Short { free: Size(999), needed: Size(1000) };
        assert_eq!(space.check(Time(FRESH + 1)), Err(short));
        faults.free.store(2000, Ordering::SeqCst);
        assert_eq!(space.check(Time(FRESH + 2)), Ok(()), "asked again at once while short");
        assert_eq!(Size(268_435_456).to_string(), "256.0 MiB");
    }
}
