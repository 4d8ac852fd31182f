//! The files of allocations as the API shows them: list, stat, read, stream, logs. Everything is resolved beneath the
//! allocation's directory by the kernel, whatever links and names a task has put there.
//!
//! Readers are pulled by their caller (`http`), so nothing is read ahead of a slow one.

mod confined;
mod follow;
mod info;
mod logs;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use nomadd_model::{AllocFileInfo, AllocationId, TaskStatus};
use nomadd_runtime::Pool;
use tokio::sync::mpsc;

use crate::allocation::remote;
use crate::allocation::shared::Shared;
use crate::client::Client;

pub use follow::FileStream;
pub use logs::LogStream;
pub use nomadd_supervisor::logs::Stream;

/// How many bytes are read at a time, and the most that a frame carries.
pub const CHUNK: usize = 64 << 10;

/// Why a file cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// The node does not have the allocation.
    #[error("Unknown allocation \"{0}\"")]
    UnknownAllocation(AllocationId),
    /// The allocation has no such task.
    #[error("unknown task name {0:?}")]
    UnknownTask(String),
    /// The task has not run yet.
    #[error("task {0:?} not started yet. No logs available")]
    NotStarted(String),
    /// Nothing is there.
    #[error("{what} {}: no such file or directory", path.display())]
    NotFound {
        /// `open` or `stat`.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The path leads out of the allocation, by itself or by a link.
    #[error("Path escapes the alloc directory: {0:?}")]
    Escapes(String),
    /// Secrets are not shown.
    #[error("Reading secret file prohibited: {0}")]
    Secret(String),
    /// A directory is not read.
    #[error("file {0:?} is a directory")]
    Directory(String),
    /// A directory was asked for.
    #[error("file {0:?} is not a directory")]
    NotDirectory(String),
    /// Not a file whose content can be read.
    #[error("file {path:?} is a {kind}; only regular files can be read")]
    NotRegular {
        /// The file.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// Behind the end of the file.
    #[error("offset {offset} is not in file {path:?}")]
    Offset {
        /// The file.
        path: String,
        /// What was asked for.
        offset: i64,
    },
    /// The system refuses.
    #[error("{what} {}: {source}", path.display())]
    System {
        /// `open`, `stat`, `read`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The agent is shutting down.
    #[error("the agent is shutting down")]
    ShuttingDown,
}

/// What kind of failure it is: the API's status follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsErrorKind {
    /// 404.
    NotFound,
    /// 400.
    BadRequest,
    /// 403.
    Forbidden,
    /// 500.
    Internal,
}

impl FsError {
    /// The kind of the failure.
    pub fn kind(&self) -> FsErrorKind {
        match self {
            Self::UnknownAllocation(_) | Self::NotStarted(_) | Self::NotFound { .. } => FsErrorKind::NotFound,
            Self::UnknownTask(_)
            | Self::Directory(_)
            | Self::NotDirectory(_)
            | Self::NotRegular { .. }
            | Self::Offset { .. } => FsErrorKind::BadRequest,
            Self::Escapes(_) | Self::Secret(_) => FsErrorKind::Forbidden,
            Self::System { .. } | Self::ShuttingDown => FsErrorKind::Internal,
        }
    }
}

/// Where an offset counts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// From the beginning.
    #[default]
    Start,
    /// Back from the end.
    End,
}

/// Whether a reader waits for more at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// It ends.
    #[default]
    No,
    /// It waits.
    Yes,
}

/// The files of one allocation.
#[derive(Clone, Debug)]
pub struct AllocationFiles {
    shared: Arc<Shared>,
    pool: Pool,
}

impl Client {
    /// The files of an allocation, also of one that is over.
    pub fn files(&self, id: AllocationId) -> Result<AllocationFiles, FsError> {
        let shared = self.0.shared(id).map_err(|_| FsError::UnknownAllocation(id))?;
        Ok(AllocationFiles { shared, pool: self.0.context.pool.clone() })
    }

    /// What an allocation leaves to the one that replaces it, as a tar stream; a stream that breaks off ends with an error.
    pub fn legacy(&self, id: AllocationId) -> Result<mpsc::Receiver<io::Result<bytes::Bytes>>, FsError> {
        let files = self.files(id)?;
        let tasks = files.tasks();
        Ok(remote::serve(&self.0.context, files.shared.directory.root().to_owned(), tasks))
    }
}

impl AllocationFiles {
    fn tasks(&self) -> Vec<String> {
        let view = self.shared.lock();
        let group = view.group();
        group.map(|(_, group)| group.tasks.iter().map(|task| task.name.to_string()).collect()).unwrap_or_default()
    }
    fn root(&self) -> confined::Root {
        confined::Root::new(self.shared.directory.root(), self.tasks())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&confined::Root) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, FsError> {
        let root = self.root();
        self.pool.run(move || work(&root)).await.map_err(|_| FsError::ShuttingDown)?
    }

    /// The entries of a directory, sorted by name.
    pub async fn list(&self, path: &str) -> Result<Vec<AllocFileInfo>, FsError> {
        let path = path.to_owned();
        self.blocking(move |root| root.list(&path)).await
    }

    /// What a file is.
    pub async fn stat(&self, path: &str) -> Result<AllocFileInfo, FsError> {
        let path = path.to_owned();
        self.blocking(move |root| root.stat(&path)).await
    }

    /// Reads a file from an offset on, at most `limit` bytes (`None`: to the end), in pieces.
    pub async fn read(&self, path: &str, offset: i64, limit: Option<u64>) -> Result<FileReader, FsError> {
        let name = path.to_owned();
        let Ok(offset) = u64::try_from(offset) else {
            return Err(FsError::Offset { path: name, offset });
        };
        let (file, path) = self.blocking(move |root| Ok((root.open(&name)?, root.display(&name)))).await?;
        Ok(FileReader { file: Arc::new(file), path, offset, left: limit.unwrap_or(u64::MAX), pool: self.pool.clone() })
    }

    /// Reads a file in frames from an offset on, and waits for more if it is to be followed.
    pub async fn stream(&self, path: &str, origin: Origin, offset: i64, follow: Follow) -> Result<FileStream, FsError> {
        let name = path.to_owned();
        let opened = self.blocking(move |root| FileStream::open(root, &name, origin, offset)).await?;
        Ok(opened.with(self.pool.clone(), follow))
    }

    /// Reads the output of a task over its rotated files, and waits for more if it is to be followed, until the task is over.
    pub async fn logs(
        &self,
        task: &str,
        stream: Stream,
        origin: Origin,
        offset: i64,
        follow: Follow,
    ) -> Result<LogStream, FsError> {
        {
            let view = self.shared.lock();
            if view.task(task).is_none() {
                return Err(FsError::UnknownTask(task.to_owned()));
            }
            let waits = |state: &nomadd_model::TaskState| {
                state.state == TaskStatus::Pending && state.started_at.0 == 0 && state.restarts == 0
            };
            if view.states.get(task).is_none_or(waits) {
                return Err(FsError::NotStarted(task.to_owned()));
            }
        }
        let root = self.root();
        LogStream::open(root, task, stream, origin, offset, follow, self.clone()).await
    }

    /// Whether a task is over, so that its logs do not grow any more.
    fn is_over(&self, task: &str) -> bool {
        let view = self.shared.lock();
        view.over.is_some() || view.states.get(task).is_none_or(|state| state.state == TaskStatus::Dead)
    }
}

/// A file that is read in pieces.
#[derive(Debug)]
pub struct FileReader {
    file: Arc<OwnedFd>,
    path: PathBuf,
    offset: u64,
    left: u64,
    pool: Pool,
}

impl FileReader {
    /// The next piece; `None` at the end. May be dropped and asked again without losing a byte.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, FsError> {
        let most = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        if most == 0 {
            return Ok(None);
        }
        let bytes = read_at(&self.pool, &self.file, &self.path, self.offset, most).await?;
        self.offset += bytes.len() as u64;
        self.left -= bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}

/// Reads up to `most` bytes at an offset; nothing at the end.
async fn read_at(
    pool: &Pool,
    file: &Arc<OwnedFd>,
    path: &std::path::Path,
    offset: u64,
    most: usize,
) -> Result<Vec<u8>, FsError> {
    let (file, path) = (Arc::clone(file), path.to_owned());
    let read = pool.run(move || {
        let mut bytes = vec![0; most];
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(&*file, &mut bytes, offset))
            .map_err(|error| FsError::System { what: "read", path, source: error.into() })?;
        bytes.truncate(count);
        Ok(bytes)
    });
    read.await.map_err(|_| FsError::ShuttingDown)?
}
