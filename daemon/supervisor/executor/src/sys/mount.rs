//! The kernel's mount interface by descriptors, each call behind one safe function. Nothing is ever mounted by a path
//! that someone else can change: trees are made detached, and attached to descriptors. Kernel 5.12 has all of it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::check;

/// May only be read.
pub const READ_ONLY: u64 = 1;
/// Set-user-id programs raise no rights.
pub const NO_SUID: u64 = 2;
/// Device nodes do not work.
pub const NO_DEVICES: u64 = 4;
/// Nothing can be executed.
pub const NO_EXEC: u64 = 8;

const AT_RECURSIVE: libc::c_int = 0x8000;
const OPEN_TREE_CLONE: libc::c_int = 1;
const OPEN_TREE_CLOEXEC: libc::c_int = libc::O_CLOEXEC;
const MOVE_FROM_EMPTY_PATH: libc::c_uint = 0x4;
const MOVE_TO_EMPTY_PATH: libc::c_uint = 0x40;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const RESOLVE_NO_MAGICLINKS: u64 = 0x2;
const RESOLVE_BENEATH: u64 = 0x8;
const RESOLVE_IN_ROOT: u64 = 0x10;

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(result as libc::c_int)?;
    // SAFETY: the kernel just made this descriptor for us; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn done(result: libc::c_long) -> io::Result<()> {
    check(result as libc::c_int).map(drop)
}

/// How much of a tree is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// One mount.
    One,
    /// With all mounts below it.
    Below,
}

impl Extent {
    fn flag(self) -> libc::c_int {
        match self {
            Self::One => 0,
            Self::Below => AT_RECURSIVE,
        }
    }
}

/// A copy, not attached anywhere yet, of what a path of this namespace shows.
pub fn copy_path(path: &Path, extent: Extent) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | extent.flag();
    // SAFETY: the path is a string that outlives the call.
    descriptor(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// A copy of what a descriptor refers to.
pub fn copy(of: BorrowedFd<'_>, extent: Extent) -> io::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | extent.flag() | libc::AT_EMPTY_PATH;
    // SAFETY: the empty path is a static string.
    descriptor(unsafe { libc::syscall(libc::SYS_open_tree, of.as_raw_fd(), c"".as_ptr(), flags) })
}

/// Attaches a detached tree to what a descriptor refers to.
pub fn attach(tree: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let (tree, to) = (tree.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    let (empty, flags) = (c"".as_ptr(), MOVE_FROM_EMPTY_PATH | MOVE_TO_EMPTY_PATH);
    // SAFETY: the empty path is a static string.
    done(unsafe { libc::syscall(libc::SYS_move_mount, tree, empty, to, empty, flags) })
}

/// Sets attributes of a mount and how mounts pass from and to it (`MS_PRIVATE` …; 0 changes nothing).
pub fn set(tree: impl AsFd, attributes: u64, propagation: u64, extent: Extent) -> io::Result<()> {
    // The fields of the kernel's struct mount_attr: set, clear, propagation, user namespace.
    let change = [attributes, 0, propagation, 0];
    let flags = libc::AT_EMPTY_PATH | extent.flag();
    let tree = tree.as_fd().as_raw_fd();
    // SAFETY: the array outlives the call and its size is given.
    done(unsafe {
        libc::syscall(libc::SYS_mount_setattr, tree, c"".as_ptr(), flags, change.as_ptr(), size_of_val(&change))
    })
}

/// A new file system of this kind with these options, not attached anywhere yet.
pub fn make(kind: &CStr, options: &[(&CStr, CString)], attributes: u64) -> io::Result<OwnedFd> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    // SAFETY: the name is a string that outlives the call.
    let context = descriptor(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    let fd = context.as_raw_fd();
    for (name, value) in options {
        // SAFETY: both are strings that outlive the call.
        done(unsafe { libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_SET_STRING, name.as_ptr(), value.as_ptr(), 0) })?;
    }
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: this command takes no strings.
    done(unsafe { libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, none, none, 0) })?;
    // SAFETY: integers only.
    descriptor(unsafe { libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes as libc::c_uint) })
}

/// A version 1 cgroup hierarchy, at a directory below the working directory.
pub fn cgroup_hierarchy(directory: &CStr, controllers: &CStr) -> io::Result<()> {
    let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let kind = c"cgroup".as_ptr();
    // SAFETY: all are strings that outlive the call.
    check(unsafe { libc::mount(kind, directory.as_ptr(), kind, flags, controllers.as_ptr().cast()) }).map(drop)
}

/// Cuts this mount namespace's tree off from all others, or has it follow the host's (`MS_SLAVE`).
pub fn set_all(propagation: libc::c_ulong) -> io::Result<()> {
    let none = std::ptr::null();
    // SAFETY: no strings but the static path.
    check(unsafe { libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | propagation, std::ptr::null()) }).map(drop)
}

/// What a path beneath a directory means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolve {
    /// The directory is the root: absolute links and `..` stay in it.
    InRoot,
    /// What leads out of the directory is refused.
    Beneath,
}

/// Opens what a path means below a directory, without following the kernel's magic links. Only a handle, not the content.
pub fn locate(directory: impl AsFd, path: &Path, resolve: Resolve) -> io::Result<OwnedFd> {
    open_beneath(directory, path, libc::O_PATH, resolve)
}

fn open_beneath(directory: impl AsFd, path: &Path, flags: libc::c_int, resolve: Resolve) -> io::Result<OwnedFd> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    let path = c_path(relative)?;
    let resolve = match resolve {
        Resolve::InRoot => RESOLVE_IN_ROOT,
        Resolve::Beneath => RESOLVE_BENEATH,
    };
    // The fields of the kernel's struct open_how: flags, mode, resolve.
    let how = [(flags | libc::O_CLOEXEC) as u64, 0, resolve | RESOLVE_NO_MAGICLINKS];
    let directory = directory.as_fd().as_raw_fd();
    // Someone renames beside it: the kernel asks to try again.
    for _ in 0..64 {
        // SAFETY: path and array outlive the call, and the array's size is given.
        let result =
            unsafe { libc::syscall(libc::SYS_openat2, directory, path.as_ptr(), how.as_ptr(), size_of_val(&how)) };
        match descriptor(result) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {}
            result => return result,
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// Makes a directory with exactly this mode in an open one.
pub fn make_directory(parent: impl AsFd, name: &Path, mode: u32) -> io::Result<()> {
    let name = c_path(name)?;
    // SAFETY: the name is a string that outlives the call.
    check(unsafe { libc::mkdirat(parent.as_fd().as_raw_fd(), name.as_ptr(), mode) }).map(drop)
}

/// Makes an empty file in an open directory, if there is nothing of that name.
pub fn make_file(parent: impl AsFd, name: &Path) -> io::Result<()> {
    let name = c_path(name)?;
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the name is a string that outlives the call.
    let result = unsafe { libc::openat(parent.as_fd().as_raw_fd(), name.as_ptr(), flags, 0o644) };
    descriptor(result.into()).map(drop)
}

/// Makes a link in an open directory.
pub fn make_link(parent: impl AsFd, name: &CStr, to: &CStr) -> io::Result<()> {
    // SAFETY: both are strings that outlive the call.
    check(unsafe { libc::symlinkat(to.as_ptr(), parent.as_fd().as_raw_fd(), name.as_ptr()) }).map(drop)
}

/// Whether a descriptor is of a directory.
pub fn is_directory(fd: impl AsFd) -> io::Result<bool> {
    // SAFETY: stat is plain data for which zero is valid; the pointer is to a live local.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(fd.as_fd().as_raw_fd(), &mut stat))?;
        Ok(stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
    }
}

/// Enters the directory of a descriptor.
pub fn enter_directory(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: an integer.
    check(unsafe { libc::fchdir(fd.as_fd().as_raw_fd()) }).map(drop)
}

/// Makes the working directory, a mount, the root of this namespace; the old root is gone for it.
pub fn pivot_here() -> io::Result<()> {
    let here = c".".as_ptr();
    // SAFETY: the path is a static string.
    done(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) })?;
    // SAFETY: as above. The old root is stacked on the new one, and is what the path means.
    check(unsafe { libc::umount2(here, libc::MNT_DETACH) })?;
    std::env::set_current_dir("/")
}

/// Makes the working directory, a mount, the root of this process and its children, over the old one.
pub fn cover_here() -> io::Result<()> {
    let (here, root, none) = (c".".as_ptr(), c"/".as_ptr(), std::ptr::null());
    // SAFETY: the paths are static strings.
    check(unsafe { libc::mount(here, root, none, libc::MS_MOVE, std::ptr::null()) })?;
    // SAFETY: as above.
    check(unsafe { libc::chroot(here) })?;
    std::env::set_current_dir("/")
}

/// Opens a path of this namespace as a handle.
pub fn handle(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = File::options().read(true).custom_flags(libc::O_PATH).open(path)?;
    Ok(file.into())
}

/// Makes a file appear at another one.
pub fn bind(source: &CStr, target: &CStr) -> io::Result<()> {
    // SAFETY: both strings end in zero and outlive the call; type and data may be null for a bind mount.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), std::ptr::null(), libc::MS_BIND, std::ptr::null()) })
        .map(drop)
}
