//! The supervisor with cgroups of its own: starts an executor per task, adopts those of an earlier daemon.
//!
//! The executor is a small binary of its own and not a re-exec of nomadd, as measured (2 cores, kernel 6.18, 20 at a
//! time, PSS by smaps_rollup, held before main): a 42 MB Rust program costs 1.42 MB and 1.2 ms before its main begins,
//! because its relocations dirty that many pages; the executor 0.17 MB and 0.4 ms, half of that the C library's loader.
//! In use, beside a running task that logs, it is 0.24 MB; `tests/real/bench.rs` prints what it is on this machine.

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use nomadd_executor::spec::{Cgroup, Owner};
use nomadd_runtime::{Runtime, TaskKind};

use crate::cgroup::{Cgroups, Enforcement, Hierarchies};
use crate::connection::{self, Kinship};
use crate::keeper::{self, Keeper};
use crate::process::{AdoptError, Adopted, Handle, LossReason, Supervisor};
use crate::spec::{ProcessSpec, Rlimit, TaskHandleId};
use crate::start::StartError;
use crate::sys;

/// How this supervisor is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cgroup below which tasks are, relative to the hierarchies' roots (`client.cgroup_parent`).
    pub cgroup_parent: String,
    /// The executor's binary; `None` finds it beside this program or by `NOMADD_EXECUTOR`.
    pub executor: Option<PathBuf>,
    /// Resource limits of every task that sets no other: those that the agent was started with, if it raised its own.
    pub rlimits: Vec<Rlimit>,
    /// Whether the system's journal gets a copy of what tasks write.
    pub journal: Journal,
}

/// Whether the system's journal gets a copy of what tasks write; their log files are the truth either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Journal {
    /// It does, on hosts that have one.
    #[default]
    Copied,
    /// It does not.
    FilesOnly,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cgroup_parent: "nomad.slice".to_owned(),
            executor: None,
            rlimits: Vec::new(),
            journal: Journal::default(),
        }
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
    keeper: Keeper,
    cgroups: Cgroups,
}

impl Direct {
    /// Finds the executor and prepares the parent cgroups.
    pub fn new(config: &Config, runtime: Runtime) -> Result<Self, SetupError> {
        let keeper = Keeper::new(config, runtime)?;
        let cgroups = Cgroups::prepare(Hierarchies::detect(), &config.cgroup_parent);
        for (controller, reason) in cgroups.enforcement().missing() {
            tracing::warn!(%controller, reason, "limits of this kind are not enforced on this host");
        }
        Ok(Self { keeper, cgroups })
    }

    /// The cgroup version that limits memory: 1, 2, or 0 for none.
    pub fn cgroup_version(&self) -> u32 {
        self.cgroups.version()
    }

    /// The parent of all tasks' cgroups, relative to the hierarchies' roots: `NOMAD_PARENT_CGROUP`.
    pub fn parent_cgroup(&self) -> &Path {
        self.cgroups.parent()
    }
}

#[async_trait]
impl Supervisor for Direct {
    async fn start(&self, mut spec: ProcessSpec) -> Result<Handle, StartError> {
        self.keeper.complete(&mut spec);
        let own = self.cgroups.plan(&spec.id, &spec.limits, spec.cgroup_override.as_ref())?;
        let (executor, about) = (self.keeper.executor.clone(), self.keeper.about());
        let blocking = self.keeper.pool.run(move || {
            let frame = Keeper::frame(about, keeper::Cgroups { own, unit: None }, &spec)?;
            spawn(&executor, &spec).map(|(pid, socket)| (pid, socket, frame, spec))
        });
        let (executor_pid, socket, frame, spec) = blocking.await.map_err(|_| StartError::ShuttingDown)??;
        match self.keeper.talk(socket, &frame, &spec, Kinship::Child).await {
            Ok(Some(handle)) => Ok(handle),
            failed => {
                let tasks = &self.keeper.runtime.tasks;
                tasks.spawn(TaskKind::Supervision, async move { connection::reap(executor_pid).await });
                Err(failed.err().unwrap_or_else(|| self.keeper.silent()))
            }
        }
    }

    async fn adopt(&self, id: &TaskHandleId, state_directory: &Path) -> Result<Adopted, AdoptError> {
        let adopted = self.keeper.adopt(state_directory).await?;
        if matches!(adopted, Adopted::Lost(LossReason::NeverStarted)) {
            self.remove_leftovers(id, state_directory).await;
        }
        Ok(adopted)
    }

    async fn remove_leftovers(&self, id: &TaskHandleId, state_directory: &Path) {
        self.keeper.end(state_directory).await;
        let own = |directory| Cgroup { directory, owner: Owner::Task, settings: Vec::new() };
        let cgroups: Vec<_> = self.cgroups.directories(id).into_iter().map(own).collect();
        self.keeper.remove(id, cgroups, state_directory).await;
    }

    fn enforcement(&self) -> &Enforcement {
        self.cgroups.enforcement()
    }
}

/// The blocking part of a start: the process, a child of this one.
fn spawn(executor: &Path, spec: &ProcessSpec) -> Result<(i32, StdStream), StartError> {
    let failed = |source| StartError::Executor { executor: executor.to_owned(), source };
    let (ours, theirs) = keeper::control_sockets().map_err(failed)?;
    let arguments = [keeper::executor_name(spec), &spec.id.to_string()];
    let pid = sys::spawn(executor, &arguments, &[None, None, None, Some(&theirs)]).map_err(failed)?;
    Ok((pid, ours))
}
