//! What every supervisor does with executors, whoever starts them: the specification they get, the talk of a start, the
//! handle on a running task, and finding tasks again by their state directories.
//!
//! `direct` starts executors itself, `systemd` has them started as units; the rest is here, so a task that one of them
//! started the other one adopts.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nomadd_executor::report::{Failed, Stage, Started};
use nomadd_executor::spec::{Cgroup, Command, JournalSpec, LogFiles, TaskSpec, UnitSpec};
use nomadd_executor::{EXIT_FILE, SEALED_NAME, STATE_FILE, cgroup, process};
use nomadd_runtime::{Pool, Runtime, TaskKind};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{self, ANSWER_LIMIT, Connection, Kinship, Reader};
use crate::direct::{Config, Journal, SetupError};
use crate::handle::Running;
use crate::process::{AdoptError, Adopted, ExitStatus, Handle, LossReason};
use crate::spec::{self, ProcessSpec, Rlimit, TaskHandleId};
use crate::start::StartError;
use crate::{container, locate, sys, users};

/// How many starts do their blocking part at a time; each takes about a millisecond.
const STARTS: usize = 8;

/// Where the journal takes lines.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// What supervisors have in common.
pub struct Keeper {
    /// The executor's binary.
    pub executor: PathBuf,
    boot_id: String,
    journal: Journal,
    rlimits: Vec<Rlimit>,
    /// Time, seeds and the registry of tasks.
    pub runtime: Runtime,
    /// Apart from the runtime's pool: a start does not wait for the scheduler.
    pub pool: Pool,
}

/// What every executor of this host is told alike.
pub struct About {
    boot_id: String,
    journal: Journal,
}

/// The task's cgroups, by whom they are made.
pub struct Cgroups {
    /// Those that the executor makes, or joins.
    pub own: Vec<Cgroup>,
    /// The unit that the executor finds itself in.
    pub unit: Option<UnitSpec>,
}

/// What a look at a state directory finds.
pub enum Found {
    /// The task runs.
    Here(Handle),
    /// It has ended.
    Ended(ExitStatus),
    /// It was started, and its executor does not answer.
    Silent(Started),
    /// It was never started.
    Nothing,
}

impl Keeper {
    /// Finds the executor.
    pub fn new(config: &Config, runtime: Runtime) -> Result<Self, SetupError> {
        let executor = locate::find(config.executor.as_deref()).map_err(SetupError::NoExecutor)?;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(SetupError::BootId)?;
        let (boot_id, rlimits) = (boot_id.trim().to_owned(), config.rlimits.clone());
        Ok(Self { executor, boot_id, journal: config.journal, rlimits, runtime, pool: Pool::threads(STARTS) })
    }

    /// Adds the resource limits that the task did not set itself.
    pub fn complete(&self, spec: &mut ProcessSpec) {
        let set: BTreeSet<u32> = spec.rlimits.iter().map(|limit| limit.number).collect();
        spec.rlimits.extend(self.rlimits.iter().filter(|limit| !set.contains(&limit.number)));
    }

    /// What the executor is told, as a frame. Makes the state directory; blocking.
    pub fn frame(about: About, cgroups: Cgroups, spec: &ProcessSpec) -> Result<Vec<u8>, StartError> {
        let user = spec.user.as_deref().map(users::lookup).transpose()?;
        // An agent that is not root may still name its own user.
        let user = user.filter(|user| sys::user_id() == 0 || user.uid != sys::user_id());
        let state = |source| StartError::State { directory: spec.state_directory.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&spec.state_directory).map_err(state)?;
        container::note(spec).map_err(state)?;
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
        let journal = (about.journal == Journal::Copied).then(|| JournalSpec {
            socket: JOURNAL_SOCKET.into(),
            identifier: spec::one_line(&spec.id.task),
            // A unit has them itself, also for what the task tells the journal without us.
            fields: if cgroups.unit.is_some() { Vec::new() } else { spec.labels.fields(&spec.id) },
        });
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
                network: spec.network.clone(),
            },
            container: spec.container.clone(),
            mounts: spec.mounts.clone(),
            cgroups: cgroups.own,
            unit: cgroups.unit,
            logs,
            journal,
            kill_signal: spec.kill_signal,
            kill_timeout_ms: u64::try_from(spec.kill_timeout.as_millis()).unwrap_or(u64::MAX),
            boot_id: about.boot_id,
        };
        Ok(task.to_record().frame())
    }

    /// What executors are told of the host.
    pub fn about(&self) -> About {
        About { boot_id: self.boot_id.clone(), journal: self.journal }
    }

    /// Tells an executor what to run and waits for its word; `None` when it ended without any.
    pub async fn talk(
        &self,
        socket: StdStream,
        frame: &[u8],
        spec: &ProcessSpec,
        kinship: Kinship,
    ) -> Result<Option<Handle>, StartError> {
        let died = |source| StartError::Executor { executor: self.executor.clone(), source };
        let (read, mut writer) = UnixStream::from_std(socket).map_err(died)?.into_split();
        let mut reader = Reader::new(read);
        // A frame that the executor cannot take whole it answers all the same.
        drop(writer.write_all(frame).await);
        let Some(record) = reader.next().await.map_err(died)? else { return Ok(None) };
        if record.kind() == "started" {
            let started = Started::from_record(&record).map_err(|error| StartError::Refused(error.to_string()))?;
            return Ok(Some(self.hold(reader, writer, started, spec.state_directory.clone(), kinship)));
        }
        let failed = Failed::from_record(&record).unwrap_or_else(|error| Failed {
            stage: Stage::Spec,
            errno: 0,
            what: error.to_string(),
        });
        Err(StartError::from_report(failed, spec))
    }

    /// The error of an executor that ended without a word.
    pub fn silent(&self) -> StartError {
        StartError::Executor { executor: self.executor.clone(), source: io::ErrorKind::UnexpectedEof.into() }
    }

    fn hold(
        &self,
        reader: Reader,
        writer: OwnedWriteHalf,
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
    pub async fn look(&self, state_directory: &Path) -> Result<Found, AdoptError> {
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

    /// Looks until it is clear what became of a task; kills what an executor that died left.
    pub async fn adopt(&self, state_directory: &Path) -> Result<Adopted, AdoptError> {
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            match self.look(state_directory).await? {
                Found::Here(handle) => return Ok(Adopted::Running(handle)),
                Found::Ended(status) => return Ok(Adopted::Exited(status)),
                Found::Nothing => return Ok(Adopted::Lost(LossReason::NeverStarted)),
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

    /// Ends what runs of a task, by its executor where there is one: also what has no cgroup ends then.
    pub async fn end(&self, state_directory: &Path) {
        match self.look(state_directory).await {
            Ok(Found::Here(handle)) => handle.destroy().await,
            Ok(Found::Silent(started)) if started.boot_id == self.boot_id => {
                drop(self.pool.run(move || connection::kill_orphans(&started)).await);
            }
            _ => {}
        }
    }

    /// Kills and removes these cgroups, and removes the state directory.
    pub async fn remove(&self, id: &TaskHandleId, cgroups: Vec<Cgroup>, state_directory: &Path) {
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
}

/// What a task's executor is called at its start: for a container it keeps the container off its own binary first.
pub fn executor_name(spec: &ProcessSpec) -> &'static str {
    if spec.container.is_some() { SEALED_NAME } else { "nomadd-executor" }
}

/// The two ends of an executor's connection: ours, which does not block, and the executor's.
pub fn control_sockets() -> io::Result<(StdStream, OwnedFd)> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((ours, theirs.into()))
}
