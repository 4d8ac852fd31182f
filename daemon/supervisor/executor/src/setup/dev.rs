//! The container's `/dev`: a directory in memory with binds of the host's harmless devices and of those that it was
//! given. Each device is a mount of its own, so that all other mounts can do without devices.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nomadd_executor::container::{ContainerSpec, Device, Share};
use nomadd_executor::report::Failed;

use super::mounts::text;
use super::{Kind, failed, target};
use crate::sys::mount::{self, Extent};

/// Every container has these.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Copies of the host's, taken before the host's paths are gone.
pub struct Prepared {
    devices: Vec<OwnedFd>,
    /// The host's shared memory and message queues, where they are shared.
    shared: Option<[Option<OwnedFd>; 2]>,
}

/// Takes the copies.
pub fn prepare(container: &ContainerSpec) -> Result<Prepared, Failed> {
    let host = NODES.iter().map(|name| Path::new("/dev").join(name));
    let devices = host.chain(container.devices.iter().map(|device| device.host.clone())).map(|path| {
        mount::copy_path(&path, Extent::One).map_err(failed(format_args!("open the device {}", path.display())))
    });
    let copy = |path: &str| mount::copy_path(Path::new(path), Extent::One).ok();
    let shared = (container.namespaces.ipc == Share::Host).then(|| [copy("/dev/shm"), copy("/dev/mqueue")]);
    Ok(Prepared { devices: devices.collect::<Result<_, _>>()?, shared })
}

/// Mounts `/dev` and fills it.
pub fn populate(root: &OwnedFd, container: &ContainerSpec, prepared: Prepared) -> Result<(), Failed> {
    let Prepared { devices, shared } = prepared;
    let nowhere = mount::NO_SUID | mount::NO_DEVICES;
    let quiet = nowhere | mount::NO_EXEC;
    let directory = |path: &str, tree: OwnedFd| -> io::Result<()> {
        mount::attach(tree, target(root, Path::new(path), Kind::Directory)?)
    };
    let put = || -> io::Result<()> {
        directory("/dev", mount::make(c"tmpfs", &[(c"mode", text("755")?), (c"size", text("65536k")?)], nowhere)?)?;
        // Terminals of the container's own; group 5 is tty everywhere.
        let options = [(c"ptmxmode", text("0666")?), (c"mode", text("0620")?), (c"gid", text("5")?)];
        directory("/dev/pts", mount::make(c"devpts", &options, mount::NO_SUID | mount::NO_EXEC)?)?;
        let [memory, queues] = match shared {
            Some(shared) => shared,
            None => {
                let options = [(c"mode", text("1777")?), (c"size", text(container.shm_size)?)];
                // A kernel without message queues.
                [Some(mount::make(c"tmpfs", &options, quiet)?), mount::make(c"mqueue", &[], quiet).ok()]
            }
        };
        for (tree, path) in [(memory, "/dev/shm"), (queues, "/dev/mqueue")] {
            if let Some(tree) = tree {
                directory(path, tree)?;
            }
        }
        let at = target(root, Path::new("/dev"), Kind::Directory)?;
        for (name, to) in [
            (c"fd", c"/proc/self/fd"),
            (c"stdin", c"/proc/self/fd/0"),
            (c"stdout", c"/proc/self/fd/1"),
            (c"stderr", c"/proc/self/fd/2"),
            (c"ptmx", c"pts/ptmx"),
        ] {
            mount::make_link(&at, name, to)?;
        }
        Ok(())
    };
    put().map_err(failed("make /dev"))?;
    let usual = NODES.iter().map(|name| Path::new("/dev").join(name));
    let targets = usual.chain(container.devices.iter().map(|Device { target, .. }| target.clone()));
    for (path, device) in targets.zip(devices) {
        let kind = mount::is_directory(&device).map(|is| if is { Kind::Directory } else { Kind::File });
        kind.and_then(|kind| target(root, &path, kind))
            .and_then(|at| mount::attach(&device, at))
            .and_then(|()| mount::set(&device, mount::NO_SUID | mount::NO_EXEC, libc::MS_PRIVATE, Extent::Below))
            .map_err(failed(format_args!("make the device {}", path.display())))?;
    }
    Ok(())
}
