//! From a specification to a running process: fork, set up the child, exec, and word of the step that failed.
//!
//! Called once per executor for its task, and by the exec helper, which becomes the process itself.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, PipeWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nomadd_executor::cgroup;
use nomadd_executor::record::Record;
use nomadd_executor::report::{Failed, Stage};
use nomadd_executor::spec::{Command, Credentials, ExecSpec, Owner, TaskSpec, Terminal};

use crate::sys;

/// Starts the task with the given standard output and error; `None` discards.
pub fn start(spec: &TaskSpec, outputs: [Option<PipeWriter>; 2]) -> Result<i32, Failed> {
    let (report, word) = io::pipe().map_err(|error| Failed::system(Stage::Fork, &error, "pipe"))?;
    let birth_place = cgroup::birth_place(&spec.cgroups);
    let parent = std::process::id() as i32;
    let (fork, born_in) = match &birth_place {
        Some((directory, descriptor)) => match sys::fork(Some(descriptor.as_fd())) {
            // An old kernel, a filter of system calls, a cgroup that takes nobody directly: the child moves itself.
            Err(_) => (sys::fork(None), None),
            forked => (forked, Some(*directory)),
        },
        None => (sys::fork(None), None),
    };
    match fork.map_err(|error| Failed::system(Stage::Fork, &error, "fork"))? {
        sys::Fork::Parent(pid) => {
            drop((word, outputs));
            match Record::receive(report) {
                // The pipe closed without a word: the program runs.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(pid),
                Err(error) => Err(Failed::system(Stage::Fork, &error, "start report")),
                Ok(record) => Err(Failed::from_record(&record).unwrap_or_else(|error| Failed {
                    stage: Stage::Fork,
                    errno: 0,
                    what: error.to_string(),
                })),
            }
        }
        sys::Fork::Child => {
            let failed = become_task(spec, born_in, &outputs, parent);
            drop(failed.to_record().send(&word));
            sys::exit_now(127)
        }
    }
}

fn become_task(spec: &TaskSpec, born_in: Option<&Path>, outputs: &[Option<PipeWriter>; 2], parent: i32) -> Failed {
    match prepare_task(spec, born_in, outputs, parent) {
        Err(failed) => failed,
        Ok(()) => execute(&spec.command),
    }
}

fn prepare_task(
    spec: &TaskSpec,
    born_in: Option<&Path>,
    outputs: &[Option<PipeWriter>; 2],
    parent: i32,
) -> Result<(), Failed> {
    sys::set_session();
    // A child is where its unit is without joining.
    let joined = spec.cgroups.iter().filter(|cgroup| cgroup.owner != Owner::Unit).map(|cgroup| &*cgroup.directory);
    cgroup::join(joined.filter(|directory| Some(*directory) != born_in))?;
    let streams = |error: io::Error| Failed::system(Stage::Fork, &error, "standard streams");
    // Standard streams are /dev/null in the executor: what has no pipe keeps that.
    for (place, output) in [1, 2].into_iter().zip(outputs) {
        if let Some(output) = output {
            sys::duplicate_to(output, place).map_err(streams)?;
        }
    }
    set_up(&spec.command)?;
    // After the change of user, which would clear it.
    sys::die_with_parent().map_err(|error| Failed::system(Stage::Fork, &error, "parent death signal"))?;
    if sys::parent_pid() != parent {
        sys::exit_now(137);
    }
    Ok(())
}

/// Becomes the process of an exec session; returns only why it could not.
pub fn exec(spec: &ExecSpec) -> Failed {
    let prepare = || {
        sys::set_session();
        cgroup::join(spec.cgroups.iter().map(PathBuf::as_path))?;
        if spec.terminal == Terminal::Pty {
            sys::take_terminal().map_err(|error| Failed::system(Stage::Terminal, &error, "controlling terminal"))?;
        }
        set_up(&spec.command)
    };
    match prepare() {
        Err(failed) => failed,
        Ok(()) => execute(&spec.command),
    }
}

/// What a child does between its cgroups and its program, in the order that permissions allow.
fn set_up(command: &Command) -> Result<(), Failed> {
    // Raising is always allowed; lowering needs a capability the task may not need.
    drop(set_oom_score(command.oom_score_adj));
    for (number, soft, hard) in &command.rlimits {
        sys::set_rlimit(*number, *soft, *hard)
            .map_err(|error| Failed::system(Stage::Rlimit, &error, format_args!("limit {number} = {soft}:{hard}")))?;
    }
    if let Some(Credentials { uid, gid, groups }) = &command.user {
        sys::set_user(*uid, *gid, groups)
            .map_err(|error| Failed::system(Stage::User, &error, format_args!("uid {uid}, gid {gid}")))?;
    }
    std::env::set_current_dir(&command.working_directory)
        .map_err(|error| Failed::path(Stage::WorkingDirectory, &error, &command.working_directory))?;
    sys::set_umask(command.umask);
    Ok(())
}

fn execute(command: &Command) -> Failed {
    let strings = |list: &[OsString]| -> Result<Vec<CString>, Failed> {
        list.iter().map(|string| c_string(string.as_bytes().to_vec())).collect()
    };
    let prepared = (|| {
        let program = c_string(command.program.as_os_str().as_bytes().to_vec())?;
        Ok((program, strings(&command.argv)?, strings(&command.env)?))
    })();
    match prepared {
        Err(failed) => failed,
        Ok((program, argv, env)) => {
            sys::reset_signals();
            let error = sys::execute(&program, &argv, &env);
            Failed::path(Stage::Exec, &error, &command.program)
        }
    }
}

fn c_string(bytes: Vec<u8>) -> Result<CString, Failed> {
    CString::new(bytes).map_err(|_| Failed {
        stage: Stage::Spec,
        errno: libc::EINVAL,
        what: "a zero byte in the command or its environment".to_owned(),
    })
}

/// Sets how soon the kernel kills this process when memory runs out.
pub fn set_oom_score(value: i32) -> io::Result<()> {
    File::options().write(true).open("/proc/self/oom_score_adj")?.write_all(value.to_string().as_bytes())
}
