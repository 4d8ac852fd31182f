//! Where the programs are that stand beside the agent (`nomadd-executor`, `nomadd-image`).

use std::env;
use std::path::{Path, PathBuf};

/// Finds a program: the file that is named, or one of this name beside this program. Else all places it was looked for at.
pub fn find(name: &str, named: Option<PathBuf>) -> Result<PathBuf, Vec<PathBuf>> {
    let candidates = match named {
        Some(named) => vec![named],
        None => beside(&env::current_exe().unwrap_or_default(), name),
    };
    match candidates.iter().find(|path| path.is_file()) {
        Some(found) => Ok(std::path::absolute(found).unwrap_or_else(|_| found.clone())),
        None => Err(candidates),
    }
}

/// Beside a program; one directory up (cargo keeps test programs in `deps/`); where a package keeps helpers.
fn beside(program: &Path, name: &str) -> Vec<PathBuf> {
    let directory = program.parent().unwrap_or(Path::new("/"));
    let up = directory.parent().unwrap_or(Path::new("/"));
    vec![directory.join(name), up.join(name), up.join("libexec/nomadd").join(name), up.join("lib/nomadd").join(name)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_and_a_build_tree_are_both_searched() {
        let places = beside(Path::new("/usr/bin/nomadd"), "nomadd-executor");
        assert!(places.contains(&"/usr/bin/nomadd-executor".into()));
        assert!(places.contains(&"/usr/libexec/nomadd/nomadd-executor".into()));
        assert!(beside(Path::new("/t/debug/deps/x-1"), "nomadd-image").contains(&"/t/debug/nomadd-image".into()));
    }

    #[test]
    fn a_named_file_is_the_only_place() {
        let missing = PathBuf::from("/nowhere/nomadd-executor");
        assert_eq!(find("nomadd-executor", Some(missing.clone())), Err(vec![missing]));
        assert_eq!(find("x", Some("/proc/self/exe".into())), Ok("/proc/self/exe".into()));
    }
}
