//! What a driver is given of a task: everything interpolated, the paths the host's. Made by the client.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use nomadd_supervisor::container::{Access, Propagation};
use nomadd_supervisor::{Labels, Limits, LogSpec, TaskHandleId};
use serde_json::Value;

/// A task to prepare.
#[derive(Debug, Clone)]
pub struct TaskContext {
    /// Whose it is.
    pub id: TaskHandleId,
    /// What it is called in the cluster.
    pub labels: Labels,
    /// The task's `config` block.
    pub config: Value,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// The task's `user`.
    pub user: Option<String>,
    /// The task's directory, `<alloc dir>/<task>`.
    pub task_directory: PathBuf,
    /// What the tasks of the allocation share, `<alloc dir>/alloc`.
    pub alloc_directory: PathBuf,
    /// The volumes that it mounts.
    pub volumes: Vec<TaskVolume>,
    /// The image that was brought for it.
    pub image: Option<nomadd_oci::Digest>,
    /// The allocation's network, as far as it is not the host's.
    pub network: TaskNetwork,
    /// What it may use.
    pub limits: Limits,
    /// Its log files.
    pub log: LogSpec,
    /// Where the executor keeps its files for this run.
    pub state_directory: PathBuf,
    /// The task's `kill_signal`, by number.
    pub kill_signal: i32,
    /// The task's `kill_timeout`.
    pub kill_timeout: Duration,
}

/// A volume of the host in a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskVolume {
    /// The name that the job gave it.
    pub name: String,
    /// The host's directory; the operator's word.
    pub source: PathBuf,
    /// Where the task sees it, as the job wrote it.
    pub destination: PathBuf,
    /// Whether the task may write.
    pub access: Access,
    /// Whether later mounts pass.
    pub propagation: Propagation,
}

/// The network of an allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskNetwork {
    /// Its namespace, a file like `/run/netns/x`; `None` is the host's.
    pub namespace: Option<PathBuf>,
    /// The name of the host in it.
    pub hostname: Option<String>,
    /// Files that take the place of the root's, such as `/etc/hosts`: (the host's path, the path inside).
    pub files: Vec<(PathBuf, PathBuf)>,
}
