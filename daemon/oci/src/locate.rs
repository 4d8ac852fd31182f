//! Where the helper `nomadd-image` is: named by the environment, or beside this program.

use std::env;
use std::path::PathBuf;

/// Finds the helper, or says where it was looked for.
pub fn find() -> Result<PathBuf, Vec<PathBuf>> {
    nomadd_runtime::program::find("nomadd-image", env::var_os("NOMADD_IMAGE").map(PathBuf::from))
}
