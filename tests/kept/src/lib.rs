//! The bytes that each release wrote, kept in the room that reads them: `tests/kept/RELEASE/NAME`, of which each is a list of
//! samples with their length before them.
//!
//! A room's test says what the samples of a name are; this checks that today's code reads exactly them from the bytes of
//! every release. `make kept` adds the samples that the present release does not hold yet; nothing that is kept is ever
//! written over. Used by tests only.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot read what is kept has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

/// Set by `make kept`.
const KEEP: &str = "NOMADD_KEEP";

/// What a room keeps.
#[derive(Debug)]
pub struct Kept {
    folder: PathBuf,
    /// The release that is being made: MAJOR.MINOR.
    release: String,
    checked: BTreeSet<String>,
}

impl Kept {
    /// What is kept below a crate's `tests/kept`; both are of the caller: `env!("CARGO_MANIFEST_DIR")`, `env!("CARGO_PKG_VERSION")`.
    pub fn of(manifest: &str, version: &str) -> Self {
        let release = version.split('.').take(2).collect::<Vec<_>>().join(".");
        Self { folder: Path::new(manifest).join("tests/kept"), release, checked: BTreeSet::new() }
    }

    /// Reads the samples of `name` from every release and compares them. Samples are only ever added, at the end.
    pub fn check<T: PartialEq + Debug>(
        &mut self,
        name: &str,
        samples: &[T],
        write: impl Fn(&T) -> Vec<u8>,
        read: impl Fn(&[u8]) -> T,
    ) {
        if std::env::var_os(KEEP).is_some() {
            self.keep(name, samples.iter().map(write));
        }
        let mut newest = 0;
        for (release, names) in self.releases() {
            let Some(path) = names.get(name) else { continue };
            let frames = frames(path);
            assert!(frames.len() <= samples.len(), "{} holds more samples than are known", path.display());
            for (place, (frame, sample)) in frames.iter().zip(samples).enumerate() {
                assert_eq!(read(frame), *sample, "sample {place} of {name}, as {release} wrote it");
            }
            if release == self.release {
                newest = frames.len();
            }
        }
        let have = format!("{newest} of {} samples of {name} are kept for release {}", samples.len(), self.release);
        assert_eq!(newest, samples.len(), "{have}: run `make kept` and commit what it adds");
        self.checked.insert(name.to_owned());
    }

    /// Everything that is kept was read by somebody.
    pub fn finish(self) {
        for (release, names) in self.releases() {
            for name in names.keys() {
                assert!(self.checked.contains(name), "nobody reads {name} of release {release} any more");
            }
        }
    }

    fn releases(&self) -> BTreeMap<String, BTreeMap<String, PathBuf>> {
        let entries = |folder: &Path| -> Vec<PathBuf> {
            fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
        };
        let named = |path: PathBuf| (path.file_name().unwrap().to_str().expect("a plain name").to_owned(), path);
        let folders = entries(&self.folder).into_iter().filter(|path| path.is_dir()).map(named);
        folders.map(|(release, path)| (release, entries(&path).into_iter().map(named).collect())).collect()
    }

    fn keep(&self, name: &str, samples: impl Iterator<Item = Vec<u8>>) {
        let folder = self.folder.join(&self.release);
        fs::create_dir_all(&folder).expect("a folder to keep samples in");
        let path = folder.join(name);
        let mut bytes = fs::read(&path).unwrap_or_default();
        let have = if bytes.is_empty() { 0 } else { frames(&path).len() };
        for sample in samples.skip(have) {
            bytes.extend_from_slice(&u32::try_from(sample.len()).expect("a small sample").to_le_bytes());
            bytes.extend_from_slice(&sample);
        }
        fs::write(&path, bytes).expect("samples written");
    }
}

fn frames(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).expect("samples that were kept");
    let (mut rest, mut frames) = (bytes.as_slice(), Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (frame, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize).expect("a whole sample");
        frames.push(frame.to_vec());
        rest = after;
    }
    assert!(rest.is_empty(), "{} ends within a sample", path.display());
    frames
}
