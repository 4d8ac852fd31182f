//! A folder with a store and a puller for one test, and what its images are compared by.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nomadd_oci::wire::Request;
use nomadd_oci::{Credentials, Digest, Image, Limits, Platform, Progress, PullError, Puller, Reference, Store};

/// Longer than anything takes here.
pub const LIMIT: Duration = Duration::from_secs(300);

/// A folder, removed when dropped.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub store: Store,
    pub puller: Puller,
}

/// What a pull asks for; tests change what they are about.
pub struct Wish {
    pub name: String,
    pub credentials: Credentials,
    pub insecure: Vec<String>,
    pub patience: Duration,
    pub limits: Limits,
}

impl Wish {
    pub fn of(name: impl Into<String>) -> Self {
        let limits = Limits { keep_free: 0, ..Limits::default() };
        Self {
            name: name.into(),
            credentials: Credentials::default(),
            insecure: Vec::new(),
            patience: Duration::from_secs(60),
            limits,
        }
    }
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("images");
        Self::in_store(folder, &store)
    }

    /// With the store somewhere else.
    pub fn in_store(folder: tempfile::TempDir, store: &Path) -> Self {
        Self::with_helper(folder, store, env!("CARGO_BIN_EXE_nomadd-image").into())
    }

    pub fn with_helper(folder: tempfile::TempDir, store: &Path, helper: PathBuf) -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests unpack images: run them as root");
        let store = Store::open(store).unwrap();
        let puller = Puller::new(helper, store.clone());
        Self { folder, store, puller }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn pull(&self, name: &str) -> Result<Digest, PullError> {
        self.wish(Wish::of(name), |_| ()).await
    }

    pub async fn wish(&self, wish: Wish, progress: impl FnMut(Progress)) -> Result<Digest, PullError> {
        let Wish { name, credentials, insecure, patience, limits } = wish;
        let request = Request::Pull {
            store: self.store.root().to_owned(),
            reference: Reference::parse(&name).unwrap().to_string(),
            platform: Platform::here(),
            credentials,
            insecure,
            patience_ms: patience.as_millis() as u64,
            limits,
        };
        self.puller.bring(&request, None, LIMIT, progress).await
    }

    pub async fn load(&self, archive: &Path, name: &str) -> Result<Digest, PullError> {
        let request = Request::Load {
            store: self.store.root().to_owned(),
            reference: Reference::parse(name).unwrap().to_string(),
            platform: Platform::here(),
            limits: Limits { keep_free: 0, ..Limits::default() },
        };
        self.puller.bring(&request, Some(fs::File::open(archive).unwrap()), LIMIT, |_| ()).await
    }

    pub fn image(&self, manifest: &Digest) -> Image {
        self.store.image(manifest, &Platform::here()).unwrap().expect("the image is in the store")
    }

    /// Nothing of an image that was refused is left.
    pub fn assert_no_trace(&self) {
        for name in ["layers", "tmp", "names"] {
            let left: Vec<_> =
                fs::read_dir(self.store.root().join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

/// What a pull says when it comes to nothing.
pub fn reason(result: Result<Digest, PullError>) -> String {
    result.expect_err("the pull is refused").to_string()
}

/// Runs a program that has to succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} (of Debian's package of that name): {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Everything of a tree that an image says: kinds, modes, owners, links, devices, contents, attributes, times of files.
pub fn describe(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let kind = metadata.file_type();
            let mut text = format!("{:o} {}:{}", metadata.mode(), metadata.uid(), metadata.gid());
            if kind.is_symlink() {
                text.push_str(&format!(" -> {}", fs::read_link(&path).unwrap().display()));
            } else if kind.is_file() {
                let content = Digest::of(&fs::read(&path).unwrap());
                text.push_str(&format!(" links {} time {} {content}", metadata.nlink(), metadata.mtime()));
                let mut value = [0; 64];
                if let Ok(length) = rustix::fs::lgetxattr(&path, "user.note", &mut value[..]) {
                    text.push_str(&format!(" note {:?}", &value[..length]));
                }
            } else if kind.is_char_device() || kind.is_block_device() {
                text.push_str(&format!(" device {}", metadata.rdev()));
            } else if kind.is_dir() {
                folders.push(path.clone());
            }
            all.insert(path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), text);
        }
    }
    all
}
