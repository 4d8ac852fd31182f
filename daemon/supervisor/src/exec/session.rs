//! A running exec session: its streams, its size, its end.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nomadd_executor::process;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::TerminalSize;
use crate::sys;

/// What the command reads. Shutting it down is its end of input; on a terminal that is Ctrl-D.
pub type Input = Box<dyn AsyncWrite + Send + Unpin>;
/// What the command writes.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecExit {
    /// The exit code; 128 + signal if one ended it.
    pub exit_code: i32,
    /// The signal that ended it, or 0.
    pub signal: i32,
}

/// A command that runs beside a task. The streams may be taken out and moved to tasks of their own. Dropping the
/// control kills the command.
pub struct ExecSession {
    /// Its input.
    pub stdin: Input,
    /// Its output; with a terminal, both outputs.
    pub stdout: Output,
    /// Its error output; with a terminal, at its end from the start.
    pub stderr: Output,
    /// Everything else.
    pub control: ExecControl,
}

impl fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSession").field("pid", &self.control.pid).finish_non_exhaustive()
    }
}

/// Size, signals and the end of an exec session.
#[derive(Debug)]
pub struct ExecControl {
    pid: i32,
    exit: watch::Receiver<Option<ExecExit>>,
    terminal: Option<Arc<AsyncFd<File>>>,
}

impl ExecControl {
    /// Tells the terminal its new size; nothing without a terminal.
    pub fn resize(&self, size: TerminalSize) -> io::Result<()> {
        match &self.terminal {
            Some(terminal) => sys::resize_terminal(terminal.get_ref(), size.rows, size.columns),
            None => Ok(()),
        }
    }

    /// Sends a signal to the command's process group.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        if self.exit.borrow().is_some() {
            return Ok(());
        }
        process::kill(-self.pid, signal)
    }

    /// Waits for its end.
    pub async fn wait(&self) -> ExecExit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        ended.unwrap_or(ExecExit { exit_code: -1, signal: 0 })
    }
}

impl Drop for ExecControl {
    fn drop(&mut self) {
        // The one who waited for it is gone: nobody would read what it writes.
        if self.exit.borrow().is_none() {
            drop(process::kill(-self.pid, libc::SIGKILL));
        }
    }
}

impl ExecSession {
    pub(super) fn piped(
        pid: i32,
        exit: watch::Receiver<Option<ExecExit>>,
        stdin: pipe::Sender,
        stdout: pipe::Receiver,
        stderr: pipe::Receiver,
    ) -> Self {
        let control = ExecControl { pid, exit, terminal: None };
        Self { stdin: Box::new(stdin), stdout: Box::new(stdout), stderr: Box::new(stderr), control }
    }

    pub(super) fn with_terminal(
        pid: i32,
        exit: watch::Receiver<Option<ExecExit>>,
        master: OwnedFd,
    ) -> io::Result<Self> {
        let terminal = Arc::new(sys::watch(master)?);
        Ok(Self {
            stdin: Box::new(TerminalStream(Arc::clone(&terminal))),
            stdout: Box::new(TerminalStream(Arc::clone(&terminal))),
            stderr: Box::new(tokio::io::empty()),
            control: ExecControl { pid, exit, terminal: Some(terminal) },
        })
    }
}

/// Our side of a pseudo-terminal.
struct TerminalStream(Arc<AsyncFd<File>>);

impl AsyncRead for TerminalStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let unfilled = buffer.initialize_unfilled();
            match guard.try_io(|terminal| terminal.get_ref().read(unfilled)) {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // The last process closed its side: the kernel's way to say the end.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for TerminalStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            match guard.try_io(|terminal| terminal.get_ref().write(bytes)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        const END_OF_TRANSMISSION: &[u8] = &[4];
        self.poll_write(context, END_OF_TRANSMISSION).map_ok(drop)
    }
}
