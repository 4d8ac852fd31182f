//! Why a task did not start: each step with its own words, from what the executor reports and the kernel's number.

use std::io;
use std::path::PathBuf;

use nomadd_executor::report::{Failed, Stage};

use crate::cgroup::CgroupError;
use crate::spec::ProcessSpec;
use crate::systemd::BusError;
use crate::users::UserError;

/// A task that did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program does not exist.
    #[error("command {} not found", .0.display())]
    NotFound(PathBuf),
    /// The program exists; its interpreter or loader does not.
    #[error("{} cannot be executed: the interpreter or loader it names does not exist", .0.display())]
    NoInterpreter(PathBuf),
    /// The program may not be executed by this user.
    #[error("{} is not executable by the task's user", .0.display())]
    NotExecutable(PathBuf),
    /// The file is no program for this machine.
    #[error("{} is not a program that this machine runs", .0.display())]
    NotAProgram(PathBuf),
    /// Arguments and environment are longer than the kernel takes.
    #[error("the arguments and environment of {} are longer than the kernel takes", .0.display())]
    TooLong(PathBuf),
    /// The program could not be executed for another reason.
    #[error("cannot execute {}", program.display())]
    Exec {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The user cannot be resolved.
    #[error("cannot run as the task's user")]
    User(#[from] UserError),
    /// The user cannot be taken on.
    #[error("cannot run as user {user:?}: the agent is not root")]
    NotRoot {
        /// As the job wrote it.
        user: String,
    },
    /// The working directory cannot be entered.
    #[error("cannot enter the working directory {}", directory.display())]
    WorkingDirectory {
        /// The directory.
        directory: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The cgroups cannot be planned.
    #[error("cannot limit the task")]
    Plan(#[from] CgroupError),
    /// A cgroup cannot be made, set or joined.
    #[error("cannot limit the task by cgroup {what}")]
    Cgroup {
        /// The file and value.
        what: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The log files cannot be opened.
    #[error("cannot open the log files in {}", directory.display())]
    Log {
        /// Their directory.
        directory: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The state directory cannot be used.
    #[error("cannot use the state directory {}", directory.display())]
    State {
        /// The directory.
        directory: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The executor cannot be started.
    #[error("cannot start the executor {}", executor.display())]
    Executor {
        /// Its binary.
        executor: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// systemd was not reached, or did not take the unit.
    #[error("cannot start the task as systemd unit {unit}")]
    Systemd {
        /// The unit.
        unit: String,
        /// Why.
        #[source]
        source: BusError,
    },
    /// systemd took the unit, and it ended before the task ran.
    #[error("systemd unit {unit} ended before the task started; `journalctl -u {unit}` says why")]
    Unit {
        /// The unit.
        unit: String,
    },
    /// There is such a unit, and it is not this task's.
    #[error("systemd has a unit {unit} that is not this task's; stop that one, or give the task another name")]
    UnitTaken {
        /// The unit.
        unit: String,
    },
    /// The allocation's network is gone.
    #[error("cannot join the network namespace {what}")]
    Network {
        /// Its file.
        what: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The container, or the task's own mounts, cannot be made.
    #[error("cannot {what}, which the task's surroundings need")]
    Container {
        /// The step.
        what: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The container has no such program.
    #[error("{0}")]
    NoProgram(String),
    /// The host has no room for another process.
    #[error("the host cannot make another process ({what})")]
    Fork {
        /// The step.
        what: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A resource limit cannot be set.
    #[error("cannot set resource {what}")]
    Rlimit {
        /// The limit.
        what: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A name or value holds what no process can be given.
    #[error("the executor refuses: {0}")]
    Refused(String),
    /// A driver's own reason (the mock driver's `start_error`).
    #[error("{message}")]
    Driver {
        /// The words.
        message: String,
        /// Whether to try again.
        again: Again,
    },
    /// The agent is shutting down.
    #[error("the agent is shutting down")]
    ShuttingDown,
}

/// Whether a failed start is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It may pass: the restart policy decides.
    Worthwhile,
    /// It fails until the job or the host is changed.
    Pointless,
}

impl StartError {
    /// Whether a restart may help.
    pub fn again(&self) -> Again {
        match self {
            Self::Fork { .. }
            | Self::Executor { .. }
            | Self::Systemd { .. }
            | Self::Unit { .. }
            | Self::UnitTaken { .. }
            | Self::State { .. }
            | Self::Log { .. }
            | Self::ShuttingDown => Again::Worthwhile,
            Self::Driver { again, .. } => *again,
            _ => Again::Pointless,
        }
    }

    /// This error and its causes in one line, as a task event tells it.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    pub(crate) fn from_report(failed: Failed, spec: &ProcessSpec) -> Self {
        let Failed { stage, errno, what } = failed;
        let source = io::Error::from_raw_os_error(errno);
        let contained = spec.container.is_some();
        let program = if contained && stage == Stage::Exec { PathBuf::from(&what) } else { spec.program.clone() };
        match (stage, errno) {
            (Stage::Container, _) => Self::Container { what, source },
            (Stage::Program, _) => Self::NoProgram(what),
            (Stage::Exec, libc::ENOENT) if contained => Self::NoInterpreter(program),
            (Stage::Exec, libc::ENOENT) if program.exists() => Self::NoInterpreter(program),
            (Stage::Exec, libc::ENOENT | libc::ENOTDIR) => Self::NotFound(program),
            (Stage::Exec, libc::EACCES | libc::EPERM) => Self::NotExecutable(program),
            (Stage::Exec, libc::ENOEXEC) => Self::NotAProgram(program),
            (Stage::Exec, libc::E2BIG) => Self::TooLong(program),
            (Stage::Exec | Stage::Terminal, _) => Self::Exec { program, source },
            (Stage::User, _) => Self::NotRoot { user: spec.user.clone().unwrap_or_default() },
            (Stage::WorkingDirectory, _) => {
                Self::WorkingDirectory { directory: spec.working_directory.clone(), source }
            }
            (Stage::Cgroup, _) => Self::Cgroup { what, source },
            (Stage::Log, _) => Self::Log { directory: spec.log.directory.clone(), source },
            (Stage::State, _) => Self::State { directory: spec.state_directory.clone(), source },
            (Stage::Rlimit, _) => Self::Rlimit { what, source },
            (Stage::Fork, _) => Self::Fork { what, source },
            (Stage::Network, _) => Self::Network { what, source },
            (Stage::Spec, _) => Self::Refused(what),
        }
    }
}
