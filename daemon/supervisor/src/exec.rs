//! `alloc exec`: a command beside a running task. A fresh helper joins the task's cgroups and becomes the command; no
//! process of ours stays between it and its caller, and the daemon never forks.

mod session;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};

use nomadd_executor::SEALED_NAME;
use nomadd_executor::record::Record;
use nomadd_executor::report::{Failed, Stage, Started};
use nomadd_executor::spec::{Command, ExecSpec, Terminal};
use nomadd_runtime::{Pool, Runtime, TaskKind};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::program::{self, ProgramError};
use crate::users::{self, UserError};
use crate::{connection, container, sys};

pub use session::{ExecControl, ExecExit, ExecSession, Input, Output};

/// A command to run beside a task.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecRequest {
    /// The command and its arguments; the command is a path or in the environment's `PATH`.
    pub argv: Vec<String>,
    /// A terminal of this size instead of three pipes.
    pub terminal: Option<TerminalSize>,
    /// The whole environment, usually the task's.
    pub env: BTreeMap<String, String>,
    /// The working directory, usually the task's.
    pub working_directory: PathBuf,
    /// The user, usually the task's.
    pub user: Option<String>,
}

/// The environment and arguments may hold secrets: neither is shown.
impl fmt::Debug for ExecRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecRequest").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// Why a command did not start.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The task has ended.
    #[error("the task has ended")]
    Ended,
    /// The driver has no processes.
    #[error("the task's driver does not run commands beside a task")]
    Unsupported,
    /// The command names no program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The user does not exist.
    #[error(transparent)]
    User(#[from] UserError),
    /// A step of the start failed.
    #[error("cannot start the command: {what}")]
    Start {
        /// The step.
        what: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The agent is shutting down.
    #[error("the agent is shutting down")]
    ShuttingDown,
}

fn failed(what: &str) -> impl Fn(io::Error) -> ExecError + '_ {
    move |source| ExecError::Start { what: what.to_owned(), source }
}

/// The side of the streams that the caller keeps.
enum Ours {
    Pipes { stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd },
    Terminal(OwnedFd),
}

/// The task that a command runs beside.
pub(crate) struct Task {
    /// Where the command joins it.
    pub cgroups: Vec<PathBuf>,
    /// Its process.
    pub started: Started,
    /// Its executor's directory.
    pub state: PathBuf,
}

struct Spawned {
    pid: i32,
    ours: Ours,
}

/// Starts the command; resolves when it runs.
pub(crate) async fn start(
    helper: PathBuf,
    task: Task,
    request: ExecRequest,
    runtime: &Runtime,
    pool: &Pool,
) -> Result<ExecSession, ExecError> {
    let spawned = pool.run(move || spawn(&helper, task, &request)).await;
    let Spawned { pid, ours } = spawned.map_err(|_| ExecError::ShuttingDown)??;
    let (exit, ended) = watch::channel(None);
    runtime.tasks.spawn(TaskKind::Request, async move {
        // Never leaves a zombie, also when the session is dropped.
        let (exit_code, signal) = connection::reap(pid).await.unwrap_or((-1, 0));
        let exit_code = if signal > 0 { 128 + signal } else { exit_code };
        exit.send_replace(Some(ExecExit { exit_code, signal }));
    });
    match ours {
        Ours::Pipes { stdin, stdout, stderr } => {
            let pipe = failed("pipe");
            let stdin = pipe::Sender::from_owned_fd(stdin).map_err(&pipe)?;
            let stdout = pipe::Receiver::from_owned_fd(stdout).map_err(&pipe)?;
            let stderr = pipe::Receiver::from_owned_fd(stderr).map_err(&pipe)?;
            Ok(ExecSession::piped(pid, ended, stdin, stdout, stderr))
        }
        Ours::Terminal(master) => ExecSession::with_terminal(pid, ended, master).map_err(failed("terminal")),
    }
}

/// The blocking part: find, open, spawn, and wait for the helper's word or its exec.
fn spawn(helper: &Path, task: Task, request: &ExecRequest) -> Result<Spawned, ExecError> {
    let ExecRequest { argv, terminal, env, working_directory, user } = request;
    let Task { cgroups, started, state } = task;
    let found = container::of(&started, &state).map_err(failed("look up the task's namespaces"))?;
    let (inside, directory) = found.unzip();
    let contained = inside.as_ref().is_some_and(|inside| inside.container.is_some());
    let command = argv.first().map(String::as_str).unwrap_or_default();
    // What a container has the helper finds when it is inside; its user is the container's.
    let (program, user) = if contained {
        (PathBuf::from(command), None)
    } else {
        let program = program::find(command, working_directory, &[], env.get("PATH").map(String::as_str))?;
        (program, user.as_deref().map(users::lookup).transpose()?)
    };
    let user = user.filter(|user| sys::user_id() == 0 || user.uid != sys::user_id()).map(|user| user.credentials());
    let container = inside.as_ref().and_then(|inside| inside.container.as_ref());
    let uid = container.map(|container| container.user.uid).or(user.as_ref().map(|user| user.uid));
    let spec = ExecSpec {
        command: Command {
            program,
            argv: argv.iter().map(OsString::from).collect(),
            env: env.iter().map(|(name, value)| format!("{name}={value}").into()).collect(),
            working_directory: directory.filter(|_| contained).unwrap_or_else(|| working_directory.clone()),
            user,
            oom_score_adj: 0,
            umask: 0o022,
            rlimits: Vec::new(),
            // What a container has its helper joins with the rest.
            network: if contained { None } else { network_of(started.pid) },
        },
        inside,
        cgroups,
        terminal: if terminal.is_some() { Terminal::Pty } else { Terminal::None },
    };
    let (ours_control, theirs_control) = StdStream::pair().map_err(failed("control socket"))?;
    let theirs_control = OwnedFd::from(theirs_control);
    let arguments = [if contained { SEALED_NAME } else { "nomadd-executor" }, "exec"];
    let (pid, ours) = match terminal {
        Some(TerminalSize { rows, columns }) => {
            let (master, slave) = sys::open_terminal(*rows, *columns).map_err(failed("terminal"))?;
            if let Some(uid) = uid {
                sys::give_to(&slave, uid).map_err(failed("terminal's owner"))?;
            }
            let descriptors = [Some(&slave), Some(&slave), Some(&slave), Some(&theirs_control)];
            let pid = sys::spawn(helper, &arguments, &descriptors).map_err(failed("helper"))?;
            (pid, Ours::Terminal(master))
        }
        None => {
            let pipe = || io::pipe().map_err(failed("pipe"));
            let ((in_read, in_write), (out_read, out_write), (err_read, err_write)) = (pipe()?, pipe()?, pipe()?);
            let (stdin, stdout, stderr) = (in_read.into(), out_write.into(), err_write.into());
            let descriptors = [Some(&stdin), Some(&stdout), Some(&stderr), Some(&theirs_control)];
            let pid = sys::spawn(helper, &arguments, &descriptors).map_err(failed("helper"))?;
            (pid, Ours::Pipes { stdin: in_write.into(), stdout: out_read.into(), stderr: err_read.into() })
        }
    };
    drop(theirs_control);
    let told = spec.to_record().send(&ours_control);
    let word = Record::receive(&ours_control);
    match (told, word) {
        // The helper's end closed by its exec: the command runs.
        (Ok(()), Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Spawned { pid, ours }),
        (_, Ok(record)) => {
            drop(sys::wait(pid));
            Err(refused(&record, spec.command.program))
        }
        (Err(error), _) | (_, Err(error)) => {
            drop(nomadd_executor::process::kill(pid, libc::SIGKILL));
            drop(sys::wait(pid));
            Err(failed("helper")(error))
        }
    }
}

/// The network namespace of a process, where it is not this one's.
fn network_of(pid: i32) -> Option<PathBuf> {
    let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
    let (its, ours) = (std::fs::read_link(&path).ok()?, std::fs::read_link("/proc/self/ns/net").ok()?);
    (its != ours).then_some(path)
}

fn refused(record: &Record, program: PathBuf) -> ExecError {
    let Ok(Failed { stage, errno, what }) = Failed::from_record(record) else {
        return failed("helper")(io::ErrorKind::InvalidData.into());
    };
    if stage == Stage::Program {
        return ExecError::Program(ProgramError::Inside(what));
    }
    let what = match stage {
        Stage::Exec => format!("cannot execute {}", program.display()),
        Stage::Container => format!("cannot {what}"),
        Stage::WorkingDirectory => format!("cannot enter {what}"),
        Stage::Cgroup => format!("cannot join the task's cgroup by {what}"),
        Stage::Network => format!("cannot join the task's network {what}"),
        _ => what,
    };
    ExecError::Start { what, source: io::Error::from_raw_os_error(errno) }
}
