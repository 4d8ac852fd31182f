//! The container's tree: copies of what it shows are taken first, while the host's paths still mean what the host means,
//! then attached to descriptors below the new root, which at last takes the place of the host's.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nomadd_executor::container::{
    Access, ContainerSpec, Dev, Mount, Pivot, Privileged, Propagation, Recursion, Source,
};
use nomadd_executor::report::Failed;

use super::{Kind, dev, directories, failed, is_absent, target};
use crate::sys::mount::{self, Extent, Resolve};

/// Builds the tree and moves into it; the working directory is then `/`.
pub fn assemble(container: &ContainerSpec, working_directory: &Path) -> Result<(), Failed> {
    let place = container.root.display();
    let devices = match container.privileged {
        Privileged::No => mount::NO_DEVICES,
        Privileged::Yes => 0,
    };
    let root =
        mount::copy_path(&container.root, Extent::Below).map_err(failed(format_args!("open the root {place}")))?;
    let sources = copies(&container.mounts)?;
    let own = match container.dev {
        Dev::Own => Some(dev::prepare(container)?),
        Dev::Mounted => None,
    };
    mount::set_all(libc::MS_PRIVATE).map_err(failed("cut the mounts off from the host's"))?;
    mount::handle(&container.root)
        .and_then(|to| mount::attach(&root, to))
        .and_then(|()| mount::set(&root, devices, libc::MS_PRIVATE, Extent::Below))
        .map_err(failed(format_args!("mount the root {place}")))?;
    let mut below = container.mounts.iter().zip(sources).peekable();
    // What the kernel shows comes first: binds may be meant to lie over it, and over /dev.
    while let Some((entry, source)) = below.next_if(|(entry, _)| is_kernel(&entry.source)) {
        place_one(&root, entry, source, devices)?;
    }
    if let Some(own) = own {
        dev::populate(&root, container, own)?;
    }
    for (entry, source) in below {
        place_one(&root, entry, source, devices)?;
    }
    for path in &container.readonly_paths {
        hide(&root, path, Hiding::ReadOnly)?;
    }
    for path in &container.masked_paths {
        hide(&root, path, Hiding::Masked)?;
    }
    // Where it cannot be made, entering it says so.
    drop(directories(&root, working_directory));
    if container.root_access == Access::ReadOnly {
        mount::set(&root, mount::READ_ONLY, 0, Extent::One).map_err(failed("make the root read-only"))?;
    }
    mount::enter_directory(&root).map_err(failed("enter the root"))?;
    match container.pivot {
        Pivot::Root => mount::pivot_here().map_err(failed("change the root")),
        Pivot::Chroot => mount::cover_here().map_err(failed("change the root without pivot_root")),
    }
}

/// Mounts of a process that stays in the host's tree.
pub fn add(mounts: &[Mount]) -> Result<(), Failed> {
    let sources = copies(mounts)?;
    // What the host mounts later is seen; what is mounted here the host does not see.
    mount::set_all(libc::MS_SLAVE).map_err(failed("cut the mounts off from the host's"))?;
    let root = mount::handle(Path::new("/")).map_err(failed("open /"))?;
    for (entry, source) in mounts.iter().zip(sources) {
        place_one(&root, entry, source, 0)?;
    }
    Ok(())
}

fn is_kernel(source: &Source) -> bool {
    matches!(source, Source::Proc | Source::Sysfs | Source::Cgroup)
}

/// Copies of what is bound from the host, with the propagation that it has there.
fn copies(mounts: &[Mount]) -> Result<Vec<Option<OwnedFd>>, Failed> {
    mounts
        .iter()
        .map(|entry| {
            let (copy, path) = match &entry.source {
                Source::Bind { path, recursion } => {
                    let extent = match recursion {
                        Recursion::Only => Extent::One,
                        Recursion::Below => Extent::Below,
                    };
                    (mount::copy_path(path, extent), path.clone())
                }
                Source::BindBeneath { directory, path } => {
                    let found = mount::handle(directory).and_then(|at| mount::locate(at, path, Resolve::Beneath));
                    (found.and_then(|found| mount::copy(found.as_fd(), Extent::Below)), directory.join(path))
                }
                _ => return Ok(None),
            };
            let what = format_args!("mount {} at {}", path.display(), entry.target.display()).to_string();
            copy.map(Some).map_err(failed(what))
        })
        .collect()
}

/// Attaches one mount, with what was copied for it.
fn place_one(root: &OwnedFd, entry: &Mount, copy: Option<OwnedFd>, devices: u64) -> Result<(), Failed> {
    let Mount { target: at, source, access, propagation, flags } = entry;
    let mut attributes = devices;
    for (wanted, attribute) in [
        (*access == Access::ReadOnly, mount::READ_ONLY),
        (flags.nosuid, mount::NO_SUID),
        (flags.noexec, mount::NO_EXEC),
    ] {
        attributes |= if wanted { attribute } else { 0 };
    }
    let propagation = match propagation {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::HostToTask => libc::MS_SLAVE,
        Propagation::Bidirectional => 0,
    };
    let extent = match source {
        Source::Bind { recursion: Recursion::Only, .. } => Extent::One,
        _ => Extent::Below,
    };
    let put = || -> io::Result<()> {
        let tree = match (copy, source) {
            (Some(copy), _) => copy,
            (None, Source::Tmpfs { size, mode, uid, gid }) => {
                let mut options =
                    vec![(c"mode", text(format_args!("{mode:o}"))?), (c"uid", text(uid)?), (c"gid", text(gid)?)];
                if let Some(size) = size {
                    options.push((c"size", text(size)?));
                }
                mount::make(c"tmpfs", &options, 0)?
            }
            (None, Source::Proc) => mount::make(c"proc", &[], 0)?,
            (None, Source::Sysfs) => mount::make(c"sysfs", &[], 0)?,
            (None, _) => return cgroups(root, at, attributes),
        };
        let kind = if mount::is_directory(&tree)? { Kind::Directory } else { Kind::File };
        mount::attach(&tree, target(root, at, kind)?)?;
        mount::set(&tree, attributes, propagation, extent)
    };
    put().map_err(failed(format_args!("mount {} at {}", name(source), at.display())))
}

fn name(source: &Source) -> String {
    match source {
        Source::Bind { path, .. } => path.display().to_string(),
        Source::BindBeneath { directory, path } => directory.join(path).display().to_string(),
        Source::Tmpfs { .. } => "tmpfs".to_owned(),
        Source::Proc => "proc".to_owned(),
        Source::Sysfs => "sysfs".to_owned(),
        Source::Cgroup => "cgroup".to_owned(),
    }
}

/// A mount option's value.
pub fn text(value: impl ToString) -> io::Result<CString> {
    CString::new(value.to_string()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// The cgroups as this process's namespace shows them. On version 1 each hierarchy is a mount below a directory in memory;
/// one that cannot be mounted is left out, as programs find hosts with and without any of them.
fn cgroups(root: &OwnedFd, at: &Path, attributes: u64) -> io::Result<()> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let at = target(root, at, Kind::Directory)?;
    let hierarchies: Vec<&str> = own.lines().filter_map(|line| line.split(':').nth(1)).collect();
    if hierarchies.iter().all(|controllers| controllers.is_empty()) {
        let tree = mount::make(c"cgroup2", &[], attributes)?;
        return mount::attach(tree, at);
    }
    let tree = mount::make(c"tmpfs", &[(c"mode", text("755")?), (c"size", text("64k")?)], 0)?;
    mount::attach(&tree, at)?;
    mount::enter_directory(&tree)?;
    for controllers in hierarchies {
        let (directory, options) = match controllers.strip_prefix("name=") {
            _ if controllers.is_empty() => ("unified", String::new()),
            Some(name) => (name, format!("none,{controllers}")),
            None => (controllers, controllers.to_owned()),
        };
        mount::make_directory(&tree, Path::new(directory), 0o755)?;
        let directory = text(directory)?;
        if controllers.is_empty() {
            if let Ok(unified) = mount::make(c"cgroup2", &[], attributes) {
                mount::attach(unified, mount::locate(&tree, Path::new("unified"), Resolve::Beneath)?)?;
            }
            continue;
        }
        if mount::cgroup_hierarchy(&directory, &text(options)?).is_ok() && controllers.contains(',') {
            for one in controllers.split(',') {
                mount::make_link(&tree, &text(one)?, &directory)?;
            }
        }
    }
    mount::set(&tree, attributes, libc::MS_PRIVATE, Extent::One)?;
    std::env::set_current_dir("/")
}

/// What is done to a path that a container shall not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hiding {
    ReadOnly,
    Masked,
}

fn hide(root: &OwnedFd, path: &Path, hiding: Hiding) -> Result<(), Failed> {
    let put = || -> io::Result<()> {
        let at = match mount::locate(root, path, Resolve::InRoot) {
            Err(error) if is_absent(&error) => return Ok(()),
            found => found?,
        };
        let tree = match hiding {
            Hiding::ReadOnly => mount::copy(at.as_fd(), Extent::Below)?,
            Hiding::Masked if mount::is_directory(&at)? => {
                mount::make(c"tmpfs", &[(c"mode", text("755")?), (c"size", text("4k")?)], 0)?
            }
            Hiding::Masked => mount::copy_path(Path::new("/dev/null"), Extent::One)?,
        };
        mount::attach(&tree, at)?;
        let attributes = mount::READ_ONLY | mount::NO_SUID | mount::NO_EXEC;
        mount::set(&tree, attributes, libc::MS_PRIVATE, Extent::Below)
    };
    put().map_err(failed(format_args!("hide {}", path.display())))
}
