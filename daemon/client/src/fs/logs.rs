//! The output of a task over its rotated files: one file after the other, followed until the task is over.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nomadd_model::{Bytes, StreamFrame};
use nomadd_supervisor::logs::{self, LogFile, Stream};

use crate::fs::confined::Root;
use crate::fs::follow::{Patience, place};
use crate::fs::{AllocationFiles, CHUNK, Follow, FsError, Origin, read_at};

const DIRECTORY: &str = "alloc/logs";

/// The output of a task in frames.
#[derive(Debug)]
pub struct LogStream {
    root: Root,
    task: String,
    stream: Stream,
    follow: Follow,
    files: AllocationFiles,
    current: Option<Current>,
    /// The file to go on with when there is none yet.
    from: u64,
    skip: u64,
    patience: Patience,
}

#[derive(Debug)]
struct Current {
    file: Arc<OwnedFd>,
    path: PathBuf,
    name: String,
    index: u64,
    offset: u64,
    /// A newer file was there before the end of this one was reached: nothing more is written to it.
    complete: bool,
}

/// The files of a stream, looked up in a directory that was resolved beneath the allocation's.
fn list(root: &Root, task: &str, stream: Stream) -> Result<Vec<LogFile>, FsError> {
    let directory = match root.open_directory(DIRECTORY) {
        Ok(directory) => directory,
        Err(FsError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    logs::list(Path::new(&path), task, stream).map_err(|source| FsError::System {
        what: "read",
        path: root.display(DIRECTORY),
        source,
    })
}

/// The file and the place in it that an offset over all files means.
fn locate(files: &[LogFile], origin: Origin, offset: i64) -> (u64, u64) {
    let total = files.iter().map(|file| file.size).sum();
    let mut rest = place(origin, offset, total);
    for file in files {
        if rest < file.size {
            return (file.index, rest);
        }
        rest -= file.size;
    }
    // Behind everything: at the end of the newest.
    files.last().map_or((0, 0), |file| (file.index, file.size))
}

impl LogStream {
    pub(super) async fn open(
        root: Root,
        task: &str,
        stream: Stream,
        origin: Origin,
        offset: i64,
        follow: Follow,
        files: AllocationFiles,
    ) -> Result<Self, FsError> {
        let name = task.to_owned();
        let known = files.blocking(move |root| list(root, &name, stream)).await?;
        let (from, skip) = locate(&known, origin, offset);
        let (task, current, patience) = (task.to_owned(), None, Patience::new());
        Ok(Self { root, task, stream, follow, files, current, from, skip, patience })
    }

    /// The next frame; `None` at the end. May be dropped and asked again without losing a byte.
    pub async fn next(&mut self) -> Result<Option<StreamFrame>, FsError> {
        loop {
            // Whether it is over is asked before reading: what is written before the end is read after it.
            let over = self.follow == Follow::No || self.files.is_over(&self.task);
            if self.current.is_none() {
                self.current = self.open_from(self.from).await?;
            }
            if let Some(current) = &mut self.current {
                let pool = &self.files.pool;
                let bytes = read_at(pool, &current.file, &current.path, current.offset, CHUNK).await?;
                if !bytes.is_empty() {
                    self.patience.reset();
                    current.offset += bytes.len() as u64;
                    return Ok(Some(StreamFrame {
                        data: Bytes(bytes),
                        file: current.name.clone(),
                        file_event: String::new(),
                        offset: i64::try_from(current.offset).unwrap_or(i64::MAX),
                    }));
                }
                if current.complete {
                    (self.from, self.skip) = (current.index + 1, 0);
                    self.current = None;
                    continue;
                }
                let newer = self.newer_than(current_index(self.current.as_ref())).await?;
                if let Some(current) = &mut self.current
                    && newer
                {
                    current.complete = true;
                    continue;
                }
            }
            if over {
                return Ok(None);
            }
            self.patience.wait().await;
        }
    }

    async fn newer_than(&self, index: u64) -> Result<bool, FsError> {
        let (task, stream) = (self.task.clone(), self.stream);
        self.files
            .blocking(move |root| Ok(list(root, &task, stream)?.last().is_some_and(|newest| newest.index > index)))
            .await
    }

    /// Opens the oldest file from a number on; it may be gone by rotation, then the next one is taken.
    async fn open_from(&self, from: u64) -> Result<Option<Current>, FsError> {
        let (task, stream, skip) = (self.task.clone(), self.stream, self.skip);
        let root = self.root.clone();
        let opened = self.files.pool.run(move || {
            for file in list(&root, &task, stream)?.iter().filter(|file| file.index >= from) {
                let name = format!("{DIRECTORY}/{}", logs::file_name(&task, stream, file.index));
                match root.open(&name) {
                    Ok(opened) => {
                        let offset = if file.index == from { skip } else { 0 };
                        let (file, path, index) = (Arc::new(opened), root.display(&name), file.index);
                        return Ok(Some(Current { file, path, name, index, offset, complete: false }));
                    }
                    Err(FsError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(None)
        });
        opened.await.map_err(|_| FsError::ShuttingDown)?
    }
}

fn current_index(current: Option<&Current>) -> u64 {
    current.map_or(0, |current| current.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_counts_over_all_files() {
        let file = |index, size| LogFile { index, path: PathBuf::new(), size };
        let files = [file(3, 10), file(4, 10), file(5, 5)];
        for (origin, offset, expected) in [
            (Origin::Start, 0, (3, 0)),
            (Origin::Start, 12, (4, 2)),
            (Origin::Start, 99, (5, 5)),
            (Origin::End, 3, (5, 2)),
            (Origin::End, 7, (4, 8)),
            (Origin::End, 99, (3, 0)),
            (Origin::End, 0, (5, 5)),
        ] {
            assert_eq!(locate(&files, origin, offset), expected, "{origin:?} {offset}");
        }
        assert_eq!(locate(&[], Origin::End, 5), (0, 0));
    }
}
