//! The folders of an agent: those of its configuration, or a temporary one in development.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nomadd_config::Config;
use tempfile::TempDir;

/// Where things are kept. A temporary folder goes when this is dropped.
pub struct Folders {
    /// The server's own folder.
    pub server: PathBuf,
    /// The client's state.
    pub state: PathBuf,
    /// The allocations.
    pub allocations: PathBuf,
    temporary: Option<TempDir>,
}

impl Folders {
    /// Finds or makes the folders; an unwritable one is named.
    pub fn prepare(config: &Config) -> anyhow::Result<Self> {
        let temporary = match &config.data_dir {
            Some(_) => None,
            // Tasks of other users must be able to pass through to their allocation.
            None => Some(
                tempfile::Builder::new()
                    .prefix("nomadd-dev-")
                    .permissions(std::fs::Permissions::from_mode(0o711))
                    .tempdir()
                    .context("cannot make a temporary folder")?,
            ),
        };
        let root = temporary.as_ref().map(TempDir::path).or(config.data_dir.as_deref()).unwrap_or(Path::new("."));
        let or = |chosen: &Option<PathBuf>, name: &str| chosen.clone().unwrap_or_else(|| root.join(name));
        let folders = Self {
            server: or(&config.server.data_dir, "server"),
            state: or(&config.client.state_dir, "client"),
            allocations: or(&config.client.alloc_dir, "alloc"),
            temporary: None,
        };
        let wanted = [
            (config.server.enabled, &folders.server),
            (config.client.enabled, &folders.state),
            (config.client.enabled, &folders.allocations),
        ];
        for (_, folder) in wanted.into_iter().filter(|(enabled, _)| *enabled) {
            let mode = if *folder == folders.allocations { 0o711 } else { 0o700 };
            DirBuilder::new().recursive(true).mode(mode).create(folder).with_context(|| {
                format!("cannot make the folder {}; check data_dir and its permissions", folder.display())
            })?;
        }
        Ok(Self { temporary, ..folders })
    }

    /// Whether the state is only for this run.
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }
}
