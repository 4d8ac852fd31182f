//! What is removed from the store, and when: names that nothing uses, by their age or the oldest first when the layers
//! take too much room; then blobs and layers that no name and no root refers to.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Name, Store, StoreError, files, remove_tree, system};
use crate::digest::Digest;
use crate::image::Manifest;
use crate::root::Record;

/// When images go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// How long after its last use an image is kept; none is for ever.
    pub delay: Option<Duration>,
    /// How many bytes the layers may take; none is any number. What is in use stays all the same.
    pub most_bytes: Option<u64>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Names of images.
    pub images: usize,
    /// Layers.
    pub layers: usize,
    /// Bytes of layers that stay.
    pub bytes: u64,
}

struct Named {
    path: PathBuf,
    manifest: Digest,
    used: SystemTime,
}

impl Store {
    /// Removes what may go; none if somebody uses the store just now (then a later time will do).
    pub fn collect(&self, policy: &Policy, now: SystemTime) -> Result<Option<Collected>, StoreError> {
        let Some(_alone) = self.alone()? else { return Ok(None) };
        self.remove_unfinished();
        let mut collected = Collected::default();
        let records = Record::all(self);
        let in_use: BTreeSet<Digest> = records.iter().map(|record| record.manifest).collect();
        let mut names = self.names()?;
        names.sort_by_key(|name| name.used);
        let (mut idle, mut kept): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| !in_use.contains(&name.manifest));
        let is_due = |name: &Named| {
            let age = now.duration_since(name.used).unwrap_or_default();
            policy.delay.is_some_and(|delay| age >= delay)
        };
        let mut going: Vec<Named> = idle.extract_if(.., |name| is_due(name)).collect();
        let keep = |idle: &[Named], kept: &[Named]| -> Keep {
            let manifests = idle.iter().chain(kept).map(|name| name.manifest).chain(in_use.iter().copied());
            self.reachable(manifests, records.iter().flat_map(|record| &record.layers))
        };
        let mut keeping = keep(&idle, &kept);
        while policy.most_bytes.is_some_and(|most| self.bytes_of(&keeping.layers) > most) && !idle.is_empty() {
            going.push(idle.remove(0));
            keeping = keep(&idle, &kept);
        }
        kept.append(&mut idle);
        for name in &going {
            fs::remove_file(&name.path).map_err(system("remove", &name.path))?;
            collected.images += 1;
        }
        sweep(&self.root.join("blobs"), &keeping.blobs, |path| fs::remove_file(path))?;
        // Moved away first: half a layer is never one.
        let tmp = self.root.join("tmp");
        collected.layers = sweep(&self.root.join("layers"), &keeping.layers, |path| {
            let away = tmp.join(path.file_name().unwrap_or_default());
            fs::rename(path, &away)?;
            remove_tree(&away)
        })?;
        sweep(&self.root.join("locks"), &keeping.layers, |path| fs::remove_file(path))?;
        collected.bytes = self.bytes_of(&keeping.layers);
        Ok(Some(collected))
    }

    fn names(&self) -> Result<Vec<Named>, StoreError> {
        let directory = self.root.join("names");
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory).map_err(system("read", &directory))? {
            let path = entry.map_err(system("read", &directory))?.path();
            let used = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let name = files::read(&path, 64 << 10).ok().and_then(|text| serde_json::from_slice::<Name>(&text).ok());
            match (name, used) {
                (Some(Name { manifest, .. }), Ok(used)) => names.push(Named { path, manifest, used }),
                // Unreadable: it names nothing.
                _ => fs::remove_file(&path).map_err(system("remove", &path))?,
            }
        }
        Ok(names)
    }

    fn reachable<'a>(&self, manifests: impl Iterator<Item = Digest>, more: impl Iterator<Item = &'a Digest>) -> Keep {
        let mut keep = Keep { blobs: BTreeSet::new(), layers: more.map(Digest::hex).collect() };
        for digest in manifests {
            keep.blobs.insert(digest.hex());
            let Some(Ok(manifest)) = self.blob(&digest).map(|text| Manifest::read(&text)) else { continue };
            keep.blobs.extend(manifest.config.iter().map(|config| config.digest.hex()));
            keep.layers.extend(manifest.layers.iter().map(|layer| layer.digest.hex()));
        }
        keep
    }

    fn bytes_of(&self, layers: &BTreeSet<String>) -> u64 {
        let digests = layers.iter().filter_map(|hex| Digest::parse(&format!("sha256:{hex}")).ok());
        digests.filter_map(|digest| self.about(&digest)).map(|about| about.bytes).sum()
    }

    /// Removes layers of an earlier boot that were not noted as synced. To be called alone.
    pub(super) fn remove_torn(&self) {
        let is_torn = |path: &Path| {
            let about = files::read(&path.join("about.json"), 4096).ok();
            let about = about.and_then(|text| serde_json::from_slice::<super::About>(&text).ok());
            about.is_none_or(|about| about.boot != self.boot && !path.join("synced").exists())
        };
        let entries = fs::read_dir(self.root.join("layers")).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()).filter(|path| is_torn(path)) {
            let away = self.root.join("tmp").join(path.file_name().unwrap_or_default());
            if let Err(error) = remove_tree(&away).and_then(|()| fs::rename(&path, &away)) {
                tracing::warn!(%error, path = %path.display(), "cannot remove a layer that may be torn");
            }
        }
    }

    /// Removes what helpers that were killed left. To be called alone.
    pub(super) fn remove_unfinished(&self) {
        for entry in fs::read_dir(self.root.join("tmp")).into_iter().flatten().flatten() {
            if let Err(error) = remove_tree(&entry.path()) {
                tracing::warn!(%error, path = %entry.path().display(), "cannot remove what a pull left");
            }
        }
    }

    /// Removes what a helper that was killed left, unless another one works just now.
    pub fn tidy(&self) {
        if let Ok(Some(_alone)) = self.alone() {
            self.remove_unfinished();
        }
    }
}

struct Keep {
    blobs: BTreeSet<String>,
    layers: BTreeSet<String>,
}

/// Removes the entries of a directory that are not to be kept.
fn sweep(
    directory: &Path,
    keep: &BTreeSet<String>,
    remove: impl Fn(&Path) -> io::Result<()>,
) -> Result<usize, StoreError> {
    let mut removed = 0;
    for entry in fs::read_dir(directory).map_err(system("read", directory))? {
        let entry = entry.map_err(system("read", directory))?;
        if entry.file_name().to_str().is_none_or(|name| !keep.contains(name)) {
            remove(&entry.path()).map_err(system("remove", &entry.path()))?;
            removed += 1;
        }
    }
    Ok(removed)
}
