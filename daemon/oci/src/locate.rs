//! Where the helper `nomadd-image` is: named by the environment, or beside this program.

use std::env;
use std::path::{Path, PathBuf};

const NAME: &str = "nomadd-image";

/// Finds the helper, or says where it was looked for.
pub fn find() -> Result<PathBuf, Vec<PathBuf>> {
    let candidates = match env::var_os("NOMADD_IMAGE") {
        Some(named) => vec![PathBuf::from(named)],
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
