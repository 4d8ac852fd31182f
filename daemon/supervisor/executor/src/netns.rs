//! `nomadd-executor netns PATH`: makes a network namespace whose loopback device is up and leaves it mounted at a new file.
//!
//! The daemon has threads and must never change its own namespaces. This process ends at once: the mount holds the namespace.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::sys::{mount, rights};

/// The word after which the path stands.
pub const ARGUMENT: &str = "netns";

/// Makes it; the step that failed, in words.
pub fn make(path: &Path) -> Result<(), String> {
    let step = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let target = CString::new(path.as_os_str().as_bytes()).map_err(|_| "a zero byte in the path".to_owned())?;
    rights::unshare(libc::CLONE_NEWNET).map_err(step("unshare"))?;
    rights::loopback_up().map_err(step("raise lo"))?;
    File::options().write(true).create_new(true).open(path).map_err(step("create the file"))?;
    let mounted = mount::bind(c"/proc/self/ns/net", &target).map_err(step("mount"));
    if mounted.is_err() {
        drop(fs::remove_file(path));
    }
    mounted
}
