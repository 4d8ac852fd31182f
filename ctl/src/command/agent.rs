//! `nomadctl agent …` and `nomadctl config …` are nomadd's: this replaces the process by it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Replaces this process by `nomadd COMMAND ARGUMENTS…`; returns only when that fails.
pub fn exec(command: &str, arguments: &[String]) -> ExitCode {
    let program = beside_this().unwrap_or_else(|| PathBuf::from("nomadd"));
    let error = Command::new(&program).arg(command).args(arguments).exec();
    eprintln!(
        "Error starting {}: {error}: install nomadd beside {} or in a folder of PATH",
        program.display(),
        std::env::current_exe().unwrap_or_default().display()
    );
    ExitCode::FAILURE
}

/// nomadd in the folder of this program (links resolved).
fn beside_this() -> Option<PathBuf> {
    let this = std::env::current_exe().ok()?;
    let found = this.parent().map(Path::to_owned)?.join("nomadd");
    found.is_file().then_some(found)
}
