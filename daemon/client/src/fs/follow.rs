//! One file in frames, followed if wanted: what is appended, and that it was truncated or deleted.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nomadd_model::{Bytes, StreamFrame};
use nomadd_runtime::Pool;

use crate::fs::confined::Root;
use crate::fs::{CHUNK, Follow, FsError, Origin, read_at};

/// The pauses between looks at a file that does not grow: short at first, so that a line shows at once.
#[derive(Debug)]
pub(super) struct Patience(Duration);

impl Patience {
    const LEAST: Duration = Duration::from_millis(10);
    const MOST: Duration = Duration::from_millis(250);

    pub(super) fn new() -> Self {
        Self(Self::LEAST)
    }
    pub(super) fn reset(&mut self) {
        self.0 = Self::LEAST;
    }
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 3 / 2).min(Self::MOST);
    }
}

/// A file that is read in frames.
#[derive(Debug)]
pub struct FileStream {
    file: Arc<OwnedFd>,
    name: String,
    path: PathBuf,
    offset: u64,
    follow: Follow,
    patience: Patience,
    pool: Option<Pool>,
    ended: bool,
}

/// The place in a file or files of `size` bytes that an offset means.
pub(super) fn place(origin: Origin, offset: i64, size: u64) -> u64 {
    let offset = u64::try_from(offset).unwrap_or(0);
    match origin {
        Origin::Start => offset.min(size),
        Origin::End => size.saturating_sub(offset),
    }
}

/// The size of an open file, and whether it still has a name.
pub(super) fn state(file: &OwnedFd) -> (u64, bool) {
    match rustix::fs::fstat(file) {
        Ok(stat) => (u64::try_from(stat.st_size).unwrap_or(0), stat.st_nlink > 0),
        Err(_) => (0, false),
    }
}

impl FileStream {
    pub(super) fn open(root: &Root, name: &str, origin: Origin, offset: i64) -> Result<Self, FsError> {
        if offset < 0 {
            return Err(FsError::Offset { path: name.to_owned(), offset });
        }
        let file = root.open(name)?;
        let (size, _) = state(&file);
        Ok(Self {
            file: Arc::new(file),
            name: name.to_owned(),
            path: root.display(name),
            offset: place(origin, offset, size),
            follow: Follow::No,
            patience: Patience::new(),
            pool: None,
            ended: false,
        })
    }

    pub(super) fn with(mut self, pool: Pool, follow: Follow) -> Self {
        (self.pool, self.follow) = (Some(pool), follow);
        self
    }

    fn event(&self, event: &str) -> StreamFrame {
        let offset = i64::try_from(self.offset).unwrap_or(i64::MAX);
        StreamFrame { data: Bytes::default(), file: self.name.clone(), file_event: event.to_owned(), offset }
    }

    /// The next frame; `None` at the end. May be dropped and asked again without losing a byte.
    pub async fn next(&mut self) -> Result<Option<StreamFrame>, FsError> {
        let Some(pool) = self.pool.clone().filter(|_| !self.ended) else { return Ok(None) };
        loop {
            let bytes = read_at(&pool, &self.file, &self.path, self.offset, CHUNK).await?;
            if !bytes.is_empty() {
                self.patience.reset();
                self.offset += bytes.len() as u64;
                let frame = self.event("");
                return Ok(Some(StreamFrame { data: Bytes(bytes), ..frame }));
            }
            if self.follow == Follow::No {
                self.ended = true;
                return Ok(None);
            }
            let (size, named) = state(&self.file);
            if size < self.offset {
                self.offset = 0;
                return Ok(Some(self.event("file truncated")));
            }
            if !named {
                self.ended = true;
                return Ok(Some(self.event("file deleted")));
            }
            self.patience.wait().await;
        }
    }
}
