//! From a specification to a running process: fork, set up the child, exec, and word of the step that failed.
//!
//! Called once per executor for its task, and by the exec helper, which becomes the process itself.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nomadd_executor::cgroup;
use nomadd_executor::container::{ContainerSpec, Init};
use nomadd_executor::record::Record;
use nomadd_executor::report::{Failed, Stage};
use nomadd_executor::spec::{Command, Credentials, ExecSpec, Owner, TaskSpec, Terminal};

use crate::sys::{self, rights};
use crate::{enter, setup};

/// Where a container without a `PATH` looks.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts the task with the given standard output and error; `None` discards.
pub fn start(spec: &TaskSpec, outputs: [Option<PipeWriter>; 2]) -> Result<i32, Failed> {
    let (report, word) = io::pipe().map_err(|error| Failed::system(Stage::Fork, &error, "pipe"))?;
    let birth_place = cgroup::birth_place(&spec.cgroups);
    let flags = spec.container.as_deref().map_or(0, setup::birth_flags);
    spec.container.as_deref().map_or(Ok(()), setup::join_processes)?;
    let (fork, born_in) = match &birth_place {
        Some((directory, descriptor)) => match sys::fork(Some(descriptor.as_fd()), flags) {
            // An old kernel, a filter of system calls, a cgroup that takes nobody directly: the child moves itself.
            Err(_) => (sys::fork(None, flags), None),
            forked => (forked, Some(*directory)),
        },
        None => (sys::fork(None, flags), None),
    };
    match fork.map_err(|error| Failed::system(Stage::Fork, &error, "fork"))? {
        sys::Fork::Parent(pid) => {
            drop((word, outputs));
            match Record::receive(&report) {
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
            // The other end is the executor's alone, so that its death is seen here.
            drop(report);
            let failed = become_task(spec, born_in, &outputs, &word);
            drop(failed.to_record().send(&word));
            sys::exit_now(127)
        }
    }
}

fn become_task(
    spec: &TaskSpec,
    born_in: Option<&Path>,
    outputs: &[Option<PipeWriter>; 2],
    word: &PipeWriter,
) -> Failed {
    match prepare_task(spec, born_in, outputs, word) {
        Err(failed) => failed,
        Ok(()) => execute(&spec.command, spec.container.as_deref()),
    }
}

fn prepare_task(
    spec: &TaskSpec,
    born_in: Option<&Path>,
    outputs: &[Option<PipeWriter>; 2],
    word: &PipeWriter,
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
    limit(&spec.command)?;
    match &spec.container {
        Some(container) => {
            setup::build(container, &spec.command.working_directory)?;
            setup::take_user(container, &spec.command)?;
        }
        None => {
            setup::add_mounts(&spec.mounts)?;
            take_user(&spec.command)?;
        }
    }
    // After the change of user, which would clear it.
    sys::die_with_parent().map_err(|error| Failed::system(Stage::Fork, &error, "parent death signal"))?;
    if sys::is_deserted(word) {
        sys::exit_now(137);
    }
    match &spec.container {
        Some(container) if container.init == Init::Small => divide(),
        _ => Ok(()),
    }
}

/// Stays as process 1 and returns in a child that is to be the task.
fn divide() -> Result<(), Failed> {
    sys::block_signals();
    match sys::fork(None, 0).map_err(|error| Failed::system(Stage::Fork, &error, "fork"))? {
        sys::Fork::Child => {
            sys::set_session();
            sys::die_with_parent().map_err(|error| Failed::system(Stage::Fork, &error, "parent death signal"))
        }
        sys::Fork::Parent(child) => {
            // The executor's descriptors are none of the container's business, and the report is the child's to end.
            sys::close_from(3);
            rights::hide();
            sys::exit_now(enter::stand_for(child, enter::Reach::Child))
        }
    }
}

/// Becomes the process of an exec session; returns only why it could not.
pub fn exec(spec: &ExecSpec) -> Failed {
    let prepare = || {
        sys::set_session();
        cgroup::join(spec.cgroups.iter().map(PathBuf::as_path))?;
        if spec.terminal == Terminal::Pty {
            sys::take_terminal().map_err(|error| Failed::system(Stage::Terminal, &error, "controlling terminal"))?;
        }
        limit(&spec.command)?;
        take_user(&spec.command)
    };
    match prepare() {
        Err(failed) => failed,
        Ok(()) => execute(&spec.command, None),
    }
}

/// What only root may do for the program.
pub fn limit(command: &Command) -> Result<(), Failed> {
    // Raising is always allowed; lowering needs a capability the task may not need.
    drop(set_oom_score(command.oom_score_adj));
    if let Some(path) = &command.network {
        let joined = File::open(path).and_then(|file| rights::join(file, libc::CLONE_NEWNET));
        joined.map_err(|error| Failed::path(Stage::Network, &error, path))?;
    }
    for (number, soft, hard) in &command.rlimits {
        sys::set_rlimit(*number, *soft, *hard)
            .map_err(|error| Failed::system(Stage::Rlimit, &error, format_args!("limit {number} = {soft}:{hard}")))?;
    }
    Ok(())
}

/// Becomes the command's user, in its directory.
pub fn take_user(command: &Command) -> Result<(), Failed> {
    if let Some(Credentials { uid, gid, groups }) = &command.user {
        sys::set_user(*uid, *gid, groups)
            .map_err(|error| Failed::system(Stage::User, &error, format_args!("uid {uid}, gid {gid}")))?;
    }
    std::env::set_current_dir(&command.working_directory)
        .map_err(|error| Failed::path(Stage::WorkingDirectory, &error, &command.working_directory))?;
    sys::set_umask(command.umask);
    Ok(())
}

/// Becomes the program; returns only why it could not. In a container its file is looked for here, where the root is there.
pub fn execute(command: &Command, container: Option<&ContainerSpec>) -> Failed {
    let strings = |list: &[OsString]| -> Result<Vec<CString>, Failed> {
        list.iter().map(|string| c_string(string.as_bytes().to_vec())).collect()
    };
    let prepared = (|| {
        let file = match container {
            Some(container) => find(command, container)?,
            None => command.program.clone(),
        };
        let program = c_string(file.as_os_str().as_bytes().to_vec())?;
        Ok((file, program, strings(&command.argv)?, strings(&command.env)?))
    })();
    match prepared {
        Err(failed) => failed,
        Ok((file, program, argv, env)) => {
            sys::reset_signals();
            let error = sys::execute(&program, &argv, &env);
            Failed::path(Stage::Exec, &error, file)
        }
    }
}

/// The file that a program's name means in a container.
fn find(command: &Command, container: &ContainerSpec) -> Result<PathBuf, Failed> {
    let name = &command.program;
    let no_program = |errno, what: String| Failed { stage: Stage::Program, errno, what };
    let slashes = name.as_os_str().as_bytes().contains(&b'/');
    let variable = command.env.iter().find_map(|variable| variable.as_bytes().strip_prefix(b"PATH="));
    let path = variable.filter(|path| !path.is_empty()).unwrap_or(DEFAULT_PATH.as_bytes());
    let mut places: Vec<PathBuf> = Vec::new();
    if name.is_absolute() {
        places.push(name.clone());
    } else {
        places.extend(container.search.iter().map(|directory| directory.join(name)));
        if slashes {
            places.push(command.working_directory.join(name));
        } else {
            let directories = path.split(|byte| *byte == b':').filter(|directory| directory.starts_with(b"/"));
            places.extend(directories.map(|directory| Path::new(OsStr::from_bytes(directory)).join(name)));
        }
    }
    let mut unusable = None;
    for place in places {
        match std::fs::metadata(&place) {
            Ok(found) if found.is_file() && found.mode() & 0o111 != 0 => return Ok(place),
            Ok(found) => {
                let why = if found.is_dir() { "it is a directory" } else { "its mode has no x bit" };
                let text = format!("{} is not executable: {why}", place.display());
                unusable = unusable.or(Some(no_program(libc::EACCES, text)));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let text = format!("{} is not executable by the task's user", place.display());
                unusable = unusable.or(Some(no_program(libc::EACCES, text)));
            }
            Err(_) => {}
        }
    }
    let text = if slashes {
        format!("command {:?} not found inside the task's root", name.display().to_string())
    } else {
        let (name, path) = (name.display().to_string(), String::from_utf8_lossy(path));
        format!("command {name:?} not found inside the task's root: in none of PATH={path}")
    };
    Err(unusable.unwrap_or_else(|| no_program(libc::ENOENT, text)))
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
