//! `nomadd-executor`: one process beside each task. Started by the supervisor with its connection to the daemon as
//! descriptor 3 (by systemd: as standard input), it reads a specification from there, starts the task, keeps its logs, forwards signals, and writes how
//! it ended. It outlives the daemon; see `run.rs`. As `exec` it joins a task's cgroup and becomes the asked command. With the
//! word `netns` it makes a network namespace and ends.
//!
//! For containers it is the launcher as well: `setup.rs` builds what the task sees, `enter.rs` joins it.
//!
//! Own binary instead of a re-exec of nomadd, as measured: see `nomadd-supervisor`, `direct.rs`.

mod control;
mod enter;
mod journal;
mod launch;
mod netns;
mod output;
mod run;
mod seal;
mod setup;
mod sys;
mod unit;

use std::io;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nomadd_executor::record::Record;
use nomadd_executor::report::{Failed, Stage};
use nomadd_executor::spec::{ExecSpec, TaskSpec};
use nomadd_executor::{CONTROL_FD, UNIT_ARGUMENT};

fn main() -> ExitCode {
    let argument = std::env::args_os().nth(1);
    if argument.as_ref().is_some_and(|word| word == netns::ARGUMENT) {
        return make_namespace();
    }
    // Before anything else: nothing has been touched yet that the same program again would miss.
    let sealed = seal::seal();
    let as_unit = argument.is_some_and(|word| word == UNIT_ARGUMENT);
    let control = if as_unit { sys::take_standard_input().ok() } else { sys::inherited(CONTROL_FD) };
    let Some(control) = control.map(UnixStream::from) else {
        eprintln!("nomadd-executor {} is started by nomadd, not by hand", env!("CARGO_PKG_VERSION"));
        return ExitCode::from(2);
    };
    sys::close_from(CONTROL_FD + 1);
    let record = match Record::receive(&control) {
        Ok(record) => record,
        // The daemon died before it said what to run.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return ExitCode::SUCCESS,
        Err(error) => return refuse(&control, &error.to_string()),
    };
    if let Err(error) = sealed {
        return refuse(&control, &format!("cannot protect its own binary from containers: {error}"));
    }
    match record.kind().as_str() {
        "task" => match TaskSpec::from_record(&record) {
            Ok(spec) => run::run(spec, control),
            Err(error) => refuse(&control, &error.to_string()),
        },
        "exec" => match ExecSpec::from_record(&record) {
            Ok(spec) => {
                let failed = match &spec.inside {
                    None => launch::exec(&spec),
                    Some(inside) => match enter::exec(&spec, inside) {
                        Ok(enter::Side::Ended(code)) => sys::exit_now(code),
                        Ok(enter::Side::Within(failed)) | Err(failed) => failed,
                    },
                };
                drop(failed.to_record().send(&control));
                ExitCode::from(127)
            }
            Err(error) => refuse(&control, &error.to_string()),
        },
        kind => refuse(&control, &format!("unknown kind {kind:?}")),
    }
}

/// Not a task: what the daemon cannot do in its own process.
fn make_namespace() -> ExitCode {
    let made = match std::env::args_os().nth(2) {
        Some(path) => netns::make(path.as_ref()),
        None => Err("the path is missing".to_owned()),
    };
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(step) => {
            eprintln!("{step}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(control: &UnixStream, what: &str) -> ExitCode {
    let failed = Failed { stage: Stage::Spec, errno: 0, what: what.to_owned() };
    drop(failed.to_record().send(control));
    ExitCode::from(2)
}
