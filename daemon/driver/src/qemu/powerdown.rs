//! A machine's process with a stop that lets the guest end in order: its power button is pressed, and only when its time
//! is over it is killed.

use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use nomadd_model::Time;
use nomadd_supervisor::exec::{ExecError, ExecRequest, ExecSession};
use nomadd_supervisor::{ExitStatus, Handle, Process, SignalError, StatsError, Usage};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::MONITOR;

/// How long the monitor may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Machine {
    inner: Handle,
    folder: PathBuf,
}

impl Machine {
    pub fn new(inner: Handle, folder: PathBuf) -> Self {
        Self { inner, folder }
    }

    /// Presses the power button.
    async fn press(&self) -> io::Result<()> {
        // By way of /proc, because a socket's address holds no more than 107 bytes.
        let folder = std::fs::File::open(&self.folder)?;
        let path = format!("/proc/self/fd/{}/{MONITOR}", folder.as_raw_fd());
        let mut monitor = UnixStream::connect(path).await?;
        monitor.write_all(b"system_powerdown\n").await?;
        monitor.shutdown().await
    }
}

#[async_trait]
impl Process for Machine {
    fn exit(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.inner.exit()
    }

    async fn signal(&self, signal: i32) -> Result<(), SignalError> {
        self.inner.signal(signal).await
    }

    async fn stop(&self, signal: i32, patience: Duration) -> Result<(), SignalError> {
        match timeout(PATIENCE, self.press()).await {
            // The executor keeps the time; the signal that it sends must do nothing.
            Ok(Ok(())) => self.inner.stop(libc::SIGCONT, patience).await,
            // It has no monitor: nobody asked for more than the signal.
            _ => self.inner.stop(signal, patience).await,
        }
    }

    async fn kill(&self) -> Result<(), SignalError> {
        self.inner.kill().await
    }

    async fn stats(&self) -> Result<Usage, StatsError> {
        self.inner.stats().await
    }

    async fn exec(&self, _: ExecRequest) -> Result<ExecSession, ExecError> {
        Err(ExecError::Unsupported)
    }

    fn started_at(&self) -> Time {
        self.inner.started_at()
    }

    fn pid(&self) -> Option<i32> {
        self.inner.pid()
    }

    async fn destroy(&self) {
        self.inner.destroy().await;
    }
}
