//! The handle on a task with an executor: requests go over the executor's socket, readings and exec sessions do not.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use nomadd_executor::cgroup;
use nomadd_executor::record::Record;
use nomadd_executor::report::Started;
use nomadd_model::Time;
use nomadd_runtime::{Pool, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::connection::{ANSWER_LIMIT, Request};
use crate::exec::{self, ExecError, ExecRequest, ExecSession};
use crate::process::{ExitStatus, Process, SignalError};
use crate::usage::{self, StatsError, Usage};

pub struct Running {
    started: Started,
    state_directory: PathBuf,
    requests: mpsc::Sender<Request>,
    exit: watch::Receiver<Option<ExitStatus>>,
    executor: PathBuf,
    runtime: Runtime,
    pool: Pool,
}

impl Running {
    pub fn new(
        started: Started,
        state_directory: PathBuf,
        requests: mpsc::Sender<Request>,
        exit: watch::Receiver<Option<ExitStatus>>,
        executor: PathBuf,
        runtime: Runtime,
        pool: Pool,
    ) -> Self {
        Self { started, state_directory, requests, exit, executor, runtime, pool }
    }

    fn ended(&self) -> bool {
        self.exit.borrow().is_some()
    }

    async fn ask(&self, record: Record) -> Result<(), SignalError> {
        let (answer, reply) = oneshot::channel();
        self.requests.send(Request { record, answer }).await.map_err(|_| SignalError::Ended)?;
        match timeout(ANSWER_LIMIT, reply).await {
            Ok(Ok(result)) => result.map_err(|error| if self.ended() { SignalError::Ended } else { error }),
            Ok(Err(_)) => Err(SignalError::Ended),
            Err(_) => Err(SignalError::NoAnswer),
        }
    }

    fn directories(&self) -> Vec<PathBuf> {
        self.started.cgroups.iter().map(|cgroup| cgroup.directory.clone()).collect()
    }
}

#[async_trait]
impl Process for Running {
    fn exit(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.exit.clone()
    }

    async fn signal(&self, signal: i32) -> Result<(), SignalError> {
        let mut record = Record::new("signal");
        record.push("signal", signal);
        self.ask(record).await
    }

    async fn stop(&self, signal: i32, timeout: Duration) -> Result<(), SignalError> {
        let mut record = Record::new("stop");
        record.push("signal", signal);
        record.push("timeout_ms", u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self.ask(record).await
    }

    async fn kill(&self) -> Result<(), SignalError> {
        self.ask(Record::new("kill")).await
    }

    async fn stats(&self) -> Result<Usage, StatsError> {
        if self.ended() {
            return Err(StatsError::Ended);
        }
        let (directories, pid) = (self.directories(), self.started.pid);
        let read = self.pool.run(move || usage::read(&directories, pid, std::time::Instant::now())).await;
        read.map_err(|_| StatsError::ShuttingDown)
    }

    async fn exec(&self, request: ExecRequest) -> Result<ExecSession, ExecError> {
        if self.ended() {
            return Err(ExecError::Ended);
        }
        let places = cgroup::places(&self.started.cgroups);
        let task = exec::Task { cgroups: places, started: self.started.clone(), state: self.state_directory.clone() };
        exec::start(self.executor.clone(), task, request, &self.runtime, &self.pool).await
    }

    fn started_at(&self) -> Time {
        Time(self.started.started_at)
    }

    fn pid(&self) -> Option<i32> {
        Some(self.started.pid)
    }

    async fn destroy(&self) {
        if !self.ended() && self.kill().await.is_ok() {
            let mut exit = self.exit.clone();
            drop(exit.wait_for(Option::is_some).await);
        }
        let (cgroups, directory) = (self.started.cgroups.clone(), self.state_directory.clone());
        let removed = self.pool.run(move || {
            cgroup::remove(&cgroups);
            match fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        });
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(directory = %self.state_directory.display(), %error, "cannot remove an executor's files");
        }
    }
}
