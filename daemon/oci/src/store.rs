//! The store: manifests and configurations as blobs by digest, each layer unpacked once, names, and who uses what.
//!
//! Several processes use it at a time (the daemon and its helpers); locks of files keep them apart: `lock` is held shared
//! by whoever adds or uses something and alone by who removes, `locks/DIGEST` by who unpacks that layer. Everything is
//! written beside and renamed. A layer counts only with `about.json`; one that a power cut may have torn (not noted as
//! synced, and of an earlier boot) is removed when the store is opened.

mod collect;
mod files;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::image::{self, Image, ImageError, Manifest};
use crate::reference::Reference;
use crate::wire::Platform;

pub use collect::{Collected, Policy};
pub use files::remove_tree;

/// A store; a clone is the same one.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    boot: String,
}

/// What the store cannot do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refuses.
    #[error("cannot {what} {}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// While one is there, nothing is removed from the store.
#[derive(Debug)]
pub struct Hold {
    _lock: File,
}

/// What is noted beside a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Bytes of its files.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// The boot of the host in which it was written.
    pub boot: String,
}

/// A name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The full name.
    pub name: String,
    /// The manifest that it means.
    pub manifest: Digest,
}

pub(crate) fn system(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::System { what, path, source }
}

impl Store {
    /// Opens a store, which is made if there is none, and removes what a power cut or a killed helper left half done.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self::at(root);
        for name in ["", "layers", "blobs", "names", "locks", "tmp", "roots", "volumes"] {
            let path = store.root.join(name);
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(&path).map_err(system("make", &path))?;
        }
        if let Some(_alone) = store.alone()? {
            store.remove_torn();
            store.remove_unfinished();
        }
        Ok(store)
    }

    /// The store in a directory that `open` has made.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { root: root.into(), boot: boot.trim().to_owned() }
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps everything where it is until the hold is dropped; waits for a removal that is under way.
    pub fn hold(&self) -> Result<Hold, StoreError> {
        let lock = self.lock("lock")?;
        rustix::fs::flock(&lock, FlockOperation::LockShared)
            .map_err(|error| system("lock", &self.root)(error.into()))?;
        Ok(Hold { _lock: lock })
    }

    /// The store for oneself, if nobody else has it.
    fn alone(&self) -> Result<Option<Hold>, StoreError> {
        let lock = self.lock("lock")?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Hold { _lock: lock })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(system("lock", &self.root)(error.into())),
        }
    }

    /// One layer for oneself: blocks while another process unpacks it.
    pub fn lock_layer(&self, digest: &Digest) -> Result<Hold, StoreError> {
        let name = format!("locks/{}", digest.hex());
        let lock = self.lock(&name)?;
        let locked = rustix::fs::flock(&lock, FlockOperation::LockExclusive);
        locked.map_err(|error| system("lock", &self.root.join(name))(error.into()))?;
        Ok(Hold { _lock: lock })
    }

    fn lock(&self, name: &str) -> Result<File, StoreError> {
        let path = self.root.join(name);
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(&path).map_err(system("open", &path))
    }

    /// Keeps a manifest or a configuration.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        files::write(&self.root.join("tmp"), &self.blob_path(&digest), bytes)?;
        Ok(digest)
    }

    /// A manifest or a configuration; none if it is not there or is not what its name says.
    pub fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = files::read(&self.blob_path(digest), image::MOST_BYTES).ok()?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.hex())
    }

    fn layer_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("layers").join(digest.hex())
    }

    /// Where the files of a layer are.
    pub fn layer(&self, digest: &Digest) -> PathBuf {
        self.layer_path(digest).join("fs")
    }

    /// What is noted of a layer; none if it is not there.
    pub fn about(&self, digest: &Digest) -> Option<About> {
        let bytes = files::read(&self.layer_path(digest).join("about.json"), 4096).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// An empty directory to unpack a layer into, made anew. To be called with the layer's lock.
    pub fn begin_layer(&self, digest: &Digest) -> Result<PathBuf, StoreError> {
        let path = self.unfinished(digest);
        remove_tree(&path).map_err(system("remove", &path))?;
        for path in [&path, &path.join("fs")] {
            fs::DirBuilder::new().mode(0o755).create(path).map_err(system("make", path))?;
        }
        Ok(path.join("fs"))
    }

    /// Makes a layer that was unpacked one of the store. To be called with the layer's lock.
    pub fn finish_layer(&self, digest: &Digest, bytes: u64, entries: u64) -> Result<(), StoreError> {
        let (from, to) = (self.unfinished(digest), self.layer_path(digest));
        let about = About { bytes, entries, boot: self.boot.clone() };
        let path = from.join("about.json");
        let text = serde_json::to_vec(&about).map_err(|error| system("write", &path)(error.into()))?;
        fs::write(&path, text).map_err(system("write", &path))?;
        remove_tree(&to).map_err(system("remove", &to))?;
        fs::rename(&from, &to).map_err(system("rename", &from))
    }

    /// Removes what was unpacked of a layer that came to nothing.
    pub fn abandon_layer(&self, digest: &Digest) {
        if let Err(error) = remove_tree(&self.unfinished(digest)) {
            tracing::warn!(%error, %digest, "cannot remove what was unpacked of a layer");
        }
    }

    fn unfinished(&self, digest: &Digest) -> PathBuf {
        self.root.join("tmp").join(digest.hex())
    }

    /// Writes everything to the disk and notes it of layers: from now on they outlive a power cut.
    pub fn sync(&self, layers: &[Digest]) -> Result<(), StoreError> {
        let root = File::open(&self.root).map_err(system("open", &self.root))?;
        rustix::fs::syncfs(&root).map_err(|error| system("sync", &self.root)(error.into()))?;
        for digest in layers {
            let path = self.layer_path(digest).join("synced");
            match File::create(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(system("make", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives an image a name, which meant another one before or nothing.
    pub fn put_name(&self, reference: &Reference, manifest: Digest) -> Result<(), StoreError> {
        let name = Name { name: reference.to_string(), manifest };
        let path = self.name_path(reference);
        let text = serde_json::to_vec(&name).map_err(|error| system("write", &path)(error.into()))?;
        files::write(&self.root.join("tmp"), &path, &text)
    }

    fn name_path(&self, reference: &Reference) -> PathBuf {
        self.root.join("names").join(Digest::of(reference.to_string().as_bytes()).hex())
    }

    /// The image of a name, if all of it is here; notes that it was used now.
    pub fn find(&self, reference: &Reference, platform: &Platform) -> Result<Option<Image>, ImageError> {
        let path = self.name_path(reference);
        let Ok(text) = files::read(&path, 64 << 10) else { return Ok(None) };
        let Ok(name) = serde_json::from_slice::<Name>(&text) else { return Ok(None) };
        if name.name != reference.to_string() {
            return Ok(None);
        }
        let found = self.image(&name.manifest, platform)?;
        if found.is_some()
            && let Ok(file) = File::options().write(true).open(&path)
            && let Err(error) = file.set_modified(SystemTime::now())
        {
            tracing::debug!(%error, "cannot note the use of an image");
        }
        Ok(found)
    }

    /// The image of a manifest, if all of it is here.
    pub fn image(&self, manifest: &Digest, platform: &Platform) -> Result<Option<Image>, ImageError> {
        let Some(text) = self.blob(manifest) else { return Ok(None) };
        let read = Manifest::read(&text)?;
        let Some(config) = read.config.as_ref().and_then(|config| self.blob(&config.digest)) else { return Ok(None) };
        let (config, _) = image::read_config(&config, platform)?;
        let layers: Vec<Digest> = read.layers.iter().map(|layer| layer.digest).collect();
        if layers.iter().any(|layer| self.about(layer).is_none()) {
            return Ok(None);
        }
        let directories = layers.iter().map(|layer| self.layer(layer)).collect();
        Ok(Some(Image { manifest: *manifest, layers, directories, config }))
    }

    /// The directory of a named volume, below the store; its name must have been checked.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.root.join("volumes").join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn amd64() -> Platform {
        Platform { os: "linux".into(), architecture: "amd64".into() }
    }

    /// Puts an image of one layer into a store.
    fn put(store: &Store, name: &str, bytes: u64) -> (Reference, Digest) {
        let layer = Digest::of(name.as_bytes());
        fs::write(store.begin_layer(&layer).unwrap().join("file"), name).unwrap();
        store.finish_layer(&layer, bytes, 1).unwrap();
        let config = store.put_blob(format!("{{\"note\":{name:?}}}").as_bytes()).unwrap();
        let manifest = serde_json::json!({"schemaVersion": 2, "config": {"digest": config, "size": 1},
            "layers": [{"mediaType": "x.tar", "digest": layer, "size": 1}]});
        let manifest = store.put_blob(manifest.to_string().as_bytes()).unwrap();
        let reference = Reference::parse(name).unwrap();
        store.put_name(&reference, manifest).unwrap();
        (reference, layer)
    }

    #[test]
    fn an_image_is_found_only_while_all_of_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("images")).unwrap();
        let (reference, layer) = put(&store, "a", 1);
        let image = store.find(&reference, &amd64()).unwrap().unwrap();
        assert_eq!((image.layers, image.directories), (vec![layer], vec![store.layer(&layer)]));
        assert_eq!(store.find(&Reference::parse("b").unwrap(), &amd64()).unwrap(), None);
        fs::remove_file(store.layer_path(&layer).join("about.json")).unwrap();
        assert_eq!(store.find(&reference, &amd64()).unwrap(), None);
    }

    #[test]
    fn what_a_power_cut_or_a_killed_helper_may_have_torn_is_gone_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("images");
        let mut store = Store::open(&root).unwrap();
        store.boot = "an earlier boot".to_owned();
        let (torn, torn_layer) = put(&store, "torn", 1);
        let (whole, whole_layer) = put(&store, "whole", 1);
        store.sync(&[whole_layer]).unwrap();
        store.begin_layer(&Digest::of(b"unfinished")).unwrap();
        // While a helper works, nothing is touched.
        let hold = store.hold().unwrap();
        let store = Store::open(&root).unwrap();
        assert!(store.find(&torn, &amd64()).unwrap().is_some());
        drop(hold);
        let store = Store::open(&root).unwrap();
        assert_eq!(store.find(&torn, &amd64()).unwrap(), None);
        assert!(!store.layer_path(&torn_layer).exists());
        assert!(store.find(&whole, &amd64()).unwrap().is_some());
        assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn images_that_nothing_uses_go_after_their_delay_or_the_oldest_first_when_there_are_too_many() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("images")).unwrap();
        let now = SystemTime::now();
        let names = ["a", "b", "c"].map(|name| put(&store, name, 100));
        let used = crate::root::Record::test(&store, "task", &names[0].0, &amd64());
        for (age, (reference, _)) in [300, 200, 100].into_iter().zip(&names) {
            let file = File::options().write(true).open(store.name_path(reference)).unwrap();
            file.set_modified(now - Duration::from_secs(age)).unwrap();
        }
        let collect = |delay: Option<u64>, most: Option<u64>| {
            let policy = Policy { delay: delay.map(Duration::from_secs), most_bytes: most };
            store.collect(&policy, now).unwrap().map(|collected| collected.images)
        };
        let here = || names.each_ref().map(|(_, layer)| store.layer(layer).exists());
        assert_eq!(collect(None, None), Some(0));
        assert_eq!(collect(Some(250), None), Some(0), "what a task uses stays");
        assert_eq!(collect(None, Some(250)), Some(1));
        assert_eq!(here(), [true, false, true]);
        let hold = store.hold().unwrap();
        assert_eq!(collect(Some(0), None), None, "somebody uses the store");
        drop(hold);
        fs::remove_file(used).unwrap();
        assert_eq!(collect(Some(50), None), Some(2));
        assert_eq!(here(), [false; 3]);
        assert_eq!(fs::read_dir(store.root.join("blobs")).unwrap().count(), 0);
    }
}
