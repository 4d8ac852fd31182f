//! Runs a task's process on this host and accounts for it: the executor beside each task, its cgroups, signals, exit,
//! usage, re-adoption after a restart of the daemon, and exec sessions.
//!
//! Knows nothing of jobs or drivers: a `ProcessSpec` comes in (from `driver`, by way of `client`), a `Handle` goes out.
//! `direct` is the supervisor with cgroups of its own, `systemd` the one whose tasks are systemd's units.

pub mod cgroup;
pub mod choose;
mod connection;
pub mod container;
pub mod direct;
pub mod exec;
mod handle;
mod keeper;
mod locate;
pub mod logs;
pub mod process;
pub mod program;
pub mod signals;
pub mod spec;
pub mod start;
mod sys;
pub mod systemd;
pub mod usage;
pub mod users;

pub use cgroup::{Controller, Enforcement};
pub use choose::{Choice, ChooseError, choose};
pub use container::ContainerSpec;
pub use direct::{Config, Direct, Journal};
pub use exec::{ExecError, ExecRequest, ExecSession, TerminalSize};
pub use locate::find as executor_program;
pub use process::{AdoptError, Adopted, ExitStatus, Handle, LossReason, Process, SignalError, Supervisor};
pub use spec::{CgroupOverride, Labels, Limits, LogSpec, ProcessSpec, Rlimit, TaskHandleId};
pub use start::StartError;
pub use sys::{landlock_version, mounts_by_descriptor, user_id};
pub use systemd::{Systemd, SystemdError};
pub use usage::{StatsError, Usage};
