//! Where the `nomadd-executor` binary is: named by the operator, or beside this program.

use std::env;
use std::path::{Path, PathBuf};

/// Finds the executor, or says where it was looked for.
pub fn find(configured: Option<&Path>) -> Result<PathBuf, Vec<PathBuf>> {
    let named = configured.map(Path::to_owned).or_else(|| env::var_os("NOMADD_EXECUTOR").map(PathBuf::from));
    nomadd_runtime::program::find("nomadd-executor", named)
}
