//! The executor's raw system calls, each behind one safe function. Nothing here knows about tasks.

pub mod mount;
pub mod rights;

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes an inherited descriptor; `None` where it is not open.
pub fn inherited(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl with F_SETFD takes plain integers; it fails on a descriptor that is not open.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).ok()?;
    // SAFETY: the descriptor is open, and main takes it once, before anything else could own it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes a socket at standard input as descriptor 3 and leaves /dev/null in its place, as the task will find it.
pub fn take_standard_input() -> io::Result<OwnedFd> {
    // SAFETY: called first thing in main, when no descriptor from 3 on has an owner in this process.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    // SAFETY: fcntl with integers; the new descriptor has no other owner.
    let control = unsafe { OwnedFd::from_raw_fd(check(libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3))?) };
    duplicate_to(File::options().read(true).write(true).open("/dev/null")?, 0)?;
    Ok(control)
}

/// Closes whatever else was inherited, from this descriptor on.
pub fn close_from(first: RawFd) {
    // SAFETY: called first thing in main, when no other descriptor has an owner in this process.
    unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, 0) };
}

/// Becomes a session leader; harmless where it is one already.
pub fn set_session() {
    // SAFETY: no arguments.
    unsafe { libc::setsid() };
}

/// Makes orphaned descendants children of this process, so that it can reap and kill them.
pub fn become_subreaper() {
    // SAFETY: prctl with integers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// Has the kernel kill this process when its parent dies.
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: prctl with integers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) }).map(drop)
}

/// Whether nobody holds the reading end of a pipe any more, by its writing end.
pub fn is_deserted(pipe: impl AsFd) -> bool {
    let mut entry = libc::pollfd { fd: pipe.as_fd().as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: the pointer is to one live entry.
    unsafe { libc::poll(&mut entry, 1, 0) > 0 && entry.revents & libc::POLLERR != 0 }
}

/// Blocks every signal.
pub fn block_signals() {
    // SAFETY: the set is initialised by sigfillset before it is read.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Waits for the next signal; all are blocked.
pub fn wait_for_signal() -> io::Result<i32> {
    // SAFETY: the set is initialised by sigfillset before it is read; null asks for no details.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&mut set);
        check(libc::sigwaitinfo(&set, std::ptr::null_mut()))
    }
}

/// Blocks every signal and returns the descriptor that reports them.
pub fn signal_descriptor() -> io::Result<File> {
    // SAFETY: the set is initialised by sigfillset before it is read; the new descriptor has no other owner.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
        let fd = check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(File::from(OwnedFd::from_raw_fd(fd)))
    }
}

/// The next pending signal's number.
pub fn next_signal(descriptor: &mut File) -> Option<i32> {
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    descriptor.read_exact(&mut info).ok()?;
    let (number, _) = info.split_first_chunk::<4>()?;
    Some(i32::from_ne_bytes(*number))
}

/// Unblocks all signals and gives each its default action, as a fresh program expects.
pub fn reset_signals() {
    // SAFETY: the set is initialised by sigemptyset before it is read; SIG_DFL needs no handler.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Waits until one of the descriptors is readable, the other writable, or the time is over; says which of the first are
/// ready, in the given order.
pub fn poll(
    descriptors: &[BorrowedFd<'_>],
    writable: Option<BorrowedFd<'_>>,
    timeout: Option<Duration>,
) -> io::Result<Vec<bool>> {
    let entry = |fd: &BorrowedFd<'_>, events| libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    let mut entries: Vec<_> = descriptors.iter().map(|fd| entry(fd, libc::POLLIN)).collect();
    entries.extend(writable.iter().map(|fd| entry(fd, libc::POLLOUT)));
    let millis = timeout.map_or(-1, |time| i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
    // SAFETY: pointer and length are of one live vector.
    match check(unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, millis) }) {
        Ok(_) => Ok(entries[..descriptors.len()].iter().map(|entry| entry.revents != 0).collect()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(vec![false; descriptors.len()]),
        Err(error) => Err(error),
    }
}

/// Sends datagrams of three parts each, without waiting; says how many were taken. None of them is too long.
pub fn send_all(socket: impl AsFd, datagrams: &[[&[u8]; 3]]) -> io::Result<usize> {
    let mut parts: Vec<[libc::iovec; 3]> = datagrams
        .iter()
        .map(|parts| parts.map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() }))
        .collect();
    let header = |parts: &mut [libc::iovec; 3]| {
        // SAFETY: a header is plain data for which zero is valid: no address, no control data.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        header.msg_hdr.msg_iov = parts.as_mut_ptr();
        header.msg_hdr.msg_iovlen = 3;
        header
    };
    let mut headers: Vec<libc::mmsghdr> = parts.iter_mut().map(header).collect();
    let (count, flags) = (headers.len() as libc::c_uint, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    // SAFETY: headers and parts are live vectors of that length, the parts point into slices that outlive the call, and
    // the kernel only reads them.
    check(unsafe { libc::sendmmsg(socket.as_fd().as_raw_fd(), headers.as_mut_ptr(), count, flags) })
        .map(|count| count as usize)
}

/// Waits until a descriptor is writable or the time is over.
pub fn wait_writable(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<()> {
    poll(&[], Some(fd), Some(timeout)).map(drop)
}

/// Makes reads of the descriptor return at once.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: fcntl with integers on a borrowed, open descriptor.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) }).map(drop)
}

/// Asks for a larger pipe, so that a burst of output does not wait for the disk; the kernel may refuse.
pub fn grow_pipe(fd: impl AsFd, bytes: i32) {
    // SAFETY: fcntl with integers on a borrowed, open descriptor.
    unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

/// Which side of a fork this is.
pub enum Fork {
    /// The parent, with the child's id.
    Parent(i32),
    /// The child.
    Child,
}

/// Forks; with a cgroup the child is born in it (kernels from 5.7 on), which spares the move; with flags (`CLONE_NEW*`)
/// in new namespaces.
pub fn fork(into_cgroup: Option<BorrowedFd<'_>>, flags: u64) -> io::Result<Fork> {
    if into_cgroup.is_none() && flags == 0 {
        // SAFETY: this process has one thread, so the child's copy is consistent and the child may allocate.
        return match check(unsafe { libc::fork() })? {
            0 => Ok(Fork::Child),
            pid => Ok(Fork::Parent(pid)),
        };
    }
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    // The fields of the kernel's struct clone_args, version 2 (88 bytes): flags, pidfd, child_tid, parent_tid,
    // exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup.
    let mut arguments = [0_u64; 11];
    arguments[4] = libc::SIGCHLD as u64;
    arguments[0] = flags;
    if let Some(cgroup) = into_cgroup {
        arguments[0] |= CLONE_INTO_CGROUP;
        arguments[10] = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child gets a copy of everything, as with fork above. The array outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) };
    match check(result as libc::c_int)? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// A child that ended.
pub struct Reaped {
    /// Its process id.
    pub pid: i32,
    /// Its exit code; 0 if a signal ended it.
    pub exit_code: i32,
    /// The signal that ended it, or 0.
    pub signal: i32,
    /// Its processor time and that of its reaped children.
    pub cpu: Duration,
    /// The largest resident memory of it or a reaped child, in bytes.
    pub peak: u64,
}

/// What is left of this process's children.
pub enum Children {
    /// One ended and was reaped.
    Ended(Reaped),
    /// All live.
    Running,
    /// There is none.
    None,
}

/// Reaps one child if one ended.
pub fn reap() -> Children {
    let mut status = 0;
    // SAFETY: rusage is plain data for which zero is valid; both pointers are to live locals.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let pid = libc::wait4(-1, &mut status, libc::WNOHANG | libc::__WALL, &mut usage);
        (pid, usage)
    };
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    match pid {
        0 => Children::Running,
        pid if pid > 0 => Children::Ended(Reaped {
            pid,
            exit_code: if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 0 },
            signal: if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 },
            cpu: time(usage.ru_utime) + time(usage.ru_stime),
            peak: usage.ru_maxrss as u64 * 1024,
        }),
        _ => Children::None,
    }
}

/// Takes on a user: groups, group, user, in the order that permission for the next step allows.
pub fn set_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: pointer and length are of one slice of gid_t, the rest are integers.
    unsafe {
        check(libc::setgroups(groups.len(), groups.as_ptr()))?;
        check(libc::setgid(gid))?;
        check(libc::setuid(uid)).map(drop)
    }
}

/// Sets a resource limit of this process.
pub fn set_rlimit(number: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the pointer is to a live local.
    check(unsafe { libc::setrlimit(number as _, &limit) }).map(drop)
}

/// Sets the file creation mask.
pub fn set_umask(mask: u32) {
    // SAFETY: an integer.
    unsafe { libc::umask(mask) };
}

/// Puts a descriptor in the place of another, open across exec.
pub fn duplicate_to(from: impl AsFd, to: RawFd) -> io::Result<()> {
    // SAFETY: called in a child about to exec, for the standard streams 0 to 2, which nothing owns there.
    check(unsafe { libc::dup2(from.as_fd().as_raw_fd(), to) }).map(drop)
}

/// Makes the terminal at standard input the controlling one of this session.
pub fn take_terminal() -> io::Result<()> {
    // SAFETY: an ioctl with integers.
    check(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }).map(drop)
}

/// Replaces this process by a program; returns only an error.
pub fn execute(program: &CString, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end in null and hold pointers to strings that live until the call is over.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends this process without running anything of the parent's copy.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit returns never and touches no memory.
    unsafe { libc::_exit(code) }
}

/// The user id at the other end of a unix socket.
pub fn peer_uid(socket: impl AsFd) -> io::Result<u32> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the pointers are to live locals and the length is the buffer's.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &mut length,
        )
    })?;
    Ok(credentials.uid)
}

/// This process's user id.
pub fn user_id() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::geteuid() }
}
