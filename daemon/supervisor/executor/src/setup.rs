//! What the child of a container does between its cgroups and its program: namespaces, mounts, rights. And of a process
//! of the host that has mounts of its own: those.
//!
//! Called by `launch.rs` in a process with one thread that is about to become the task. What a container is to be says
//! `nomadd_executor::container`; nothing is decided here. Why not libcontainer: see `daemon/README.md`.

mod calls;
mod dev;
mod filter;
mod mounts;
mod rights;

use std::fmt::Display;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nomadd_executor::container::{ContainerSpec, Mount, Namespaces, Network, Share};
use nomadd_executor::report::{Failed, Stage};

use crate::sys::{mount, rights as kernel};

pub use rights::take_user;

/// The flag of a fork whose child is process 1 of new process namespace, if it is to be one.
pub fn birth_flags(container: &ContainerSpec) -> u64 {
    if container.namespaces.pid == Share::Own { libc::CLONE_NEWPID as u64 } else { 0 }
}

/// Joins another's process namespace, which only children of this process are then in.
pub fn join_processes(container: &ContainerSpec) -> Result<(), Failed> {
    let Share::Path(path) = &container.namespaces.pid else { return Ok(()) };
    let joined = mount_file(path).and_then(|file| kernel::join(file, libc::CLONE_NEWPID));
    joined.map_err(failed(format_args!("join the process namespace {}", path.display())))
}

/// Makes the container around this process: all but its user, its rights and its program.
pub fn build(container: &ContainerSpec, working_directory: &Path) -> Result<(), Failed> {
    // Descriptors of the executor's are still open here: nobody in a shared process namespace shall look.
    kernel::hide();
    let Namespaces { pid: _, ipc, uts, cgroup, network } = &container.namespaces;
    let mut own = libc::CLONE_NEWNS;
    let mut joined: Vec<(OwnedFd, libc::c_int, PathBuf)> = Vec::new();
    let shares = [(ipc, libc::CLONE_NEWIPC), (uts, libc::CLONE_NEWUTS), (cgroup, libc::CLONE_NEWCGROUP)];
    let mut join = |path: &Path, kind| -> Result<(), Failed> {
        let file = mount_file(path).map_err(failed(format_args!("open the namespace {}", path.display())))?;
        joined.push((file, kind, path.to_owned()));
        Ok(())
    };
    for (share, kind) in shares {
        match share {
            Share::Own => own |= kind,
            Share::Host => {}
            Share::Path(path) => join(path, kind)?,
        }
    }
    match network {
        Network::Host => {}
        Network::None => own |= libc::CLONE_NEWNET,
        Network::Path(path) => join(path, libc::CLONE_NEWNET)?,
    }
    kernel::unshare(own).map_err(failed("make namespaces"))?;
    for (file, kind, path) in &joined {
        kernel::join(file, *kind).map_err(failed(format_args!("join the namespace {}", path.display())))?;
    }
    if *network == Network::None {
        kernel::loopback_up().map_err(failed("switch the loopback device on"))?;
    }
    if let Some(name) = &container.hostname {
        kernel::set_host_name(name).map_err(failed(format_args!("set the host name {name:?}")))?;
    }
    for (name, value) in &container.sysctl {
        set_parameter(name, value).map_err(failed(format_args!("set sysctl {name} = {value}")))?;
    }
    mounts::assemble(container, working_directory)
}

/// Gives a process of the host mounts that only it and its children see.
pub fn add_mounts(mounts: &[Mount]) -> Result<(), Failed> {
    if mounts.is_empty() {
        return Ok(());
    }
    kernel::unshare(libc::CLONE_NEWNS).map_err(failed("make a mount namespace"))?;
    mounts::add(mounts)
}

/// Writes a kernel parameter of this process's namespaces; which ones are namespaced the driver knows.
fn set_parameter(name: &str, value: &str) -> io::Result<()> {
    let relative = PathBuf::from(name.replace('.', "/"));
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || name.contains('/') {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    fs::write(Path::new("/proc/sys").join(relative), value)
}

fn mount_file(path: &Path) -> io::Result<OwnedFd> {
    fs::File::open(path).map(OwnedFd::from)
}

/// The error of a step, in the words that follow "cannot".
fn failed(what: impl Display) -> impl FnOnce(io::Error) -> Failed {
    let what = what.to_string();
    move |error| Failed::system(Stage::Container, &error, what)
}

/// Whether there is nothing where something was looked for.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// The kind of thing that something is mounted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
}

/// What a path means inside the root; made, with the directories above it, if it is not there.
fn target(root: &OwnedFd, path: &Path, kind: Kind) -> io::Result<OwnedFd> {
    match mount::locate(root, path, mount::Resolve::InRoot) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
        found => return found,
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let parent = directories(root, parent)?;
    let name = Path::new(name);
    let made = match kind {
        Kind::Directory => mount::make_directory(&parent, name, 0o755),
        Kind::File => mount::make_file(&parent, name),
    };
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    mount::locate(root, path, mount::Resolve::InRoot)
}

/// A directory inside the root; what is missing of it is made.
fn directories(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut so_far = PathBuf::from("/");
    let mut at = mount::locate(root, &so_far, mount::Resolve::InRoot)?;
    for part in path.components() {
        let name = match part {
            Component::Normal(name) => Path::new(name),
            Component::RootDir | Component::CurDir => continue,
            _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        so_far.push(name);
        at = match mount::locate(root, &so_far, mount::Resolve::InRoot) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => match mount::make_directory(&at, name, 0o755) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => mount::locate(root, &so_far, mount::Resolve::InRoot)?,
            },
            found => found?,
        };
    }
    Ok(at)
}
