//! Where the `nomadd-executor` binary is: named by the operator, or beside this program.

use std::env;
use std::path::{Path, PathBuf};

const NAME: &str = "nomadd-executor";

/// Finds the executor, or says where it was looked for.
pub fn find(configured: Option<&Path>) -> Result<PathBuf, Vec<PathBuf>> {
    let named = configured.map(Path::to_owned).or_else(|| env::var_os("NOMADD_EXECUTOR").map(PathBuf::from));
    let candidates = match named {
        Some(named) => vec![named],
        None => beside(&env::current_exe().unwrap_or_default()),
    };
    match candidates.iter().find(|path| path.is_file()) {
        Some(found) => Ok(std::path::absolute(found).unwrap_or_else(|_| found.clone())),
        None => Err(candidates),
    }
}

/// Beside a program; one directory up (cargo keeps test programs in `deps/`); where a package keeps helpers.
fn beside(program: &Path) -> Vec<PathBuf> {
    let directory = program.parent().unwrap_or(Path::new("/"));
    let up = directory.parent().unwrap_or(Path::new("/"));
    vec![directory.join(NAME), up.join(NAME), up.join("libexec/nomadd").join(NAME), up.join("lib/nomadd").join(NAME)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_and_a_build_tree_are_both_searched() {
        let places = beside(Path::new("/usr/bin/nomadd"));
        assert!(places.contains(&"/usr/bin/nomadd-executor".into()));
        assert!(places.contains(&"/usr/libexec/nomadd/nomadd-executor".into()));
        assert!(beside(Path::new("/t/debug/deps/x-1")).contains(&"/t/debug/nomadd-executor".into()));
    }
}
