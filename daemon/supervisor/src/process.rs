//! The face of the room: what a supervisor does, and the handle on one running task. Real processes (`direct`), the
//! mock driver's and a simulation's stand behind the same handle, so the client has one way for all.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nomadd_model::Time;
use tokio::sync::watch;

use crate::cgroup::Enforcement;
use crate::exec::{ExecError, ExecRequest, ExecSession};
use crate::signals;
use crate::spec::{ProcessSpec, TaskHandleId};
use crate::start::StartError;
use crate::usage::{StatsError, Usage};

/// Starts tasks and finds them again.
#[async_trait]
pub trait Supervisor: Send + Sync {
    /// Starts a process; resolves when it runs, or with the step that failed.
    async fn start(&self, spec: ProcessSpec) -> Result<Handle, StartError>;

    /// Finds a task that an earlier daemon started, by the state directory it was started with.
    async fn adopt(&self, id: &TaskHandleId, state_directory: &Path) -> Result<Adopted, AdoptError>;

    /// Kills whatever runs under this id and removes its cgroups and state directory. For allocations that are gone.
    async fn remove_leftovers(&self, id: &TaskHandleId, state_directory: &Path);

    /// Kills tasks of this node that run though none of these allocations is theirs: what a lost local state left. Where
    /// a task cannot be found without that state, nothing happens.
    async fn remove_strangers(&self, _node: &str, _known: &BTreeSet<String>) {}

    /// Which limits hold on this host.
    fn enforcement(&self) -> &Enforcement;
}

/// What became of a task while no daemon looked.
#[derive(Debug)]
pub enum Adopted {
    /// It runs and is ours again.
    Running(Handle),
    /// It ended by itself.
    Exited(ExitStatus),
    /// Nobody knows how it ended; nothing of it runs any more.
    Lost(LossReason),
}

/// Why a task's end is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LossReason {
    /// The state directory holds nothing: it never started.
    NeverStarted,
    /// The host was rebooted since.
    Rebooted,
    /// Its executor died; what ran of the task was killed.
    ExecutorDied,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverStarted => "the task was not started before the agent went down",
            Self::Rebooted => "the host was rebooted while the task ran",
            Self::ExecutorDied => "the task's executor died while the agent was down, so the task was killed",
        })
    }
}

/// Why a task could not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The executor's files cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The executor speaks a later version.
    #[error("{} was written by a later release", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What is not understood.
        #[source]
        source: nomadd_executor::record::RecordError,
    },
    /// The agent is shutting down.
    #[error("the agent is shutting down")]
    ShuttingDown,
}

/// How a task ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExitStatus {
    /// The exit code; 128 + signal if one ended it, as shells and Nomad count.
    pub exit_code: i32,
    /// The signal that ended it, or 0.
    pub signal: i32,
    /// Whether the kernel killed it, or a part of it that it failed without, for memory.
    pub oom_killed: bool,
    /// Whether it was killed because it did not end in the time that a stop gave it.
    pub timed_out: bool,
    /// When it ended.
    pub finished_at: Time,
    /// What went wrong besides: an executor that died, processes that could not be killed.
    pub error: Option<String>,
    /// The most memory it used, in bytes; 0 if not known.
    pub memory_peak: u64,
    /// Its processor time, in nanoseconds.
    pub cpu_ns: u64,
    /// Bytes of output that could not be written to its log files.
    pub log_bytes_lost: u64,
}

impl ExitStatus {
    /// Whether it counts as success.
    pub fn is_success(&self) -> bool {
        self.exit_code == 0 && self.signal == 0 && self.error.is_none()
    }
}

/// Why a signal, stop or kill did not reach the task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// It has ended.
    #[error("the task has ended")]
    Ended,
    /// The kernel knows no such signal.
    #[error("signal {0} does not exist")]
    UnknownSignal(i32),
    /// The driver refuses.
    #[error("{0}")]
    Refused(String),
    /// The executor does not answer.
    #[error("the task's executor does not answer")]
    NoAnswer,
}

/// One running task, behind a handle.
#[async_trait]
pub trait Process: Send + Sync {
    /// Its end, once it has come.
    fn exit(&self) -> watch::Receiver<Option<ExitStatus>>;
    /// Sends a signal to its main process.
    async fn signal(&self, signal: i32) -> Result<(), SignalError>;
    /// Sends a signal, and kills all of it if it still runs after `timeout`. Resolves when the signal is sent.
    async fn stop(&self, signal: i32, timeout: Duration) -> Result<(), SignalError>;
    /// Kills all of it.
    async fn kill(&self) -> Result<(), SignalError>;
    /// What it uses now.
    async fn stats(&self) -> Result<Usage, StatsError>;
    /// Runs a command beside it, in its cgroups.
    async fn exec(&self, request: ExecRequest) -> Result<ExecSession, ExecError>;
    /// When it started.
    fn started_at(&self) -> Time;
    /// Its main process, if it is one.
    fn pid(&self) -> Option<i32>;
    /// Kills it if it runs, and removes its cgroups and state directory.
    async fn destroy(&self);
}

/// A running (or just ended) task; a clone is the same one. Dropping it does nothing to the task.
#[derive(Clone)]
pub struct Handle(Arc<dyn Process>);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("pid", &self.0.pid()).finish_non_exhaustive()
    }
}

impl Handle {
    /// Around anything that behaves like a task's process.
    pub fn new(process: impl Process + 'static) -> Self {
        Self(Arc::new(process))
    }

    /// Its end, once it has come; for who stands before it.
    pub fn exit(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.0.exit()
    }

    /// Waits for its end; any number may wait, also after it.
    pub async fn wait(&self) -> ExitStatus {
        let mut exit = self.0.exit();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|status| status.clone());
        // The sender goes only with the process, which this handle holds, or with the agent.
        match ended {
            Some(status) => status,
            None => std::future::pending().await,
        }
    }

    /// Its end if it has come already.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.0.exit().borrow().clone()
    }

    /// Sends a signal to its main process.
    pub async fn signal(&self, signal: i32) -> Result<(), SignalError> {
        if !(1..=64).contains(&signal) {
            return Err(SignalError::UnknownSignal(signal));
        }
        self.0.signal(signal).await
    }

    /// Sends a signal by its name.
    pub async fn signal_by_name(&self, name: &str) -> Result<(), SignalError> {
        match signals::number(name) {
            Some(number) => self.0.signal(number).await,
            None => Err(SignalError::Refused(format!("unknown signal {name:?}"))),
        }
    }

    /// Sends a signal, and kills all of it if it still runs after `timeout`. Resolves when the signal is sent; the
    /// executor keeps the deadline, whatever becomes of the daemon.
    pub async fn stop(&self, signal: i32, timeout: Duration) -> Result<(), SignalError> {
        if !(1..=64).contains(&signal) {
            return Err(SignalError::UnknownSignal(signal));
        }
        self.0.stop(signal, timeout).await
    }

    /// Kills all of it.
    pub async fn kill(&self) -> Result<(), SignalError> {
        self.0.kill().await
    }

    /// What it uses now.
    pub async fn stats(&self) -> Result<Usage, StatsError> {
        self.0.stats().await
    }

    /// Runs a command beside it, in its cgroups.
    pub async fn exec(&self, request: ExecRequest) -> Result<ExecSession, ExecError> {
        self.0.exec(request).await
    }

    /// When it started.
    pub fn started_at(&self) -> Time {
        self.0.started_at()
    }

    /// Its main process; the mock driver has none.
    pub fn pid(&self) -> Option<i32> {
        self.0.pid()
    }

    /// Kills it if it runs, and removes its cgroups and state directory.
    pub async fn destroy(&self) {
        self.0.destroy().await;
    }
}
