//! What networks this host can give: the versions of its plugins, whether it has bridges, the operator's own networks.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::plugin;

/// Plugins that say nothing in this time are not there.
const LIMIT: Duration = Duration::from_secs(5);
/// How many programs of all folders are asked.
const MOST: usize = 64;

/// The version of each plugin by name: what it says of itself, or the newest protocol that it speaks, which its version is not
/// below (Debian builds them without a version).
pub async fn plugins(folders: &[PathBuf]) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for (name, path) in programs(folders) {
        let mut command = Command::new(&path);
        command.arg("--version");
        let Ok(said) = plugin::run(command, &path, b"", LIMIT).await else { continue };
        let text = [said.answer, said.complaint].concat();
        if let Some(version) = version(&String::from_utf8_lossy(&text)) {
            versions.insert(name, version);
        }
    }
    versions
}

/// The programs in the folders; of two with one name the first counts.
fn programs(folders: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
        let is_program = fs::metadata(entry.path())
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
        if let (true, Ok(name)) = (is_program && found.len() < MOST, entry.file_name().into_string()) {
            found.entry(name).or_insert_with(|| entry.path());
        }
    }
    found
}

/// The version in what a plugin says: `CNI bridge plugin v1.1.1`, or the last of the protocol versions.
fn version(text: &str) -> Option<String> {
    let number = |word: &str| {
        let plain = word.trim_matches(',').trim_start_matches('v');
        let is_one = plain.starts_with(|first: char| first.is_ascii_digit()) && plain.contains('.');
        is_one.then(|| plain.to_owned())
    };
    let own = text.lines().find(|line| line.starts_with("CNI ") && line.contains(" plugin "));
    let own = own.and_then(|line| number(line.split_ascii_whitespace().last()?));
    own.or_else(|| {
        let line = text.lines().find(|line| line.contains("protocol versions supported"))?;
        number(line.split_ascii_whitespace().last()?)
    })
}

/// Whether the kernel has bridges, loaded or to be loaded.
pub fn has_bridges() -> bool {
    if Path::new("/sys/module/bridge").exists() || Path::new("/proc/sys/net/bridge").exists() {
        return true;
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let listed = |file: &str| {
        let text = fs::read_to_string(format!("/lib/modules/{release}/{file}")).unwrap_or_default();
        text.lines().any(|line| line.split(':').next().is_some_and(|path| path.contains("/bridge.ko")))
    };
    listed("modules.builtin") || listed("modules.dep")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_version_is_its_own_or_that_of_its_protocol() {
        for (text, expected) in [
            ("CNI bridge plugin v1.1.1\nCNI protocol versions supported: 0.1.0, 1.0.0\n", Some("1.1.1")),
            (
                "CNI bridge plugin version unknown\nCNI protocol versions supported: 0.1.0, 0.4.0, 1.0.0\n",
                Some("1.0.0"),
            ),
            ("CNI portmap plugin v0.8.6", Some("0.8.6")),
            ("usage: something else", None),
            ("", None),
        ] {
            assert_eq!(version(text).as_deref(), expected, "{text}");
        }
    }
}
