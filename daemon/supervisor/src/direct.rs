//! The supervisor with cgroups of its own: starts an executor per task, adopts those of an earlier daemon.
//!
//! The executor is a small binary of its own and not a re-exec of nomadd, as measured (2 cores, kernel 6.18, 20 at a
//! time, PSS by smaps_rollup, held before main): a 42 MB Rust program costs 1.42 MB and 1.2 ms before its main begins,
//! because its relocations dirty that many pages; the executor 0.17 MB and 0.4 ms, half of that the C library's loader.
//! In use, beside a running task that logs, it is 0.24 MB; `tests/real/bench.rs` prints what it is on this machine.

mod handle;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use nomadd_executor::report::{Failed, Stage, Started};
use nomadd_executor::spec::{Cgroup, Command, LogFiles, Owner, TaskSpec};
use nomadd_executor::{EXIT_FILE, STATE_FILE, cgroup, process};
use nomadd_runtime::{Pool, Runtime, TaskKind};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::cgroup::{Cgroups, Enforcement, Hierarchies};
use crate::connection::{self, ANSWER_LIMIT, Connection, Kinship, Reader};
use crate::process::{AdoptError, Adopted, Handle, LossReason, Supervisor};
use crate::spec::{ProcessSpec, Rlimit, TaskHandleId};
use crate::start::StartError;
use crate::{locate, sys, users};
use handle::Running;

/// How many starts do their blocking part at a time; each takes about a millisecond.
const STARTS: usize = 8;

/// How this supervisor is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cgroup below which tasks are, relative to the hierarchies' roots (`client.cgroup_parent`).
    pub cgroup_parent: String,
    /// The executor's binary; `None` finds it beside this program or by `NOMADD_EXECUTOR`.
    pub executor: Option<PathBuf>,
    /// Resource limits of every task that sets no other: those that the agent was started with, if it raised its own.
    pub rlimits: Vec<Rlimit>,
}

impl Default for Config {
    fn default() -> Self {
        Self { cgroup_parent: "nomad.slice".to_owned(), executor: None, rlimits: Vec::new() }
    }
}

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The executor's binary is missing.
    #[error("the binary nomadd-executor is missing; looked for {}; set NOMADD_EXECUTOR to where it is", list(.0))]
    NoExecutor(Vec<PathBuf>),
    /// The kernel does not say which boot this is.
    #[error("cannot read /proc/sys/kernel/random/boot_id")]
    BootId(#[source] io::Error),
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The supervisor; a clone is not needed, share it by `Arc`.
pub struct Direct {
    executor: PathBuf,
    boot_id: String,
    rlimits: Vec<Rlimit>,
    cgroups: Cgroups,
    runtime: Runtime,
    /// Apart from the runtime's pool: a start does not wait for the scheduler.
    pool: Pool,
}

impl Direct {
    /// Finds the executor and prepares the parent cgroups.
    pub fn new(config: &Config, runtime: Runtime) -> Result<Self, SetupError> {
        let executor = locate::find(config.executor.as_deref()).map_err(SetupError::NoExecutor)?;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(SetupError::BootId)?;
        let cgroups = Cgroups::prepare(Hierarchies::detect(), &config.cgroup_parent);
        for (controller, reason) in cgroups.enforcement().missing() {
            tracing::warn!(%controller, reason, "limits of this kind are not enforced on this host");
        }
        let boot_id = boot_id.trim().to_owned();
        let rlimits = config.rlimits.clone();
        Ok(Self { executor, boot_id, rlimits, cgroups, runtime, pool: Pool::threads(STARTS) })
    }

    /// The cgroup version that limits memory: 1, 2, or 0 for none.
    pub fn cgroup_version(&self) -> u32 {
        self.cgroups.version()
    }

    /// The parent of all tasks' cgroups, relative to the hierarchies' roots: `NOMAD_PARENT_CGROUP`.
    pub fn parent_cgroup(&self) -> &Path {
        self.cgroups.parent()
    }

    async fn launch(&self, mut spec: ProcessSpec) -> Result<Handle, StartError> {
        let own = |limit: &&Rlimit| !spec.rlimits.iter().any(|set| set.number == limit.number);
        let defaults: Vec<_> = self.rlimits.iter().filter(own).copied().collect();
        spec.rlimits.extend(defaults);
        let cgroups = self.cgroups.plan(&spec.id, &spec.limits, spec.cgroup_override.as_ref())?;
        let (executor, boot_id) = (self.executor.clone(), self.boot_id.clone());
        let blocking = self.pool.run(move || spawn(&executor, boot_id, cgroups, &spec).map(|made| (made, spec)));
        let ((executor_pid, socket, frame), spec) = blocking.await.map_err(|_| StartError::ShuttingDown)??;
        let died = |source| StartError::Executor { executor: self.executor.clone(), source };
        let stream = UnixStream::from_std(socket).map_err(died)?;
        let (read, mut writer) = stream.into_split();
        let mut reader = Reader::new(read);
        // A frame that the executor cannot take whole it answers all the same.
        drop(writer.write_all(&frame).await);
        let record = reader.next().await.map_err(died)?;
        let started = match record {
            Some(record) if record.kind() == "started" => {
                Started::from_record(&record).map_err(|error| StartError::Refused(error.to_string()))
            }
            Some(record) => {
                let failed = Failed::from_record(&record).unwrap_or_else(|error| Failed {
                    stage: Stage::Spec,
                    errno: 0,
                    what: error.to_string(),
                });
                Err(StartError::from_report(failed, &spec))
            }
            None => Err(died(io::ErrorKind::UnexpectedEof.into())),
        };
        match started {
            Ok(started) => Ok(self.hold(reader, writer, started, spec.state_directory, Kinship::Child)),
            Err(error) => {
                drop((reader, writer));
                self.runtime.tasks.spawn(TaskKind::Supervision, async move { connection::reap(executor_pid).await });
                Err(error)
            }
        }
    }

    fn hold(
        &self,
        reader: Reader,
        writer: tokio::net::unix::OwnedWriteHalf,
        started: Started,
        state_directory: PathBuf,
        kinship: Kinship,
    ) -> Handle {
        let (requests, inbox) = mpsc::channel(16);
        let (exit, ended) = watch::channel(None);
        let running = Running::new(
            started.clone(),
            state_directory.clone(),
            requests,
            ended,
            self.executor.clone(),
            self.runtime.clone(),
            self.pool.clone(),
        );
        let (clock, pool) = (self.runtime.clock.clone(), self.pool.clone());
        let connection = Connection { reader, writer, started, state_directory, kinship, clock, pool };
        self.runtime.tasks.spawn(TaskKind::Supervision, connection.run(inbox, exit));
        Handle::new(running)
    }

    /// One look at a state directory.
    async fn look(&self, state_directory: &Path) -> Result<Found, AdoptError> {
        if let Ok(stream) = connection::connect(state_directory).await {
            let (read, writer) = stream.into_split();
            let mut reader = Reader::new(read);
            if let Ok(Ok(Some(record))) = timeout(ANSWER_LIMIT, reader.next()).await {
                let path = state_directory.join(nomadd_executor::SOCKET_FILE);
                let started = Started::from_record(&record).map_err(|source| AdoptError::Newer { path, source })?;
                let state_directory = state_directory.to_owned();
                return Ok(Found::Here(self.hold(reader, writer, started, state_directory, Kinship::Foreign)));
            }
        }
        let directory = state_directory.to_owned();
        let files = move || {
            let read = |name: &str| directory.join(name);
            let failed = |path: PathBuf| |source| AdoptError::Read { path, source };
            if let Some(exited) = connection::read_exit(&directory).map_err(failed(read(EXIT_FILE)))? {
                return Ok(Found::Ended(connection::exit_status(exited)));
            }
            let path = read(STATE_FILE);
            let started = connection::read_record(&path, Started::from_record).map_err(failed(path))?;
            Ok(started.map_or(Found::Nothing, Found::Silent))
        };
        self.pool.run(files).await.map_err(|_| AdoptError::ShuttingDown)?
    }
}

enum Found {
    Here(Handle),
    Ended(crate::process::ExitStatus),
    /// It was started, and its executor does not answer.
    Silent(Started),
    Nothing,
}

#[async_trait]
impl Supervisor for Direct {
    async fn start(&self, spec: ProcessSpec) -> Result<Handle, StartError> {
        self.launch(spec).await
    }

    async fn adopt(&self, id: &TaskHandleId, state_directory: &Path) -> Result<Adopted, AdoptError> {
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            match self.look(state_directory).await? {
                Found::Here(handle) => return Ok(Adopted::Running(handle)),
                Found::Ended(status) => return Ok(Adopted::Exited(status)),
                Found::Nothing => {
                    self.remove_leftovers(id, state_directory).await;
                    return Ok(Adopted::Lost(LossReason::NeverStarted));
                }
                Found::Silent(started) if started.boot_id != self.boot_id => {
                    return Ok(Adopted::Lost(LossReason::Rebooted));
                }
                Found::Silent(started) => {
                    let alive = process::is_running(started.executor_pid, started.executor_ticks);
                    // It may be between closing its socket and its end; the exit file is there by then.
                    if alive && Instant::now() < deadline {
                        sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                    match self.look(state_directory).await {
                        Ok(Found::Ended(status)) => return Ok(Adopted::Exited(status)),
                        // On a busy host it answers late: a task that runs is not killed for that.
                        Ok(Found::Here(handle)) => return Ok(Adopted::Running(handle)),
                        _ => {}
                    }
                    let killed = self.pool.run(move || connection::kill_orphans(&started)).await;
                    killed.map_err(|_| AdoptError::ShuttingDown)?;
                    return Ok(Adopted::Lost(LossReason::ExecutorDied));
                }
            }
        }
    }

    async fn remove_leftovers(&self, id: &TaskHandleId, state_directory: &Path) {
        // By its executor where there is one: also what has no cgroup ends then.
        match self.look(state_directory).await {
            Ok(Found::Here(handle)) => handle.destroy().await,
            Ok(Found::Silent(started)) if started.boot_id == self.boot_id => {
                drop(self.pool.run(move || connection::kill_orphans(&started)).await);
            }
            _ => {}
        }
        let own = |directory| Cgroup { directory, owner: Owner::Task, settings: Vec::new() };
        let cgroups: Vec<_> = self.cgroups.directories(id).into_iter().map(own).collect();
        let state_directory = state_directory.to_owned();
        let removed = self.pool.run(move || {
            if cgroups.iter().any(|cgroup| cgroup.directory.exists()) {
                cgroup::kill(&cgroups);
                cgroup::remove(&cgroups);
            }
            match fs::remove_dir_all(&state_directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        });
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(%id, %error, "cannot remove the executor's files of a task that is gone");
        }
    }

    fn enforcement(&self) -> &Enforcement {
        self.cgroups.enforcement()
    }
}

type Spawned = (i32, StdStream, Vec<u8>);

/// The blocking part of a start: the user, the directory, the process.
fn spawn(executor: &Path, boot_id: String, cgroups: Vec<Cgroup>, spec: &ProcessSpec) -> Result<Spawned, StartError> {
    let user = spec.user.as_deref().map(users::lookup).transpose()?;
    // An agent that is not root may still name its own user.
    let user = user.filter(|user| sys::user_id() == 0 || user.uid != sys::user_id());
    let state = |source| StartError::State { directory: spec.state_directory.clone(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(&spec.state_directory).map_err(state)?;
    let logs = if spec.log.disabled {
        None
    } else {
        Some(LogFiles {
            directory: spec.log.directory.clone(),
            task: spec.log.task.clone(),
            max_files: spec.log.max_files,
            max_file_size: spec.log.max_file_size_bytes,
        })
    };
    let task = TaskSpec {
        state_directory: spec.state_directory.clone(),
        command: Command {
            program: spec.program.clone(),
            argv: spec.argv.clone(),
            env: spec.env.iter().map(|(name, value)| format!("{name}={value}").into()).collect(),
            working_directory: spec.working_directory.clone(),
            user: user.map(|user| user.credentials()),
            oom_score_adj: spec.oom_score_adj,
            umask: spec.umask,
            rlimits: spec.rlimits.iter().map(|limit| (limit.number, limit.soft, limit.hard)).collect(),
        },
        cgroups,
        logs,
        kill_signal: spec.kill_signal,
        kill_timeout_ms: u64::try_from(spec.kill_timeout.as_millis()).unwrap_or(u64::MAX),
        boot_id,
    };
    let failed = |source| StartError::Executor { executor: executor.to_owned(), source };
    let (ours, theirs) = StdStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let theirs = OwnedFd::from(theirs);
    let name = spec.id.to_string();
    let pid = sys::spawn(executor, &["nomadd-executor", &name], &[None, None, None, Some(&theirs)]).map_err(failed)?;
    drop(theirs);
    Ok((pid, ours, task.to_record().frame()))
}
