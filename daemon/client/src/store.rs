//! The node's local state on disk: per allocation what servers assigned and how far it is, each a small file that is
//! replaced whole. A process that is killed at any instant leaves one of the two states behind.
//!
//! No fsync for these: what a power loss takes from here ran on the host that lost power, and servers know what they
//! assigned. Metadata that operators set is known here only, and is synced.
//! Blocking; called on the pool.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nomadd_model::AllocationId;
use nomadd_rpc::AssignedAllocation;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::allocation::machine::StoredProgress;
use crate::metadata::Changes;

/// The first byte of every file.
const FORMAT: u8 = 1;
const ASSIGNED: &str = "allocation";
const PROGRESS: &str = "progress";
const METADATA: &str = "metadata";

/// The local state; a clone is the same.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    own: PathBuf,
}

/// Why the local state cannot be used.
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
    /// Written by a later release.
    #[error(
        "{} has format {found}; this release knows format {FORMAT}: start a newer release or use another state directory",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its first byte.
        found: u8,
    },
    /// Not to be written.
    #[error("cannot encode the state of an allocation")]
    Encode(#[from] rmp_serde::encode::Error),
}

/// An allocation as it was kept.
#[derive(Debug)]
pub enum Kept {
    /// Whole.
    Whole(Box<AssignedAllocation>, StoredProgress),
    /// Unreadable: a power loss took it. What is left of it has to be removed.
    Torn(AllocationId),
}

impl Kept {
    /// Which allocation it is.
    pub fn id(&self) -> AllocationId {
        match self {
            Self::Whole(assigned, _) => assigned.allocation.id,
            Self::Torn(id) => *id,
        }
    }
}

impl Store {
    /// Opens the state in a directory.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let root = state_dir.join("allocations");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&root);
        made.map_err(system("make", &root))?;
        Ok(Self { root, own: state_dir.to_owned() })
    }

    fn allocation(&self, id: AllocationId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Where the executor of a task keeps its files.
    pub fn executor(&self, id: AllocationId, task: &str) -> PathBuf {
        self.allocation(id).join("tasks").join(task)
    }

    /// Keeps what servers assigned.
    pub fn put_assigned(&self, assigned: &AssignedAllocation) -> Result<(), StoreError> {
        let directory = self.allocation(assigned.allocation.id);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(system("make", &directory)(error)),
            _ => write(&directory, ASSIGNED, assigned, Lasting::Process),
        }
    }

    /// Keeps how far an allocation is.
    pub fn put_progress(&self, id: AllocationId, progress: &StoredProgress) -> Result<(), StoreError> {
        write(&self.allocation(id), PROGRESS, progress, Lasting::Process)
    }

    /// Keeps what operators changed of the node's metadata; nobody else knows it, so it outlasts a power loss.
    pub fn put_metadata(&self, changes: &Changes) -> Result<(), StoreError> {
        write(&self.own, METADATA, changes, Lasting::Power)
    }

    /// What operators changed of the node's metadata.
    pub fn metadata(&self) -> Result<Changes, StoreError> {
        Ok(read(&self.own, METADATA)?.unwrap_or_default())
    }

    /// Forgets an allocation.
    pub fn remove(&self, id: AllocationId) -> Result<(), StoreError> {
        let directory = self.allocation(id);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(system("remove", &directory)(error)),
            _ => Ok(()),
        }
    }

    /// The tasks of which an executor's files are left.
    pub fn executors(&self, id: AllocationId) -> Vec<String> {
        let entries = fs::read_dir(self.allocation(id).join("tasks"));
        entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Everything that was kept.
    pub fn restore(&self) -> Result<Vec<Kept>, StoreError> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(system("read", &self.root))?.flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<AllocationId>().ok()) else {
                continue;
            };
            let assigned = read::<AssignedAllocation>(&entry.path(), ASSIGNED)?;
            let progress = read::<StoredProgress>(&entry.path(), PROGRESS)?;
            kept.push(match assigned {
                Some(assigned) if assigned.allocation.id == id => {
                    Kept::Whole(Box::new(assigned), progress.unwrap_or_default())
                }
                _ => Kept::Torn(id),
            });
        }
        Ok(kept)
    }
}

fn system(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::System { what, path, source }
}

/// What a file has to outlast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    /// The agent.
    Process,
    /// A power loss.
    Power,
}

fn write<T: Serialize>(directory: &Path, name: &str, value: &T, lasting: Lasting) -> Result<(), StoreError> {
    let mut bytes = vec![FORMAT];
    value.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())?;
    let (fresh, path) = (directory.join(format!("{name}.new")), directory.join(name));
    let written = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| {
            io::Write::write_all(&mut file, &bytes)?;
            if lasting == Lasting::Power { file.sync_all() } else { Ok(()) }
        })
        .and_then(|()| fs::rename(&fresh, &path))
        .and_then(|()| if lasting == Lasting::Power { fs::File::open(directory)?.sync_all() } else { Ok(()) });
    written.map_err(system("write", &path))
}

/// `None` for a file that is missing or torn.
fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<Option<T>, StoreError> {
    let path = directory.join(name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(system("read", &path)(source)),
    };
    match bytes.split_first() {
        Some((&FORMAT, rest)) => Ok(rmp_serde::from_slice(rest).ok()),
        Some((&found, _)) if found > FORMAT => Err(StoreError::Newer { path, found }),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use nomadd_model::{Allocation, Time};

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn what_is_kept_comes_back_and_what_is_torn_is_said_to_be() {
        let dir = TempDir::new("store");
        let store = Store::open(dir.path()).unwrap();
        let id = AllocationId::from_random([1; 16]);
        let assigned = AssignedAllocation { allocation: Allocation { id, ..Allocation::default() }, job: None };
        store.put_assigned(&assigned).unwrap();
        let progress = StoredProgress { begun: Time(7), ..StoredProgress::default() };
        store.put_progress(id, &progress).unwrap();
        let torn = AllocationId::from_random([2; 16]);
        fs::create_dir(store.allocation(torn)).unwrap();
        fs::write(store.allocation(torn).join(ASSIGNED), b"").unwrap();
        let mut kept = store.restore().unwrap();
        kept.sort_by_key(|kept| matches!(kept, Kept::Torn(_)));
        assert!(matches!(&kept[0], Kept::Whole(whole, how_far) if **whole == assigned && *how_far == progress));
        assert!(matches!(kept[1], Kept::Torn(id) if id == torn));
        store.remove(id).unwrap();
        store.remove(torn).unwrap();
        assert!(store.restore().unwrap().is_empty());
    }

    #[test]
    fn metadata_comes_back() {
        let dir = TempDir::new("store");
        let store = Store::open(dir.path()).unwrap();
        assert!(store.metadata().unwrap().is_empty());
        let changes = Changes::from([("rack".into(), None), ("tier".into(), Some("gold".into()))]);
        store.put_metadata(&changes).unwrap();
        assert_eq!(Store::open(dir.path()).unwrap().metadata().unwrap(), changes);
    }

    #[test]
    fn the_state_of_a_later_release_stops_the_agent() {
        let dir = TempDir::new("store");
        let store = Store::open(dir.path()).unwrap();
        let id = AllocationId::from_random([1; 16]);
        fs::create_dir(store.allocation(id)).unwrap();
        fs::write(store.allocation(id).join(ASSIGNED), [9, 9]).unwrap();
        assert!(matches!(store.restore(), Err(StoreError::Newer { found: 9, .. })));
    }
}
