//! Namespaces, capabilities and what else bounds a process, each system call behind one safe function.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::check;

/// Leaves the shared namespaces of these kinds (`CLONE_NEW*`) for new ones.
pub fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: an integer; this process has one thread.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Joins namespaces: of the kind of a namespace's file, or those kinds of a process's.
pub fn join(fd: impl AsFd, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: integers; this process has one thread.
    check(unsafe { libc::setns(fd.as_fd().as_raw_fd(), flags) }).map(drop)
}

/// A descriptor of a process.
pub fn process(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: integers; the new descriptor has no other owner.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::syscall(libc::SYS_pidfd_open, pid, 0) as libc::c_int)?)) }
}

/// Sets the host's name in this namespace.
pub fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length are of one string.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// Switches the loopback device of this network namespace on.
pub fn loopback_up() -> io::Result<()> {
    // SAFETY: integers; the new descriptor has no other owner.
    let socket =
        unsafe { OwnedFd::from_raw_fd(check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?) };
    // SAFETY: ifreq is plain data for which zero is valid, and the pointer is to a live local of the type that these
    // requests read and write.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
            *place = *byte as libc::c_char;
        }
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &mut request))?;
        request.ifr_ifru.ifru_flags |= (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request)).map(drop)
    }
}

/// Takes a capability out of what this process and its children can ever have.
pub fn drop_from_bounding(capability: u32) -> io::Result<()> {
    // SAFETY: prctl with integers.
    match check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) }) {
        // The kernel has no such capability: nobody can have it.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        result => result.map(drop),
    }
}

/// Has a change of user keep the permitted capabilities.
pub fn keep_capabilities() -> io::Result<()> {
    // SAFETY: prctl with integers.
    check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) }).map(drop)
}

/// Sets the capabilities of this process, as bits by their numbers.
pub fn set_capabilities(permitted: u64, inheritable: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let half = |bits: u64, shift: u32| (bits >> shift) as u32;
    // Two of the kernel's struct __user_cap_data_struct: effective, permitted, inheritable of the low and high half.
    let data = [0, 32].map(|shift| [half(permitted, shift), half(permitted, shift), half(inheritable, shift)]);
    // SAFETY: both arrays have the layout that version 3 asks for and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) } as libc::c_int).map(drop)
}

/// Has programs that this process becomes keep a capability that is permitted and inheritable.
pub fn raise_ambient(capability: u32) -> io::Result<()> {
    let (raise, capability) = (libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, libc::c_ulong::from(capability));
    // SAFETY: prctl with integers.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, capability, 0, 0) }).map(drop)
}

/// No program that this process becomes raises its rights.
pub fn no_new_privileges() -> io::Result<()> {
    // SAFETY: prctl with integers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// Keeps processes without all rights of this one from looking into it, until it becomes another program.
pub fn hide() {
    // SAFETY: prctl with integers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// Has the kernel ask this program before each system call of this process from now on.
pub fn filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let header = libc::sock_fprog { len: program.len() as libc::c_ushort, filter: program.as_ptr().cast_mut() };
    // SAFETY: the header points to a live program of the given length, which the kernel only reads.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &header) } as libc::c_int)
        .map(drop)
}

/// Becomes the program of a descriptor, with this process's environment; returns only an error.
pub fn become_descriptor(program: impl AsFd, argv: &[CString]) -> io::Error {
    let mut pointers: Vec<_> = argv.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let environment = [std::ptr::null::<libc::c_char>()];
    let (program, empty) = (program.as_fd().as_raw_fd(), c"".as_ptr());
    // SAFETY: the arrays end in null and hold pointers to strings that live until the call is over.
    unsafe {
        libc::syscall(libc::SYS_execveat, program, empty, pointers.as_ptr(), environment.as_ptr(), libc::AT_EMPTY_PATH)
    };
    io::Error::last_os_error()
}
