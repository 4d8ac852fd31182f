//! Processes of this host, looked up in /proc: who runs, and whose environment names a folder.

use std::path::Path;

/// Whether a process with this id runs (a zombie does not).
pub fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses and may hold anything.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The ids of all processes.
pub fn all() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Processes whose environment contains a text, such as the path of an allocation.
pub fn with_environment(text: &str) -> Vec<u32> {
    let contains = |pid: &u32| contains(Path::new(&format!("/proc/{pid}/environ")), text.as_bytes());
    all().into_iter().filter(|pid| *pid != std::process::id()).filter(contains).collect()
}

/// Whether a file contains these bytes.
pub fn contains(path: &Path, needle: &[u8]) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    !needle.is_empty() && bytes.windows(needle.len()).any(|window| window == needle)
}

/// The processes that a process has started and not yet outlived.
pub fn children(parent: u32) -> Vec<u32> {
    all().into_iter().filter(|pid| self::parent(*pid) == Some(parent)).collect()
}

/// The value of a variable in a process's environment.
pub fn variable(pid: u32, name: &str) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let entries = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    entries.into_iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// The process that a process is a child of.
pub fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
