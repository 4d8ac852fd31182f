//! A disk for machines that loses its power: what was written sits in the disk's own volatile cache until the machine flushes
//! it, as in a real drive. When the power is cut, of what was not flushed some sectors are there and others are not, as chance
//! wants.
//!
//! It lives in the memory of the test, which serves it to the emulator (`machine/nbd.rs`). A file of the host would be too
//! good: killing the emulator takes the machine's page cache, but what the machine wrote without flushing it would stay, as the
//! host's own page cache survives.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::nbd;

/// What a disk writes whole or not at all, in bytes.
pub const SECTOR: usize = 4096;

type Sector = Box<[u8; SECTOR]>;

/// What is on the disk; sectors that nobody wrote are zeros.
#[derive(Default)]
pub(super) struct Platter {
    durable: BTreeMap<u64, Sector>,
    cached: BTreeMap<u64, Sector>,
    sectors: u64,
    flushes: u64,
    /// How often it was plugged in and its power cut; who serves a machine of an earlier life has nothing more to say.
    pub(super) life: u64,
    /// The seed of the cut that the next flush is to bring.
    armed: Option<u64>,
    /// What the last cut did, until the disk is plugged in again.
    done: Option<Cut>,
}

/// What a cut did to the writes that were not flushed, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// These are on the disk all the same.
    pub kept: usize,
    /// These are lost.
    pub lost: usize,
}

/// A disk.
pub struct Disk(Arc<Mutex<Platter>>);

impl Disk {
    /// A disk of so many MiB with an empty ext4, made by `mkfs.ext4` in a folder.
    pub fn ext4(megabytes: u64, folder: &Path) -> Self {
        let image = folder.join("image");
        File::create(&image).and_then(|file| file.set_len(megabytes << 20)).expect("an image is made");
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-F", "-b", &SECTOR.to_string(), "-E", "lazy_itable_init=0,lazy_journal_init=0"])
            .arg(&image)
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .status();
        assert!(made.expect("mkfs.ext4 runs: install e2fsprogs").success());
        let disk = Self::read(File::open(&image).expect("the image opens"));
        std::fs::remove_file(&image).expect("the image is removed");
        disk
    }

    /// A disk with the content of an image, in whole sectors.
    pub fn read(image: impl Read) -> Self {
        let mut image = BufReader::with_capacity(1 << 20, image);
        let mut platter = Platter::default();
        while !image.fill_buf().expect("the image is read").is_empty() {
            let mut sector = Box::new([0; SECTOR]);
            image.read_exact(&mut sector[..]).expect("a disk has whole sectors");
            if *sector != [0; SECTOR] {
                platter.durable.insert(platter.sectors, sector);
            }
            platter.sectors += 1;
        }
        Self(Arc::new(Mutex::new(platter)))
    }

    /// Serves the disk to one machine at a socket in a folder; until the machine ends, the power is cut, or it is plugged
    /// into another.
    pub fn plug(&self, folder: &Path) -> PathBuf {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let platter = Arc::clone(&self.0);
        let life = {
            let mut platter = locked(&platter);
            platter.life += 1;
            (platter.armed, platter.done) = (None, None);
            platter.life
        };
        let socket = folder.join(format!("disk-{}", LAST.fetch_add(1, Ordering::Relaxed)));
        let listener = UnixListener::bind(&socket).expect("a socket for the disk");
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("the machine opens its disk");
            // It ends when the machine does.
            let _ended = nbd::serve(stream, &platter, life);
        });
        socket
    }

    /// Cuts the power: nothing is answered any more, and chance decides whether of what was not flushed nothing, about one half
    /// or nearly all is on the disk, and which sectors.
    pub fn cut(&self, seed: u64) {
        locked(&self.0).cut(seed);
    }
    /// Cuts the power when the machine asks for the next flush, before that is done: the worst moment.
    pub fn cut_at_flush(&self, seed: u64) {
        locked(&self.0).armed = Some(seed);
    }
    /// What the cut did; none before it.
    pub fn was_cut(&self) -> Option<Cut> {
        locked(&self.0).done
    }

    /// How often its cache was flushed.
    pub fn flushes(&self) -> u64 {
        locked(&self.0).flushes
    }
}

impl Platter {
    /// Its size, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.sectors * SECTOR as u64
    }
    /// The numbers of the sectors of a range in bytes; none when it is not of whole sectors of this disk.
    pub(super) fn range(&self, offset: u64, length: u32) -> Option<std::ops::Range<u64>> {
        let sector = SECTOR as u64;
        let end = offset.checked_add(length.into())?;
        let whole = offset.is_multiple_of(sector) && end.is_multiple_of(sector) && end <= self.size();
        whole.then(|| offset / sector..end / sector)
    }
    pub(super) fn read(&self, sectors: std::ops::Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in sectors {
            match self.cached.get(&number).or_else(|| self.durable.get(&number)) {
                Some(sector) => bytes.extend_from_slice(&sector[..]),
                None => bytes.resize(bytes.len() + SECTOR, 0),
            }
        }
        bytes
    }
    pub(super) fn write(&mut self, sectors: std::ops::Range<u64>, bytes: &[u8]) {
        for (number, sector) in sectors.zip(bytes.as_chunks::<SECTOR>().0) {
            self.cached.insert(number, Box::new(*sector));
        }
    }
    /// Flushes the cache, unless the power goes now.
    pub(super) fn flush(&mut self) {
        if let Some(seed) = self.armed.take() {
            return self.cut(seed);
        }
        self.flushes += 1;
        let mut cached = std::mem::take(&mut self.cached);
        self.durable.append(&mut cached);
    }
    fn cut(&mut self, seed: u64) {
        self.life += 1;
        let mut cut = Cut { kept: 0, lost: 0 };
        let eighths = match chance(seed) % 3 {
            0 => 0,
            1 => 4,
            _ => 7,
        };
        for (number, sector) in std::mem::take(&mut self.cached) {
            if chance(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) % 8 < eighths {
                self.durable.insert(number, sector);
                cut.kept += 1;
            } else {
                cut.lost += 1;
            }
        }
        self.done = Some(cut);
    }
}

pub(super) fn locked(platter: &Mutex<Platter>) -> MutexGuard<'_, Platter> {
    platter.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that looks like chance: splitmix64's finaliser.
pub fn chance(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_takes_only_what_was_not_flushed_and_now_all_of_it_now_some() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let disk = Disk::read(&vec![0; 300 * SECTOR][..]);
            let write = |number: u64, byte: u8| locked(&disk.0).write(number..number + 1, &[byte; SECTOR]);
            (0..200).for_each(|number| write(number, 1));
            locked(&disk.0).flush();
            (100..300).for_each(|number| write(number, 2));
            disk.cut_at_flush(seed);
            assert_eq!(disk.was_cut(), None);
            locked(&disk.0).flush();
            let cut = disk.was_cut().unwrap();
            assert_eq!(cut.kept + cut.lost, 200);
            seen.insert(cut.kept.div_ceil(50));
            let platter = locked(&disk.0);
            let found: Vec<u8> = (0..300).map(|number| platter.read(number..number + 1)[0]).collect();
            assert!(found[..100].iter().all(|byte| *byte == 1), "what was flushed is there: {found:?}");
            assert!(found[100..200].iter().all(|byte| [1, 2].contains(byte)), "the old or the new is there: {found:?}");
            assert_eq!(found.iter().filter(|byte| **byte == 2).count(), cut.kept);
        }
        assert!(
            seen.contains(&0) && seen.contains(&4) && seen.len() > 2,
            "nothing, some and nearly all is kept: {seen:?}"
        );
    }
}
