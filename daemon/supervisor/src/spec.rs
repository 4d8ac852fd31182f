//! What a driver asks to run: the process, its limits, its logs. Nomad's units; names not yet resolved.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::container::{ContainerSpec, Mount};

/// Which task of which allocation a process belongs to; names its cgroup.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskHandleId {
    /// The allocation's id, as its text.
    pub allocation: String,
    /// The task's name.
    pub task: String,
}

impl TaskHandleId {
    /// Of an allocation's id and a task's name.
    pub fn new(allocation: impl Into<String>, task: impl Into<String>) -> Self {
        Self { allocation: allocation.into(), task: task.into() }
    }

    /// The name of its cgroup: `<allocation>.<task>`, where a byte that a directory name cannot hold or that would be
    /// long is escaped; two ids never share a name.
    pub fn cgroup_name(&self) -> String {
        const LONGEST: usize = 200;
        let mut name = String::with_capacity(self.allocation.len() + self.task.len() + 1);
        for (part, between) in [(&self.allocation, "."), (&self.task, "")] {
            for byte in part.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
                    byte => name.push_str(&format!("%{byte:02x}")),
                }
            }
            name.push_str(between);
        }
        if name.len() <= LONGEST {
            return name;
        }
        // FNV-1a: equal names on every release, unlike the standard library's hasher.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("{}%{hash:016x}", &name[..LONGEST - 17])
    }
}

impl fmt::Display for TaskHandleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.allocation, self.task)
    }
}

/// What a task is called in the cluster: for the names of units, for the journal, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The job's namespace.
    pub namespace: String,
    /// The job's id.
    pub job: String,
    /// The task group.
    pub group: String,
    /// The node's id.
    pub node_id: String,
    /// How often the task was restarted before.
    pub restart: u64,
}

impl Labels {
    /// The fields that the journal keeps with every line of the task.
    pub fn fields(&self, id: &TaskHandleId) -> Vec<Vec<u8>> {
        let Self { namespace, job, group, node_id, restart: _ } = self;
        let fields = [
            ("NOMAD_NAMESPACE", namespace),
            ("NOMAD_JOB_ID", job),
            ("NOMAD_GROUP", group),
            ("NOMAD_TASK", &id.task),
            ("NOMAD_ALLOC_ID", &id.allocation),
            ("NOMAD_NODE_ID", node_id),
        ];
        fields.iter().map(|(name, value)| format!("{name}={}", one_line(value)).into_bytes()).collect()
    }
}

/// A name without what would end its line, in a unit's file or the journal's protocol.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// A process to run.
#[derive(Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// Whose process it is.
    pub id: TaskHandleId,
    /// What it is called.
    pub labels: Labels,
    /// The file to execute, an absolute path; in a container also a name that is looked for inside.
    pub program: PathBuf,
    /// The argument list, the program's name first.
    pub argv: Vec<OsString>,
    /// The whole environment; nothing is inherited from the daemon.
    pub env: BTreeMap<String, String>,
    /// A user's name or number, with `:group` if not its own; `None` for the daemon's user. A container says it itself.
    pub user: Option<String>,
    /// The working directory.
    pub working_directory: PathBuf,
    /// The container that it runs in; program and working directory are then meant inside.
    pub container: Option<Box<ContainerSpec>>,
    /// Without a container: mounts that only it sees, at paths of the host.
    pub mounts: Vec<Mount>,
    /// Its log files.
    pub log: LogSpec,
    /// What it may use.
    pub limits: Limits,
    /// Cgroups that the job names itself instead of the task's own.
    pub cgroup_override: Option<CgroupOverride>,
    /// How likely the kernel kills it when memory runs out, -1000 … 1000.
    pub oom_score_adj: i32,
    /// Kernel resource limits.
    pub rlimits: Vec<Rlimit>,
    /// The file creation mask.
    pub umask: u32,
    /// The file of the network namespace that a process of the host joins; `None` is the host's.
    pub network: Option<PathBuf>,
    /// The executor's directory for this task, made with mode 0700; no two running tasks share one.
    pub state_directory: PathBuf,
    /// The signal of a stop that begins without the daemon (the host shuts down), by number.
    pub kill_signal: i32,
    /// How long such a stop waits.
    pub kill_timeout: Duration,
}

/// The environment and arguments may hold secrets: neither is shown.
impl fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSpec")
            .field("id", &self.id)
            .field("program", &self.program)
            .field("user", &self.user)
            .field("working_directory", &self.working_directory)
            .field("container", &self.container)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Where output goes and how its files rotate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSpec {
    /// The directory, `<alloc dir>/alloc/logs`.
    pub directory: PathBuf,
    /// The task's name, the first part of the files' names.
    pub task: String,
    /// How many files of a stream are kept.
    pub max_files: u64,
    /// The length of a full file in bytes.
    pub max_file_size_bytes: u64,
    /// Whether output is discarded instead.
    pub disabled: bool,
}

/// What a process and all it starts may use together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes; the hard limit unless `memory_max_bytes` is more.
    pub memory_bytes: Option<u64>,
    /// The hard limit in bytes where it may exceed what it asked for; `Some(0)` is none.
    pub memory_max_bytes: Option<u64>,
    /// Its share of the processors when they are contended, in MHz.
    pub cpu_shares: u64,
    /// The processors it runs on alone, as a list like `0-2,7`.
    pub cores: Option<String>,
    /// The largest number of its processes and threads.
    pub pids: Option<u64>,
}

impl Limits {
    /// The memory that is never exceeded, in bytes.
    pub fn hard_memory(&self) -> Option<u64> {
        match self.memory_max_bytes {
            Some(0) => None,
            Some(most) => Some(most.max(self.memory_bytes.unwrap_or(0))),
            None => self.memory_bytes,
        }
    }
}

/// Cgroups that are the operator's: the task joins them, they are neither limited nor removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupOverride {
    /// A cgroup of the version 2 hierarchy, below its root.
    V2(String),
    /// Cgroups of version 1 hierarchies, by controller.
    V1(BTreeMap<String, String>),
}

/// One kernel resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// The kernel's number, `RLIMIT_*`.
    pub number: u32,
    /// The limit in force.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_names_are_safe_and_distinct() {
        let name = |task: &str| TaskHandleId::new("a-1", task).cgroup_name();
        assert_eq!(name("web"), "a-1.web");
        assert_eq!(name("../x y"), "a-1.%2e%2e%2fx%20y");
        assert_ne!(name("a.b"), TaskHandleId::new("a-1.a", "b").cgroup_name());
        let (long, longer) = (name(&"x".repeat(300)), name(&"x".repeat(301)));
        assert!(long.len() <= 200 && long != longer);
    }

    #[test]
    fn the_hard_memory_limit_is_the_larger_one_or_none_when_asked_so() {
        let limits = |memory_bytes, memory_max_bytes| Limits { memory_bytes, memory_max_bytes, ..Limits::default() };
        assert_eq!(limits(Some(5), None).hard_memory(), Some(5));
        assert_eq!(limits(Some(5), Some(9)).hard_memory(), Some(9));
        assert_eq!(limits(Some(5), Some(3)).hard_memory(), Some(5));
        assert_eq!(limits(Some(5), Some(0)).hard_memory(), None);
    }
}
