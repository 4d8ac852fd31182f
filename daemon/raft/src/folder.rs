//! The data folder of the raft room: who uses it, which format it has, whose it is.
//!
//! ```text
//! DATA_DIR/server/raft/version.json   {"format":1,"server":"UUID"}, made first
//! DATA_DIR/server/raft/member         made when the log held its first entry: an empty log beside it was lost
//! DATA_DIR/server/raft/peers.json     put there by the operator (recovery.rs)
//! DATA_DIR/server/raft/recovered.json what the last one said
//! DATA_DIR/server/raft/lock           held with flock by the process that uses it; its pid is in it
//! DATA_DIR/server/raft/log/           segments (log/segments.rs)
//! DATA_DIR/server/raft/snapshots/     snapshots (snapshots.rs)
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, Open, read_all, write_whole};
use crate::error::OpenError;
use crate::membership::ServerId;

/// The format of the folder that this release makes and reads.
pub const FORMAT: u64 = 1;

const MEMBER: &str = "member";

#[derive(Serialize, Deserialize)]
struct VersionFile {
    format: u64,
    #[serde(default)]
    server: ServerId,
}

/// How a process makes sure that nobody else uses the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alone {
    /// By the operating system's lock.
    Lock,
    /// It knows (simulation, whose disk may be no real one).
    Known,
}

/// An open data folder; dropping it gives it free.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) log: PathBuf,
    pub(crate) snapshots: PathBuf,
    /// Whose it is.
    pub(crate) server: ServerId,
    path: PathBuf,
    member: bool,
    _lock: Option<File>,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { what, path: path.to_owned(), source }
}

impl Folder {
    /// Opens a folder, or makes one for the server `fresh`.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, fresh: ServerId, alone: Alone) -> Result<Self, OpenError> {
        disk.create_folder(path).map_err(failed("create data folder", path))?;
        let lock = (alone == Alone::Lock).then(|| lock(path)).transpose()?;
        let version = path.join("version.json");
        let names = disk.list(path).map_err(failed("read data folder", path))?;
        let server = if names.iter().any(|name| name == "version.json") {
            let file = disk.open(&version, Open::Read).map_err(failed("open", &version))?;
            let bytes = read_all(&*file).map_err(failed("read", &version))?;
            let damaged = |reason: String| OpenError::Folder { path: version.clone(), reason };
            let content: serde_json::Value =
                serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
            let format = content.get("format").and_then(serde_json::Value::as_u64);
            match format {
                None => return Err(damaged("it names no format".to_owned())),
                Some(FORMAT) => {}
                Some(found) => return Err(OpenError::Version { path: path.to_owned(), found, known: FORMAT }),
            }
            let content: VersionFile = serde_json::from_value(content).map_err(|error| damaged(error.to_string()))?;
            content.server
        } else {
            if names.iter().any(|name| name == "log" || name == "snapshots") {
                let reason = "it is missing, but log or snapshots are there".to_owned();
                return Err(OpenError::Folder { path: version, reason });
            }
            let content = VersionFile { format: FORMAT, server: fresh };
            let bytes = serde_json::to_vec(&content)
                .map_err(|error| OpenError::Folder { path: version.clone(), reason: error.to_string() })?;
            write_whole(disk, &version, &bytes).map_err(failed("write", &version))?;
            fresh
        };
        let member = names.iter().any(|name| name == MEMBER);
        let (log, snapshots) = (path.join("log"), path.join("snapshots"));
        Ok(Self { log, snapshots, server, path: path.to_owned(), member, _lock: lock })
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
    /// Whether its log ever held an entry.
    pub(crate) const fn was_member(&self) -> bool {
        self.member
    }
    /// Notes that the log holds an entry.
    pub(crate) fn mark_member(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if !self.member {
            write_whole(disk, &self.path.join(MEMBER), b"the log of this folder held entries\n")?;
            self.member = true;
        }
        Ok(())
    }
}

/// Takes the folder for this process. The lock is the operating system's, not the disk's: it ends with the process.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).map_err(failed("open", &path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            // Another process may be writing it right now; then it is told as unknown.
            let _unknown = (&file).take(20).read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "unknown".to_owned() } else { pid.trim().to_owned() };
            return Err(OpenError::InUse { path: folder.to_owned(), pid });
        }
        Err(error) => return Err(failed("lock", &path)(error.into())),
    }
    let told = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    told.map_err(failed("write", &path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::testing::Scratch;

    #[test]
    fn a_folder_keeps_its_server_and_refuses_a_second_process_and_another_format() {
        let scratch = Scratch::new("folder");
        let disk = RealDisk::default();
        let (first, second) = (ServerId(nomadd_model::NodeId([1; 16])), ServerId(nomadd_model::NodeId([2; 16])));
        let folder = Folder::open(&disk, &scratch.0, first, Alone::Lock).unwrap();
        let error = Folder::open(&disk, &scratch.0, second, Alone::Lock).unwrap_err().to_string();
        assert!(error.contains(&format!("is in use by pid {}", std::process::id())), "{error}");
        drop(folder);
        assert_eq!(Folder::open(&disk, &scratch.0, second, Alone::Lock).unwrap().server, first);
        std::fs::write(scratch.0.join("version.json"), br#"{"format":2,"server":"x"}"#).unwrap();
        let error = Folder::open(&disk, &scratch.0, first, Alone::Lock).unwrap_err().to_string();
        assert!(error.contains("has format 2, this release reads format 1"), "{error}");
        std::fs::write(scratch.0.join("version.json"), b"{").unwrap();
        assert!(
            Folder::open(&disk, &scratch.0, first, Alone::Lock)
                .unwrap_err()
                .to_string()
                .contains("version.json is damaged")
        );
        std::fs::remove_file(scratch.0.join("version.json")).unwrap();
        std::fs::create_dir(scratch.0.join("log")).unwrap();
        assert!(Folder::open(&disk, &scratch.0, first, Alone::Lock).unwrap_err().to_string().contains("missing"));
    }
}
