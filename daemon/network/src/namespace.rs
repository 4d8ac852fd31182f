//! Network namespaces as files: made by a helper process, which leaves a mount of its own namespace behind; nothing runs in one
//! to hold it.
//!
//! The daemon has threads and must never unshare; the helper is `nomadd-executor netns PATH`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::UnmountFlags;
use tokio::process::Command;

use crate::plugin::{self, PluginError};

/// What the kernel calls the file system of namespaces (`NSFS_MAGIC`).
const NSFS: u64 = 0x6e73_6673;
/// The helper does a handful of system calls.
const LIMIT: Duration = Duration::from_secs(20);

/// Why there is no namespace.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The helper did not run.
    #[error("cannot run the helper that makes network namespaces")]
    Helper(#[from] PluginError),
    /// The helper ran and says why.
    #[error("cannot make the network namespace {}: {reason}", path.display())]
    Refused {
        /// Its file.
        path: PathBuf,
        /// The helper's words.
        reason: String,
    },
    /// It does not go away.
    #[error("cannot remove the network namespace {}", path.display())]
    Remove {
        /// Its file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// Makes a namespace whose loopback device is up, at a path that does not exist.
pub async fn make(helper: &Path, path: &Path) -> Result<(), NamespaceError> {
    let mut command = Command::new(helper);
    command.arg("netns").arg(path);
    let said = plugin::run(command, helper, b"", LIMIT).await?;
    if said.success && is_one(path) {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&said.complaint).trim().chars().take(500).collect::<String>();
    let reason = if reason.is_empty() { "the helper gave no reason".to_owned() } else { reason };
    Err(NamespaceError::Refused { path: path.to_owned(), reason })
}

/// Whether a path is a namespace: after a boot of the host only its empty file is left.
pub fn is_one(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|of| u64::try_from(of.f_type).is_ok_and(|kind| kind == NSFS))
}

/// Removes a namespace, with its devices as soon as nothing runs in it any more; also what is left of one.
pub fn remove(path: &Path) -> Result<(), NamespaceError> {
    while is_one(path) {
        rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .map_err(|error| NamespaceError::Remove { path: path.to_owned(), source: error.into() })?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NamespaceError::Remove { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
