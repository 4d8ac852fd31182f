//! What an executor says about its task: that it started, why it did not, how it ended. The same records go over the
//! socket and into the state directory, so a daemon that was away reads what it missed.

use std::path::PathBuf;

use crate::record::{Record, RecordError};
use crate::spec::Cgroup;

/// A task runs. Kind `started`; also the content of the state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The task's process id.
    pub pid: i32,
    /// When that process started, in clock ticks since boot: tells it from a later one of the same id.
    pub start_ticks: u64,
    /// When it started, in nanoseconds since 1970.
    pub started_at: i64,
    /// The executor's process id.
    pub executor_pid: i32,
    /// When the executor started, in clock ticks since boot.
    pub executor_ticks: u64,
    /// The boot all these ids are of.
    pub boot_id: String,
    /// The task's cgroups, without settings.
    pub cgroups: Vec<Cgroup>,
}

/// Which step of a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The specification could not be read.
    Spec,
    /// The state directory could not be used.
    State,
    /// A cgroup could not be made, set or joined.
    Cgroup,
    /// A log file could not be opened.
    Log,
    /// The user or groups could not be taken on.
    User,
    /// A resource limit could not be set.
    Rlimit,
    /// The working directory could not be entered.
    WorkingDirectory,
    /// The terminal could not be taken.
    Terminal,
    /// The program could not be executed.
    Exec,
    /// The process could not be made (out of processes or memory).
    Fork,
    /// The container or the process's mounts could not be set up.
    Container,
    /// The container has no such program.
    Program,
    /// The network namespace could not be joined.
    Network,
}

const STAGES: [(Stage, &str); 13] = [
    (Stage::Spec, "spec"),
    (Stage::State, "state"),
    (Stage::Cgroup, "cgroup"),
    (Stage::Log, "log"),
    (Stage::User, "user"),
    (Stage::Rlimit, "rlimit"),
    (Stage::WorkingDirectory, "working_directory"),
    (Stage::Terminal, "terminal"),
    (Stage::Exec, "exec"),
    (Stage::Fork, "fork"),
    (Stage::Container, "container"),
    (Stage::Program, "program"),
    (Stage::Network, "network"),
];

/// A task or an exec session did not start. Kind `failed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The step that failed.
    pub stage: Stage,
    /// The system's error number; 0 where there is none.
    pub errno: i32,
    /// What it was about: a path, or words.
    pub what: String,
}

/// A task ended. Kind `exited`; also the content of the exit file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exited {
    /// The exit code; 0 if a signal ended it.
    pub exit_code: i32,
    /// The signal that ended it, or 0.
    pub signal: i32,
    /// How many of its processes the kernel killed for memory.
    pub oom_kills: u64,
    /// When it ended, in nanoseconds since 1970.
    pub finished_at: i64,
    /// The most memory it used, in bytes; 0 if not known.
    pub memory_peak: u64,
    /// Processor time in nanoseconds, all its processes.
    pub cpu_ns: u64,
    /// Bytes of output that could not be written to the log files.
    pub log_bytes_lost: u64,
    /// Whether it was killed because it did not end in the time that a stop gave it.
    pub timed_out: bool,
    /// What went wrong at the end, such as processes that could not be killed.
    pub error: Option<String>,
}

impl Started {
    /// The record of kind `started`.
    pub fn to_record(&self) -> Record {
        let Self { pid, start_ticks, started_at, executor_pid, executor_ticks, boot_id, cgroups } = self;
        let mut record = Record::new("started");
        record.push("pid", pid);
        record.push("start_ticks", start_ticks);
        record.push("started_at", started_at);
        record.push("executor_pid", executor_pid);
        record.push("executor_ticks", executor_ticks);
        record.push("boot_id", boot_id);
        for Cgroup { directory, owner, settings: _ } in cgroups {
            Cgroup { directory: directory.clone(), owner: *owner, settings: Vec::new() }.push_to(&mut record);
        }
        record
    }

    /// Reads a record of kind `started`.
    pub fn from_record(record: &Record) -> Result<Self, RecordError> {
        record.check_version()?;
        Ok(Self {
            pid: record.require("pid")?,
            start_ticks: record.require("start_ticks")?,
            started_at: record.require("started_at")?,
            executor_pid: record.require("executor_pid")?,
            executor_ticks: record.require("executor_ticks")?,
            boot_id: record.require("boot_id")?,
            cgroups: Cgroup::all_from(record)?,
        })
    }
}

impl Failed {
    /// A failure with the system's reason.
    pub fn system(stage: Stage, error: &std::io::Error, what: impl ToString) -> Self {
        Self { stage, errno: error.raw_os_error().unwrap_or(0), what: what.to_string() }
    }

    /// A failure about a path.
    pub fn path(stage: Stage, error: &std::io::Error, path: impl Into<PathBuf>) -> Self {
        Self::system(stage, error, path.into().display())
    }

    /// The record of kind `failed`.
    pub fn to_record(&self) -> Record {
        let Self { stage, errno, what } = self;
        let mut record = Record::new("failed");
        let stage = STAGES.iter().find(|(known, _)| known == stage).map_or("spec", |(_, word)| word);
        record.push("stage", stage);
        record.push("errno", errno);
        record.push("what", what);
        record
    }

    /// Reads a record of kind `failed`.
    pub fn from_record(record: &Record) -> Result<Self, RecordError> {
        let word: String = record.require("stage")?;
        let stage = STAGES.iter().find(|(_, known)| *known == word).map(|(stage, _)| *stage);
        Ok(Self {
            stage: stage.ok_or(RecordError::Invalid("stage", word))?,
            errno: record.get("errno")?.unwrap_or(0),
            what: record.text("what").unwrap_or_default(),
        })
    }
}

impl Exited {
    /// The record of kind `exited`.
    pub fn to_record(&self) -> Record {
        let Self { exit_code, signal, oom_kills, finished_at, memory_peak, cpu_ns, log_bytes_lost, timed_out, error } =
            self;
        let mut record = Record::new("exited");
        record.push("exit_code", exit_code);
        record.push("signal", signal);
        record.push("oom_kills", oom_kills);
        record.push("finished_at", finished_at);
        record.push("memory_peak", memory_peak);
        record.push("cpu_ns", cpu_ns);
        record.push("log_bytes_lost", log_bytes_lost);
        record.push_some("timed_out", timed_out.then_some(true));
        record.push_some("error", error.as_ref());
        record
    }

    /// Reads a record of kind `exited`.
    pub fn from_record(record: &Record) -> Result<Self, RecordError> {
        record.check_version()?;
        Ok(Self {
            exit_code: record.require("exit_code")?,
            signal: record.require("signal")?,
            oom_kills: record.get("oom_kills")?.unwrap_or(0),
            finished_at: record.require("finished_at")?,
            memory_peak: record.get("memory_peak")?.unwrap_or(0),
            cpu_ns: record.get("cpu_ns")?.unwrap_or(0),
            log_bytes_lost: record.get("log_bytes_lost")?.unwrap_or(0),
            timed_out: record.get("timed_out")?.unwrap_or(false),
            error: record.text("error"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Owner;

    #[test]
    fn reports_come_back_as_they_were_sent() {
        let cgroup = Cgroup { directory: "/c".into(), owner: Owner::Others, settings: vec![] };
        let started = Started {
            pid: 3,
            start_ticks: 4,
            started_at: 5,
            executor_pid: 6,
            executor_ticks: 7,
            boot_id: "boot".into(),
            cgroups: vec![cgroup],
        };
        assert_eq!(Started::from_record(&started.to_record()), Ok(started));
        for (stage, _) in STAGES {
            let failed = Failed { stage, errno: 2, what: "/x\ny".into() };
            assert_eq!(Failed::from_record(&failed.to_record()), Ok(failed));
        }
        let exited = Exited { exit_code: 1, signal: 9, timed_out: true, error: Some("e".into()), ..Exited::default() };
        assert_eq!(Exited::from_record(&exited.to_record()), Ok(exited));
    }

    #[test]
    fn a_report_of_a_later_release_with_more_keys_is_read() {
        let mut record = Exited { exit_code: 7, ..Exited::default() }.to_record();
        record.push("invented_later", "x");
        assert_eq!(Exited::from_record(&record).map(|exited| exited.exit_code), Ok(7));
    }
}
