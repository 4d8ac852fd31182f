//! One stream of the task: the pipe it writes to and the log files that the bytes go to.

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};

use nomadd_executor::logs::Writer;

use crate::journal::Journal;

/// A pipe of this size rides out a pause of the disk.
pub const PIPE_BYTES: i32 = 256 << 10;

/// A stream that is being logged.
pub struct Output {
    pipe: PipeReader,
    log: Writer,
}

/// Whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// All that was there is written.
    Dry,
    /// There may be more at once.
    More,
    /// Every writer is gone.
    Ended,
}

impl Output {
    /// Joins a pipe's reading end, which must not block, to its log.
    pub fn new(pipe: PipeReader, log: Writer) -> Self {
        Self { pipe, log }
    }

    /// Writes one buffer's worth of what the task wrote: to the files, then to the journal.
    pub fn pump(&mut self, buffer: &mut [u8], journal: Option<&mut Journal>) -> Flow {
        match self.pipe.read(buffer) {
            Ok(0) => {
                if let Some(journal) = journal {
                    journal.end(self.log.stream());
                }
                Flow::Ended
            }
            Ok(count) => {
                self.log.write(&buffer[..count]);
                if let Some(journal) = journal {
                    journal.write(self.log.stream(), &buffer[..count]);
                }
                if count == buffer.len() { Flow::More } else { Flow::Dry }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Flow::More,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Flow::Dry,
            Err(_) => Flow::Ended,
        }
    }

    /// Bytes that could not be written so far.
    pub fn lost(&self) -> u64 {
        self.log.lost()
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
