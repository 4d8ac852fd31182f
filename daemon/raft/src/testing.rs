//! What the tests of this room share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder of its own that goes with the test.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) PathBuf);

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let unique = format!("nomadd-raft-{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}
impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}
