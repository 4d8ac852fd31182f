//! What the tests of the room share: a folder of their own, a small configuration, commands that leave a trace.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nomadd_model::Namespace;
use nomadd_raft::disk::{Faults, FaultyDisk, RealDisk};
use nomadd_raft::{Config, Durability, Raft, Server};
use nomadd_runtime::Runtime;
use nomadd_state::{Command, NamespaceUpsert};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let unique = format!("nomadd-room-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(unique))
    }
    /// The newest file of a folder inside.
    pub fn newest(&self, inside: &str) -> PathBuf {
        let files = std::fs::read_dir(self.0.join(inside)).unwrap();
        files.map(|file| file.unwrap().path()).max().unwrap()
    }
    pub fn count(&self, inside: &str) -> usize {
        std::fs::read_dir(self.0.join(inside)).unwrap().count()
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

pub fn config(folder: &Folder) -> Config {
    config_at(&folder.0)
}

pub fn config_at(folder: &Path) -> Config {
    let server = Server { name: "test.global".into(), address: "127.0.0.1:4647".into() };
    let mut config = Config::new(folder.to_owned(), server, Durability::Sync, Runtime::real(2));
    config.limits.free = 0;
    config
}

/// A configuration whose disk fails when it is told to.
pub fn faulty(folder: &Folder) -> (Config, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let mut config = config(folder);
    config.disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk::default()), Arc::clone(&faults)));
    (config, faults)
}

pub fn upsert(name: &str) -> Command {
    described(name, "")
}

pub fn described(name: &str, description: &str) -> Command {
    let namespace = Namespace { name: name.into(), description: description.into(), ..Namespace::default() };
    Command::NamespaceUpsert(NamespaceUpsert { namespaces: vec![namespace] })
}

pub fn has(raft: &Raft, name: &str) -> bool {
    raft.state().namespace(name).is_some()
}

/// How long anything may take here; far beyond what it takes on a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub async fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while !so() {
        assert!(std::time::Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
