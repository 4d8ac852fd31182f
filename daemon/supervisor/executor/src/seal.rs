//! Keeps a container from this program's file. A container's root that gets hold of `/proc/self/exe` of a process of ours
//! could write to the host's binary by it. So what will be in a container runs from a copy of the binary's mount that can
//! only be read: the kernel refuses the write whatever the container may do.
//!
//! First thing in `main`, for processes that are started under the name that asks for it.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nomadd_executor::SEALED_NAME;

use crate::sys::mount::{self, Extent};
use crate::sys::rights;

/// What this process is called afterwards.
const NAME: &str = "nomadd-executor";

/// Becomes the same program from a read-only mount; returns where that is not asked for, or not possible.
pub fn seal() -> io::Result<()> {
    let mut arguments = std::env::args_os();
    if arguments.next().is_none_or(|name| name != SEALED_NAME) {
        return Ok(());
    }
    let own = Path::new("/proc/self/exe");
    let copy = mount::copy_path(own, Extent::One)?;
    mount::set(&copy, mount::READ_ONLY, 0, Extent::One)?;
    let argv = std::iter::once(NAME.into()).chain(arguments).map(|argument| CString::new(argument.into_vec()));
    let argv: Vec<CString> = argv.collect::<Result<_, _>>()?;
    Err(rights::become_descriptor(copy, &argv))
}
