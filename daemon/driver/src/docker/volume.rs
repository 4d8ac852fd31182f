//! Volumes with names that jobs ask for by `mount { type = "volume" }`: folders that this agent keeps beside its images
//! until somebody removes them. A new one begins with what the image has at its place.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nomadd_oci::{Store, wire};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use std::os::fd::AsRawFd as _;

/// The directory of a volume, which is made if there is none. `root` is that of the container, `copy` where in it the
/// content of a new one comes from.
pub fn open(store: &Store, name: &str, root: &Path, copy: Option<&Path>, helper: &Path) -> io::Result<PathBuf> {
    let path = store.volume(name);
    if path.is_dir() {
        return Ok(path);
    }
    // Beside it first: a volume is there with all its content or not at all.
    let new = store.volume(&format!(".{name}.new"));
    nomadd_oci::store::remove_tree(&new)?;
    fs::DirBuilder::new().mode(0o755).create(&new)?;
    if let Some(inside) = copy.and_then(|target| target.strip_prefix("/").ok()) {
        fill(&new, root, inside, helper)?;
    }
    match fs::rename(&new, &path) {
        // Another task has made it meanwhile.
        Err(_) if path.is_dir() => nomadd_oci::store::remove_tree(&new)?,
        other => other?,
    }
    Ok(path)
}

/// A folder for a volume that the image itself names, with what the image has there.
pub fn anonymous(path: &Path, root: &Path, target: &Path, helper: &Path) -> io::Result<()> {
    nomadd_oci::store::remove_tree(path)?;
    fs::DirBuilder::new().mode(0o755).create(path)?;
    fill(path, root, target.strip_prefix("/").unwrap_or(target), helper)
}

fn fill(new: &Path, root: &Path, inside: &Path, helper: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let Ok(from) = rustix::fs::openat2(&root, inside, flags, Mode::empty(), resolve) else { return Ok(()) };
    // The helper opens it by the path that it really has: nobody else writes in a root that no container has yet.
    let from = fs::read_link(format!("/proc/self/fd/{}", from.as_raw_fd()))?;
    let order = serde_json::to_string(&wire::Copy { layers: vec![from], to: new.to_owned() })?;
    let output = Command::new(helper).arg("copy").arg(order).stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
