//! `alloc exec` in a task that has namespaces of its own: the helper joins them, a child of it becomes the command, and
//! the helper stands for that child: it passes signals on and ends as the child ended.

use nomadd_executor::cgroup;
use nomadd_executor::container::Share;
use nomadd_executor::process::{kill, start_ticks};
use nomadd_executor::report::{Failed, Stage};
use nomadd_executor::spec::{ExecSpec, Inside, Terminal};

use crate::launch;
use crate::setup;
use crate::sys::{self, rights};

/// Which side of the fork this is, when all is over.
pub enum Side {
    /// The helper, with the command's exit code.
    Ended(i32),
    /// The child, with why it did not become the command.
    Within(Failed),
}

/// Runs the command; in the helper it returns at the command's end, in the child only with an error.
pub fn exec(spec: &ExecSpec, inside: &Inside) -> Result<Side, Failed> {
    let Inside { pid, start_ticks: ticks, container } = inside;
    let failed = |error| Failed::system(Stage::Container, &error, "enter the task's namespaces");
    rights::hide();
    sys::set_session();
    cgroup::join(spec.cgroups.iter().map(|directory| directory.as_path()))?;
    let process = rights::process(*pid).map_err(failed)?;
    // The descriptor holds the process, so what is its start now stays so.
    if start_ticks(*pid).map_err(failed)? != *ticks {
        return Err(failed(std::io::Error::from_raw_os_error(libc::ESRCH)));
    }
    let mut kinds = libc::CLONE_NEWNS;
    if let Some(container) = container {
        let spaces = &container.namespaces;
        for (share, kind) in [
            (&spaces.pid, libc::CLONE_NEWPID),
            (&spaces.ipc, libc::CLONE_NEWIPC),
            (&spaces.uts, libc::CLONE_NEWUTS),
            (&spaces.cgroup, libc::CLONE_NEWCGROUP),
        ] {
            kinds |= if *share == Share::Host { 0 } else { kind };
        }
        kinds |= if spaces.network == nomadd_executor::container::Network::Host { 0 } else { libc::CLONE_NEWNET };
    }
    rights::join(process, kinds).map_err(failed)?;
    sys::block_signals();
    match sys::fork(None, 0).map_err(|error| Failed::system(Stage::Fork, &error, "fork"))? {
        sys::Fork::Parent(child) => {
            // The daemon waits for the child's word alone, and nothing of ours is left open beside the command. Main does
            // not come back to what is closed here: it exits.
            sys::close_from(0);
            Ok(Side::Ended(stand_for(child, Reach::Group)))
        }
        sys::Fork::Child => Ok(Side::Within(within(spec, inside))),
    }
}

fn within(spec: &ExecSpec, inside: &Inside) -> Failed {
    let prepare = || {
        sys::set_session();
        if spec.terminal == Terminal::Pty {
            sys::take_terminal().map_err(|error| Failed::system(Stage::Terminal, &error, "controlling terminal"))?;
        }
        launch::limit(&spec.command)?;
        match &inside.container {
            Some(container) => setup::take_user(container, &spec.command)?,
            None => launch::take_user(&spec.command)?,
        }
        sys::die_with_parent().map_err(|error| Failed::system(Stage::Fork, &error, "parent death signal"))
    };
    match prepare() {
        Err(failed) => failed,
        Ok(()) => launch::execute(&spec.command, inside.container.as_deref()),
    }
}

/// Whom a signal is passed on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The child's process group, as from a terminal.
    Group,
    /// The child alone.
    Child,
}

/// Waits for a child, passing on every signal; also reaps what the child leaves. All signals are blocked.
pub fn stand_for(child: i32, reach: Reach) -> i32 {
    loop {
        while let sys::Children::Ended(ended) = sys::reap() {
            if ended.pid == child {
                return if ended.signal > 0 { 128 + ended.signal } else { ended.exit_code };
            }
        }
        match sys::wait_for_signal() {
            Ok(libc::SIGCHLD) | Err(_) => {}
            // It may have made no group yet.
            Ok(signal) if reach == Reach::Group && kill(-child, signal).is_ok() => {}
            Ok(signal) => drop(kill(child, signal)),
        }
    }
}
