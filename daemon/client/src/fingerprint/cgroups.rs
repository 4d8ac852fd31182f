//! Which version of cgroups limits tasks on this host.

use std::path::Path;

use nomadd_model::Node;

/// Adds `os.cgroups.version`: 2 when the unified hierarchy has the controllers, 1 when older ones have.
pub fn fingerprint(node: &mut Node) {
    let unified = super::read("/sys/fs/cgroup/cgroup.controllers");
    let version = if unified.split_ascii_whitespace().any(|controller| controller == "memory") {
        "2"
    } else if Path::new("/sys/fs/cgroup/memory").is_dir() || Path::new("/sys/fs/cgroup/cpu").is_dir() {
        "1"
    } else {
        ""
    };
    super::set(node, "os.cgroups.version", version);
}
