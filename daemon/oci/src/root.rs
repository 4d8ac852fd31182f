//! The root of a container: an overlay of an image's layers with a folder of its own on top; where the host has no
//! overlayfs, a copy of the layers.
//!
//! Everything of a root is below `roots/ID` of the store: `record.json` (which image, so that it stays), `upper`, `work`,
//! `root`. What an agent leaves behind when it is killed is found there and released by the next one.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::image::Image;
use crate::store::{Store, StoreError, remove_tree, system};
use crate::wire;

/// The longest name of a root.
const LONGEST_ID: usize = 240;

/// The root of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The directory that becomes `/`.
    pub path: PathBuf,
    /// How it was made.
    pub layering: Layering,
}

/// How a root is made of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layering {
    /// By overlayfs.
    Overlay,
    /// By copying.
    Copy,
}

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Its name cannot be one of a file.
    #[error("{0:?} cannot be the name of a container's root")]
    Id(String),
    /// The system refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Neither overlay nor copy.
    #[error("this host cannot lay the image's layers over each other ({overlay}), and copying them failed: {copy}")]
    Layers {
        /// What the kernel said of the overlay.
        overlay: io::Error,
        /// What went wrong with the copy.
        copy: String,
    },
    /// It cannot be unmounted.
    #[error("cannot unmount {}", path.display())]
    Unmount {
        /// The mount point.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// What is noted of a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub manifest: Digest,
    pub layers: Vec<Digest>,
}

impl Record {
    /// Of all roots.
    pub(crate) fn all(store: &Store) -> Vec<Self> {
        let entries = fs::read_dir(store.root().join("roots")).into_iter().flatten().flatten();
        let texts = entries.filter_map(|entry| fs::read(entry.path().join("record.json")).ok());
        texts.filter_map(|text| serde_json::from_slice(&text).ok()).collect()
    }

    #[cfg(test)]
    pub(crate) fn test(store: &Store, id: &str, reference: &crate::Reference, platform: &wire::Platform) -> PathBuf {
        let image = store.find(reference, platform).unwrap().unwrap();
        let path = store.root().join("roots").join(id);
        fs::create_dir(&path).unwrap();
        let record = Self { manifest: image.manifest, layers: image.layers };
        fs::write(path.join("record.json"), serde_json::to_vec(&record).unwrap()).unwrap();
        path.join("record.json")
    }
}

/// Makes the root of a container anew. To be called with a hold on the store since the image was found.
///
/// `helper` is `nomadd-image`, for the copy; `wanted` is `Copy` where an overlay is not to be tried.
pub fn make(store: &Store, id: &str, image: &Image, helper: &Path, wanted: Layering) -> Result<Root, RootError> {
    release(store, id)?;
    let directory = directory(store, id)?;
    let make = |path: &Path, mode| {
        let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
        made.map_err(system("make", path))
    };
    let at = |name: &str| directory.join(name);
    make(&directory, 0o700)?;
    let record = Record { manifest: image.manifest, layers: image.layers.clone() };
    let path = at("record.json");
    let text = serde_json::to_vec(&record).map_err(|error| system("write", &path)(error.into()))?;
    fs::write(&path, text).map_err(system("write", &path))?;
    for name in ["upper", "work", "root"] {
        make(&at(name), 0o755)?;
    }
    let refused = match wanted {
        Layering::Overlay => match overlay(image, &at("upper"), &at("work"), &at("root")) {
            Ok(()) => return Ok(Root { path: at("root"), layering: Layering::Overlay }),
            Err(error) => error,
        },
        Layering::Copy => io::Error::other("it was not tried"),
    };
    if wanted == Layering::Overlay {
        tracing::warn!(error = %refused, "no overlay of an image's layers; copying them");
    }
    let to = at("root");
    match copy(image, helper, &to) {
        Ok(()) => Ok(Root { path: to, layering: Layering::Copy }),
        Err(copy) => {
            release(store, id)?;
            Err(RootError::Layers { overlay: refused, copy })
        }
    }
}

/// Removes the root of a container that has ended; nothing there is no error.
pub fn release(store: &Store, id: &str) -> Result<(), RootError> {
    let directory = directory(store, id)?;
    let root = directory.join("root");
    unmount(&root)?;
    Ok(remove_tree(&directory).map_err(system("remove", &directory))?)
}

/// The names of all roots.
pub fn list(store: &Store) -> Vec<String> {
    let entries = fs::read_dir(store.root().join("roots")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn directory(store: &Store, id: &str) -> Result<PathBuf, RootError> {
    if matches!(id, "" | "." | "..") || id.len() > LONGEST_ID || id.contains(['/', '\0']) {
        return Err(RootError::Id(id.chars().take(100).collect()));
    }
    Ok(store.root().join("roots").join(id))
}

/// Mounts an overlay. Paths are handed over as open files: the options of a mount have room for 4095 bytes, in which commas
/// and colons have a meaning.
fn overlay(image: &Image, upper: &Path, work: &Path, root: &Path) -> io::Result<()> {
    let open = |path: &Path| -> io::Result<OwnedFd> {
        Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
    };
    let name = |file: &OwnedFd| format!("/proc/self/fd/{}", file.as_raw_fd());
    let empty;
    let mut layers: Vec<OwnedFd> = image.directories.iter().rev().map(|path| open(path)).collect::<io::Result<_>>()?;
    if layers.is_empty() {
        // An image from scratch.
        empty = root.with_file_name("empty");
        fs::create_dir(&empty)?;
        layers.push(open(&empty)?);
    }
    // The kernel shows the attributes of the folder on top: they are to be the image's.
    if let Some(top) = image.directories.last() {
        let metadata = fs::metadata(top)?;
        std::os::unix::fs::chown(upper, Some(metadata.uid()), Some(metadata.gid()))?;
        fs::set_permissions(upper, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    }
    let (upper, work) = (open(upper)?, open(work)?);
    let lower: Vec<String> = layers.iter().map(name).collect();
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), name(&upper), name(&work));
    let mount = |options: String| -> io::Result<()> {
        let options = std::ffi::CString::new(options)?;
        Ok(rustix::mount::mount("overlay", root, "overlay", MountFlags::empty(), Some(options.as_c_str()))?)
    };
    // What a container writes goes with it: syncing it is for nothing. Kernels before 5.10 do not know the word.
    mount(format!("{options},volatile")).or_else(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::INVAL.raw_os_error() => mount(options),
        _ => Err(error),
    })
}

fn copy(image: &Image, helper: &Path, to: &Path) -> Result<(), String> {
    let order = wire::Copy { layers: image.directories.clone(), to: to.to_owned() };
    let order = serde_json::to_string(&order).map_err(|error| error.to_string())?;
    let mut command = Command::new(helper);
    command.arg("copy").arg(order).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("cannot run {}: {error}", helper.display()))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr[..output.stderr.len().min(2000)]).trim().to_owned();
            Err(if text.is_empty() { output.status.to_string() } else { text })
        }
    }
}

/// Unmounts whatever is mounted at a path.
fn unmount(path: &Path) -> Result<(), RootError> {
    let device = |path: &Path| File::open(path).and_then(|file| file.metadata()).map(|metadata| metadata.dev());
    let Some(parent) = path.parent() else { return Ok(()) };
    while let (Ok(inner), Ok(outer)) = (device(path), device(parent)) {
        if inner == outer {
            break;
        }
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        let fail = |error: rustix::io::Errno| RootError::Unmount { path: path.to_owned(), source: error.into() };
        rustix::mount::unmount(path, flags).map_err(fail)?;
    }
    Ok(())
}
