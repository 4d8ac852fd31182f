//! Runs a task's process on this host and accounts for it: the executor beside each task, its cgroups, signals, exit,
//! usage, re-adoption after a restart of the daemon, and exec sessions.
//!
//! Knows nothing of jobs or drivers: a `ProcessSpec` comes in (from `driver`, by way of `client`), a `Handle` goes out.
//! `direct` is the supervisor with cgroups of its own; another stands behind the same trait.

pub mod cgroup;
mod connection;
pub mod direct;
pub mod exec;
mod locate;
pub mod logs;
pub mod process;
pub mod program;
pub mod signals;
pub mod spec;
pub mod start;
mod sys;
pub mod usage;
pub mod users;

pub use cgroup::{Controller, Enforcement};
pub use direct::{Config, Direct};
pub use exec::{ExecError, ExecRequest, ExecSession, TerminalSize};
pub use process::{AdoptError, Adopted, ExitStatus, Handle, LossReason, Process, SignalError, Supervisor};
pub use spec::{CgroupOverride, Limits, LogSpec, ProcessSpec, Rlimit, TaskHandleId};
pub use start::StartError;
pub use sys::landlock_version;
pub use usage::{StatsError, Usage};
