//! What the daemon tells an executor or an exec helper to run, and its way through a record.
//!
//! Every name is resolved by then: the program is an absolute path, the user is numbers, each cgroup a directory with
//! the values to write. The executor decides nothing about the host, it only carries out.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::container::{ContainerSpec, Mount};
use crate::record::{Record, RecordError};

/// The process of a task or of an `alloc exec` session.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// The file to execute; in a container it may be a name to look for.
    pub program: PathBuf,
    /// The argument list, the program's name first.
    pub argv: Vec<OsString>,
    /// The whole environment as `NAME=value`; nothing is inherited.
    pub env: Vec<OsString>,
    /// The working directory.
    pub working_directory: PathBuf,
    /// Who runs it; `None` for the daemon's own user.
    pub user: Option<Credentials>,
    /// `oom_score_adj` of the process, -1000 … 1000.
    pub oom_score_adj: i32,
    /// The file creation mask.
    pub umask: u32,
    /// Resource limits by kernel number (`RLIMIT_*`): (number, soft, hard).
    pub rlimits: Vec<(u32, u64, u64)>,
    /// The file of the network namespace that it joins; `None` is the daemon's.
    pub network: Option<PathBuf>,
}

/// A user in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

/// One cgroup directory of the task, in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// The directory.
    pub directory: PathBuf,
    /// Whose it is.
    pub owner: Owner,
    /// Files to write before the task joins: (name, value, must it succeed).
    pub settings: Vec<Setting>,
}

/// A file of a cgroup, what is written there, and whether that must succeed.
pub type Setting = (String, String, Need);

/// Who makes and removes a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The executor makes it, kills all within and removes it.
    Task,
    /// It exists for others too: the task joins it and nothing else is touched.
    Others,
    /// systemd makes and removes it, for this task and its executor alone: settings are written and counters read.
    Unit,
}

impl Owner {
    /// All of them, with their words in records.
    const WORDS: [(Self, &str); 3] = [(Self::Task, "task "), (Self::Others, "others "), (Self::Unit, "unit ")];
}

/// The systemd unit that the executor is the main process of. Only the executor itself can say where its cgroups are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitSpec {
    /// The unit's name, the last part of its cgroups' paths.
    pub name: String,
    /// The host's hierarchies; the first is the one that processes are found and killed by.
    pub hierarchies: Vec<UnitHierarchy>,
}

/// One hierarchy that a unit may have a cgroup in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitHierarchy {
    /// As `/proc/self/cgroup` calls it: a controller, `name=systemd`, or nothing for version 2.
    pub controller: String,
    /// Where it is mounted.
    pub root: PathBuf,
    /// Files to write in the unit's cgroup, beyond what systemd writes.
    pub settings: Vec<Setting>,
}

/// Whether a setting may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The task does not start without it.
    Required,
    /// Kernels without that file are fine.
    Optional,
}

/// Where the task's output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFiles {
    /// The directory of the files.
    pub directory: PathBuf,
    /// The first part of their names.
    pub task: String,
    /// How many files of a stream are kept.
    pub max_files: u64,
    /// The length of a full file in bytes.
    pub max_file_size: u64,
}

/// Where a copy of the output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSpec {
    /// The journal's socket.
    pub socket: PathBuf,
    /// What the journal calls the task, `SYSLOG_IDENTIFIER`.
    pub identifier: String,
    /// More fields of each line, `NAME=value` without line feeds; those of the unit the journal adds by itself.
    pub fields: Vec<Vec<u8>>,
}

impl JournalSpec {
    fn push_to(&self, record: &mut Record) {
        let Self { socket, identifier, fields } = self;
        record.push_bytes("journal", socket.as_os_str().as_bytes());
        record.push("journal_identifier", identifier);
        for field in fields {
            record.push_bytes("journal_field", field);
        }
    }

    fn from_record(record: &Record) -> Result<Option<Self>, RecordError> {
        let Some(socket) = record.bytes("journal") else { return Ok(None) };
        Ok(Some(Self {
            socket: PathBuf::from(os_string(socket)),
            identifier: record.require("journal_identifier")?,
            fields: record.all("journal_field").map(<[u8]>::to_vec).collect(),
        }))
    }
}

/// Everything an executor needs.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// Where the executor keeps its socket and files.
    pub state_directory: PathBuf,
    /// The process.
    pub command: Command,
    /// The container that it runs in.
    pub container: Option<Box<ContainerSpec>>,
    /// Mounts that only it sees, if it runs in no container.
    pub mounts: Vec<Mount>,
    /// The cgroups it joins.
    pub cgroups: Vec<Cgroup>,
    /// The unit that holds it, if systemd started the executor.
    pub unit: Option<UnitSpec>,
    /// Its log files; `None` discards its output.
    pub logs: Option<LogFiles>,
    /// The journal that gets a copy of what goes to the log files.
    pub journal: Option<JournalSpec>,
    /// The signal of a stop that the executor begins by itself, when it is told to terminate.
    pub kill_signal: i32,
    /// How long such a stop waits before it kills, in milliseconds.
    pub kill_timeout_ms: u64,
    /// Which boot of the host this is; process ids of another one mean nothing.
    pub boot_id: String,
}

/// Everything an exec helper needs; its standard streams are given as descriptors.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecSpec {
    /// The process.
    pub command: Command,
    /// The task whose namespaces it joins; `None` where the task has the host's.
    pub inside: Option<Inside>,
    /// The cgroup directories of the task to join.
    pub cgroups: Vec<PathBuf>,
    /// Whether standard input is a terminal that becomes the controlling one.
    pub terminal: Terminal,
}

/// A task that has namespaces of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// Its main process.
    pub pid: i32,
    /// When that started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Its container; without one it has mounts of its own.
    pub container: Option<Box<ContainerSpec>>,
}

/// Whether an exec session has a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Three pipes.
    None,
    /// One pseudo-terminal.
    Pty,
}

impl Command {
    fn push_to(&self, record: &mut Record) {
        let Self { program, argv, env, working_directory, user, oom_score_adj, umask, rlimits, network } = self;
        record.push_bytes("program", program.as_os_str().as_bytes());
        for argument in argv {
            record.push_bytes("arg", argument.as_bytes());
        }
        for variable in env {
            record.push_bytes("env", variable.as_bytes());
        }
        record.push_bytes("cwd", working_directory.as_os_str().as_bytes());
        if let Some(Credentials { uid, gid, groups }) = user {
            record.push("uid", uid);
            record.push("gid", gid);
            for group in groups {
                record.push("group", group);
            }
        }
        record.push("oom_score_adj", oom_score_adj);
        record.push("umask", umask);
        for (number, soft, hard) in rlimits {
            record.push("rlimit", format_args!("{number} {soft} {hard}"));
        }
        if let Some(network) = network {
            record.push_bytes("network", network.as_os_str().as_bytes());
        }
    }

    fn from_record(record: &Record) -> Result<Self, RecordError> {
        let user = match record.get("uid")? {
            None => None,
            Some(uid) => Some(Credentials { uid, gid: record.require("gid")?, groups: numbers(record, "group")? }),
        };
        let mut rlimits = Vec::new();
        for value in record.all("rlimit") {
            let text = String::from_utf8_lossy(value);
            let parts: Vec<u64> = text.split(' ').filter_map(|part| part.parse().ok()).collect();
            let [number, soft, hard] = parts[..] else {
                return Err(RecordError::Invalid("rlimit", text.into_owned()));
            };
            rlimits.push((number as u32, soft, hard));
        }
        // A container's is looked for when its root is there.
        let program = match record.bytes("program") {
            Some(name) if record.bytes("container").is_some() => PathBuf::from(os_string(name)),
            _ => path(record, "program")?,
        };
        Ok(Self {
            program,
            argv: record.all("arg").map(os_string).collect(),
            env: record.all("env").map(os_string).collect(),
            working_directory: path(record, "cwd")?,
            user,
            oom_score_adj: record.get("oom_score_adj")?.unwrap_or(0),
            umask: record.get("umask")?.unwrap_or(0o022),
            rlimits,
            network: record.bytes("network").is_some().then(|| path(record, "network")).transpose()?,
        })
    }
}

impl Cgroup {
    /// Adds the cgroup to a record: a `cgroup` line, then its `set` lines.
    pub fn push_to(&self, record: &mut Record) {
        let Self { directory, owner, settings } = self;
        let place = record.all("cgroup").count();
        let owner = Owner::WORDS.iter().find(|(known, _)| known == owner).map_or("others ", |(_, word)| word);
        record.push_bytes("cgroup", &[owner.as_bytes(), directory.as_os_str().as_bytes()].concat());
        push_settings(record, "set", place, settings);
    }

    /// Reads every cgroup of a record.
    pub fn all_from(record: &Record) -> Result<Vec<Self>, RecordError> {
        let mut cgroups = Vec::new();
        for value in record.all("cgroup") {
            let invalid = || RecordError::Invalid("cgroup", String::from_utf8_lossy(value).into_owned());
            let known = |(owner, word): &(Owner, &str)| Some((*owner, value.strip_prefix(word.as_bytes())?));
            let (owner, directory) = Owner::WORDS.iter().find_map(known).ok_or_else(invalid)?;
            cgroups.push(Self { directory: PathBuf::from(os_string(directory)), owner, settings: Vec::new() });
        }
        for (place, setting) in settings(record, "set", cgroups.len())? {
            cgroups[place].settings.push(setting);
        }
        Ok(cgroups)
    }
}

fn push_settings(record: &mut Record, key: &str, place: usize, settings: &[Setting]) {
    for (file, value, need) in settings {
        let need = match need {
            Need::Required => "required",
            Need::Optional => "optional",
        };
        record.push(key, format_args!("{place} {need} {file} {value}"));
    }
}

/// The settings of a record, each with the place of what it belongs to; that is below `places`.
fn settings(record: &Record, key: &'static str, places: usize) -> Result<Vec<(usize, Setting)>, RecordError> {
    record
        .all(key)
        .map(|value| {
            let text = String::from_utf8_lossy(value);
            let mut parts = text.splitn(4, ' ');
            let parsed = (|| {
                let place = parts.next()?.parse().ok().filter(|place| *place < places)?;
                let need = if parts.next()? == "required" { Need::Required } else { Need::Optional };
                Some((place, (parts.next()?.to_owned(), parts.next()?.to_owned(), need)))
            })();
            parsed.ok_or_else(|| RecordError::Invalid(key, text.into_owned()))
        })
        .collect()
}

impl UnitSpec {
    fn push_to(&self, record: &mut Record) {
        let Self { name, hierarchies } = self;
        record.push("unit", name);
        for (place, UnitHierarchy { controller, root, settings }) in hierarchies.iter().enumerate() {
            record.push_bytes("unit_in", &[controller.as_bytes(), b" ", root.as_os_str().as_bytes()].concat());
            push_settings(record, "unit_set", place, settings);
        }
    }

    fn from_record(record: &Record) -> Result<Option<Self>, RecordError> {
        let Some(name) = record.text("unit") else { return Ok(None) };
        let mut hierarchies: Vec<UnitHierarchy> = Vec::new();
        for value in record.all("unit_in") {
            let invalid = || RecordError::Invalid("unit_in", String::from_utf8_lossy(value).into_owned());
            let space = value.iter().position(|byte| *byte == b' ').ok_or_else(invalid)?;
            let controller = String::from_utf8_lossy(&value[..space]).into_owned();
            let root = PathBuf::from(os_string(&value[space + 1..]));
            hierarchies.push(UnitHierarchy { controller, root, settings: Vec::new() });
        }
        for (place, setting) in settings(record, "unit_set", hierarchies.len())? {
            hierarchies[place].settings.push(setting);
        }
        Ok(Some(Self { name, hierarchies }))
    }
}

impl TaskSpec {
    /// The record of kind `task`.
    pub fn to_record(&self) -> Record {
        let Self {
            state_directory,
            command,
            container,
            mounts,
            cgroups,
            unit,
            logs,
            journal,
            kill_signal,
            kill_timeout_ms,
            boot_id,
        } = self;
        let mut record = Record::new("task");
        record.push_bytes("state_dir", state_directory.as_os_str().as_bytes());
        command.push_to(&mut record);
        if let Some(container) = container {
            container.push_to(&mut record);
        }
        for mount in mounts {
            mount.push_to(&mut record, "mount");
        }
        for cgroup in cgroups {
            cgroup.push_to(&mut record);
        }
        if let Some(unit) = unit {
            unit.push_to(&mut record);
        }
        if let Some(LogFiles { directory, task, max_files, max_file_size }) = logs {
            record.push_bytes("log_dir", directory.as_os_str().as_bytes());
            record.push("log_task", task);
            record.push("log_max_files", max_files);
            record.push("log_max_file_size", max_file_size);
        }
        if let Some(journal) = journal {
            journal.push_to(&mut record);
        }
        record.push("kill_signal", kill_signal);
        record.push("kill_timeout_ms", kill_timeout_ms);
        record.push("boot_id", boot_id);
        record
    }

    /// Reads a record of kind `task`.
    pub fn from_record(record: &Record) -> Result<Self, RecordError> {
        record.check_version()?;
        let logs = match record.bytes("log_dir") {
            None => None,
            Some(directory) => Some(LogFiles {
                directory: PathBuf::from(os_string(directory)),
                task: record.require("log_task")?,
                max_files: record.require("log_max_files")?,
                max_file_size: record.require("log_max_file_size")?,
            }),
        };
        Ok(Self {
            state_directory: path(record, "state_dir")?,
            command: Command::from_record(record)?,
            container: ContainerSpec::from_record(record)?.map(Box::new),
            mounts: Mount::all_from(record, "mount")?,
            cgroups: Cgroup::all_from(record)?,
            unit: UnitSpec::from_record(record)?,
            logs,
            journal: JournalSpec::from_record(record)?,
            kill_signal: record.require("kill_signal")?,
            kill_timeout_ms: record.require("kill_timeout_ms")?,
            boot_id: record.require("boot_id")?,
        })
    }
}

impl ExecSpec {
    /// The record of kind `exec`.
    pub fn to_record(&self) -> Record {
        let Self { command, inside, cgroups, terminal } = self;
        let mut record = Record::new("exec");
        command.push_to(&mut record);
        if let Some(Inside { pid, start_ticks, container }) = inside {
            record.push("inside_pid", pid);
            record.push("inside_ticks", start_ticks);
            if let Some(container) = container {
                container.push_to(&mut record);
            }
        }
        for directory in cgroups {
            record.push_bytes("join", directory.as_os_str().as_bytes());
        }
        record.push("terminal", *terminal == Terminal::Pty);
        record
    }

    /// Reads a record of kind `exec`.
    pub fn from_record(record: &Record) -> Result<Self, RecordError> {
        record.check_version()?;
        let inside = match record.get("inside_pid")? {
            None => None,
            Some(pid) => Some(Inside {
                pid,
                start_ticks: record.require("inside_ticks")?,
                container: ContainerSpec::from_record(record)?.map(Box::new),
            }),
        };
        Ok(Self {
            command: Command::from_record(record)?,
            inside,
            cgroups: record.all("join").map(|value| PathBuf::from(os_string(value))).collect(),
            terminal: if record.get("terminal")?.unwrap_or(false) { Terminal::Pty } else { Terminal::None },
        })
    }
}

fn os_string(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

fn path(record: &Record, key: &'static str) -> Result<PathBuf, RecordError> {
    let path = PathBuf::from(os_string(record.bytes(key).ok_or(RecordError::Missing(key))?));
    if Path::is_absolute(&path) { Ok(path) } else { Err(RecordError::Invalid(key, path.display().to_string())) }
}

fn numbers(record: &Record, key: &'static str) -> Result<Vec<u32>, RecordError> {
    record
        .all(key)
        .map(|value| {
            let text = String::from_utf8_lossy(value);
            text.parse().map_err(|_| RecordError::Invalid(key, text.into_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command {
            program: "/bin/sh".into(),
            argv: vec!["sh".into(), "-c".into(), "echo\n".into()],
            env: vec!["A=b".into(), OsString::from_vec(b"B=\xff\n".to_vec())],
            working_directory: "/tmp".into(),
            user: Some(Credentials { uid: 1, gid: 2, groups: vec![3, 4] }),
            oom_score_adj: -5,
            umask: 0o027,
            rlimits: vec![(7, 1024, u64::MAX)],
            network: Some("/run/netns/x y".into()),
        }
    }

    #[test]
    fn a_task_comes_back_as_it_was_sent() {
        let cgroup = |owner, settings| Cgroup { directory: "/sys/fs/cgroup/x y".into(), owner, settings };
        let spec = TaskSpec {
            state_directory: "/var/lib/x".into(),
            command: command(),
            container: Some(Box::new(ContainerSpec::new("/r"))),
            mounts: vec![Mount::bind("/a", "/b", crate::container::Access::ReadOnly)],
            cgroups: vec![
                cgroup(Owner::Others, vec![]),
                cgroup(Owner::Task, vec![("cpu.max".into(), "max 100000".into(), Need::Required)]),
            ],
            unit: Some(UnitSpec {
                name: "x.service".into(),
                hierarchies: ["", "name=systemd"]
                    .map(|controller| UnitHierarchy {
                        controller: controller.into(),
                        root: "/sys/fs/cgroup/a b".into(),
                        settings: vec![("cpu.max".into(), "max 100000".into(), Need::Optional)],
                    })
                    .into(),
            }),
            logs: Some(LogFiles { directory: "/l".into(), task: "web".into(), max_files: 2, max_file_size: 9 }),
            journal: Some(JournalSpec {
                socket: "/run/j".into(),
                identifier: "t".into(),
                fields: vec![b"A=\xff".to_vec(), b"B=".to_vec()],
            }),
            kill_signal: 2,
            kill_timeout_ms: 5000,
            boot_id: "b".into(),
        };
        let back = TaskSpec::from_record(&Record::decode(&spec.to_record().encode()).unwrap()).unwrap();
        assert!(back == spec);
    }

    #[test]
    fn an_exec_comes_back_as_it_was_sent() {
        let container = Some(Box::new(ContainerSpec::new("/r")));
        let inside = Some(Inside { pid: 5, start_ticks: 6, container });
        let cgroups = vec!["/a".into(), "/b".into()];
        let spec = ExecSpec { command: command(), inside, cgroups, terminal: Terminal::Pty };
        assert!(ExecSpec::from_record(&spec.to_record()).unwrap() == spec);
    }

    #[test]
    fn a_relative_program_is_refused() {
        let mut spec = ExecSpec { command: command(), inside: None, cgroups: vec![], terminal: Terminal::None };
        spec.command.program = "sh".into();
        let error = ExecSpec::from_record(&spec.to_record()).err();
        assert_eq!(error, Some(RecordError::Invalid("program", "sh".into())));
    }
}
