//! The supervisor's raw system calls, each behind one safe function: spawn without fork, process descriptors,
//! pseudo-terminals, the user database.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use tokio::io::unix::AsyncFd;

use crate::spec::Rlimit;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn code(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Starts a program with an empty environment, no signal blocked or ignored, in `/`, and with the given descriptors as
/// its 0, 1, 2 … (`None` is /dev/null). posix_spawn shares memory until the exec: its cost does not grow with the
/// daemon's. Returns the process id, a child of this process.
pub fn spawn(program: &Path, arguments: &[&str], descriptors: &[Option<&OwnedFd>]) -> io::Result<i32> {
    let program = c_string(program.as_os_str().as_bytes())?;
    let arguments = arguments.iter().map(|text| c_string(text.as_bytes())).collect::<io::Result<Vec<_>>>()?;
    let mut argv: Vec<_> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
    argv.push(std::ptr::null_mut());
    let env = [std::ptr::null_mut()];
    // Numbers above all targets, so that no dup2 hits a source that is still needed.
    let sources = descriptors
        .iter()
        .map(|fd| fd.map(|fd| duplicate_above(fd, descriptors.len() as i32)).transpose())
        .collect::<io::Result<Vec<_>>>()?;
    // SAFETY: both structures are initialised before use and destroyed after; all strings and arrays outlive the call.
    unsafe {
        let mut actions = std::mem::zeroed();
        code(libc::posix_spawn_file_actions_init(&mut actions))?;
        let mut attributes = std::mem::zeroed();
        if let Err(error) = code(libc::posix_spawnattr_init(&mut attributes)) {
            libc::posix_spawn_file_actions_destroy(&mut actions);
            return Err(error);
        }
        let mut pid = 0;
        let result = (|| {
            for (target, source) in sources.iter().enumerate() {
                let target = target as i32;
                match source {
                    Some(fd) => code(libc::posix_spawn_file_actions_adddup2(&mut actions, fd.as_raw_fd(), target))?,
                    None => {
                        let null = c"/dev/null".as_ptr();
                        code(libc::posix_spawn_file_actions_addopen(&mut actions, target, null, libc::O_RDWR, 0))?;
                    }
                }
            }
            code(libc::posix_spawn_file_actions_addchdir_np(&mut actions, c"/".as_ptr()))?;
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            code(libc::posix_spawnattr_setsigmask(&mut attributes, &set))?;
            libc::sigfillset(&mut set);
            code(libc::posix_spawnattr_setsigdefault(&mut attributes, &set))?;
            let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
            code(libc::posix_spawnattr_setflags(&mut attributes, flags as libc::c_short))?;
            code(libc::posix_spawn(&mut pid, program.as_ptr(), &actions, &attributes, argv.as_ptr(), env.as_ptr()))
        })();
        libc::posix_spawnattr_destroy(&mut attributes);
        libc::posix_spawn_file_actions_destroy(&mut actions);
        result.map(|()| pid)
    }
}

fn duplicate_above(fd: &OwnedFd, least: i32) -> io::Result<OwnedFd> {
    // SAFETY: fcntl on an open descriptor; the new one has no other owner.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least))?)) }
}

/// A descriptor that becomes readable when the process ends. For a child of ours the number cannot be another's.
pub fn process_descriptor(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: integers only; the new descriptor has no other owner.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::syscall(libc::SYS_pidfd_open, pid, 0) as i32)?)) }
}

/// Has the reactor watch a descriptor.
pub fn watch(fd: OwnedFd) -> io::Result<AsyncFd<File>> {
    // SAFETY: a File owns its descriptor, gives the same one each time and closes it only when it is dropped.
    unsafe { AsyncFd::register(File::from(fd)) }.map_err(io::Error::from)
}

/// How a child ended: (exit code, signal or 0). `None` while it lives.
pub fn reap(pid: i32) -> io::Result<Option<(i32, i32)>> {
    wait_for(pid, libc::WNOHANG)
}

/// Waits for a child that is about to end.
pub fn wait(pid: i32) -> io::Result<Option<(i32, i32)>> {
    wait_for(pid, 0)
}

fn wait_for(pid: i32, flags: i32) -> io::Result<Option<(i32, i32)>> {
    let mut status = 0;
    // SAFETY: the pointer is to a live local.
    match check(unsafe { libc::waitpid(pid, &mut status, flags) })? {
        0 => Ok(None),
        _ if libc::WIFSIGNALED(status) => Ok(Some((0, libc::WTERMSIG(status)))),
        _ => Ok(Some((libc::WEXITSTATUS(status), 0))),
    }
}

/// A pseudo-terminal: (the side that we hold, not blocking; the side of the process).
pub fn open_terminal(rows: u16, columns: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut master, mut slave) = (0, 0);
    let size = window(rows, columns);
    // SAFETY: the pointers are to live locals, null means no name and no settings; the new descriptors have no owner.
    let (master, slave) = unsafe {
        check(libc::openpty(&mut master, &mut slave, std::ptr::null_mut(), std::ptr::null_mut(), &size))?;
        (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    };
    for fd in [&master, &slave] {
        // SAFETY: fcntl with integers on an open descriptor.
        check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    // SAFETY: as above.
    let flags = check(unsafe { libc::fcntl(master.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(master.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok((master, slave))
}

/// Tells a terminal its size.
pub fn resize_terminal(master: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = window(rows, columns);
    // SAFETY: the pointer is to a live local of the type that this ioctl reads.
    check(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &size) }).map(drop)
}

fn window(rows: u16, columns: u16) -> libc::winsize {
    libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Whom this process acts as.
pub fn user_id() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::geteuid() }
}

/// The resource limits of this process, all of them.
pub fn resource_limits() -> Vec<Rlimit> {
    let read = |number: u32| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointer is to a live local.
        check(unsafe { libc::getrlimit(number as _, &mut limit) }).ok()?;
        Some(Rlimit { number, soft: limit.rlim_cur, hard: limit.rlim_max })
    };
    (0..16).filter_map(read).collect()
}

/// Gives a terminal to the user that will work in it.
pub fn give_to(fd: impl AsFd, uid: u32) -> io::Result<()> {
    std::os::unix::fs::fchown(fd, Some(uid), None)
}

/// One line of the user database.
pub struct UserEntry {
    pub name: OsString,
    pub uid: u32,
    pub gid: u32,
    pub home: PathBuf,
}

/// The user of a name.
pub fn user_by_name(name: &str) -> io::Result<Option<UserEntry>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    // SAFETY: the arguments are those that `user` passes through, valid for the call.
    user(|entry, buffer, length, result| unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, length, result) })
}

/// The user of a number.
pub fn user_by_id(uid: u32) -> io::Result<Option<UserEntry>> {
    // SAFETY: as in `user_by_name`.
    user(|entry, buffer, length, result| unsafe { libc::getpwuid_r(uid, entry, buffer, length, result) })
}

type Ask<'a, T> = dyn Fn(*mut T, *mut libc::c_char, usize, *mut *mut T) -> libc::c_int + 'a;

fn user(
    ask: impl Fn(*mut libc::passwd, *mut libc::c_char, usize, *mut *mut libc::passwd) -> libc::c_int,
) -> io::Result<Option<UserEntry>> {
    // SAFETY: the entry was filled in by the call, and its strings are in the buffer that lives until they are copied.
    with_buffer(&ask, |entry| unsafe {
        UserEntry {
            name: OsString::from_vec(CStr::from_ptr(entry.pw_name).to_bytes().to_vec()),
            uid: entry.pw_uid,
            gid: entry.pw_gid,
            home: PathBuf::from(OsString::from_vec(CStr::from_ptr(entry.pw_dir).to_bytes().to_vec())),
        }
    })
}

/// The number of a group's name.
pub fn group_by_name(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    // SAFETY: the arguments are those that `with_buffer` passes through, valid for the call.
    let ask = |entry: *mut libc::group, buffer: *mut libc::c_char, length: usize, result: *mut *mut libc::group| unsafe {
        libc::getgrnam_r(name.as_ptr(), entry, buffer, length, result)
    };
    with_buffer(&ask, |entry| entry.gr_gid)
}

/// Asks the user database with a buffer that grows until the answer fits.
fn with_buffer<T, R>(ask: &Ask<'_, T>, take: impl Fn(&T) -> R) -> io::Result<Option<R>> {
    let mut buffer: Vec<libc::c_char> = vec![0; 1024];
    loop {
        // SAFETY: passwd and group are plain data for which zero is valid; `ask` gets pointers to live memory and its
        // length, and `result` points to `entry` or is null.
        unsafe {
            let mut entry: T = std::mem::zeroed();
            let mut result = std::ptr::null_mut();
            match ask(&mut entry, buffer.as_mut_ptr(), buffer.len(), &mut result) {
                libc::ERANGE if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 4, 0),
                libc::EINTR => {}
                // The C library's words for "no such user".
                0 | libc::ENOENT | libc::ESRCH if result.is_null() => return Ok(None),
                0 => return Ok(Some(take(&entry))),
                error => return Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

/// The supplementary groups of a user, its primary one included.
pub fn groups_of(name: &OsStr, gid: u32) -> io::Result<Vec<u32>> {
    let name = c_string(name.as_bytes())?;
    let mut groups = vec![0; 64];
    loop {
        let mut count = groups.len() as libc::c_int;
        // SAFETY: the array has room for `count` numbers; the call says how many it wrote or would need.
        let result = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if result >= 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        if count <= groups.len() {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        groups.resize(count, 0);
    }
}

/// Whether the kernel mounts by descriptors, as containers are built here.
pub fn mounts_by_descriptor() -> bool {
    // SAFETY: the kernel refuses the descriptor before it reads anything.
    let result = unsafe {
        let none = std::ptr::null::<libc::c_void>();
        libc::syscall(libc::SYS_mount_setattr, -1, none, 0, none, 0_usize)
    };
    result >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS)
}

/// The version of the kernel's Landlock interface; `None` where the kernel has none or it is switched off.
pub fn landlock_version() -> Option<u32> {
    /// Asks for the version instead of making a ruleset.
    const VERSION: libc::c_ulong = 1;
    // SAFETY: with this flag the kernel reads no attribute and makes no descriptor.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION) };
    u32::try_from(version).ok().filter(|version| *version > 0)
}
