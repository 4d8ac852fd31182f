//! The host's name, its kernel and its distribution.

use nomadd_model::{Node, Text};

use crate::config::ClientConfig;

/// Adds what the system says of itself.
pub fn fingerprint(node: &mut Node, config: &ClientConfig) {
    let system = rustix::system::uname();
    let text = |value: &std::ffi::CStr| value.to_string_lossy().into_owned();
    let hostname = text(system.nodename());
    node.name = Text::from(if config.name.is_empty() { &hostname } else { &config.name });
    super::set(node, "unique.hostname", &hostname);
    super::set(node, "kernel.name", text(system.sysname()).to_lowercase());
    super::set(node, "kernel.version", text(system.release()));
    super::set(node, "kernel.arch", text(system.machine()));
    if let Some(version) = nomadd_supervisor::landlock_version() {
        super::set(node, "kernel.landlock", format!("v{version}"));
    }
    let release = super::read("/etc/os-release");
    let field = |key: &str| {
        let mut lines = release.lines();
        lines.find_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.trim_matches('"').to_owned()))
    };
    super::set(node, "os.name", field("ID").unwrap_or_else(|| "linux".to_owned()));
    // Debian's point release stands only here.
    let debian = super::read("/etc/debian_version");
    let point =
        debian.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) && field("ID").as_deref() == Some("debian");
    super::set(node, "os.version", if point { debian } else { field("VERSION_ID").unwrap_or_default() });
}
