//! `nomadd doctor`: whether this host can run an agent and its tasks, and how to repair what is missing. Works with and without a
//! running agent; changes nothing but a small file that it writes and removes to time the disk.
//!
//! `gather` looks at the host, `judge` decides (pure), `show` writes. Exit codes: 0 well (advice does not count), 1 there are
//! problems, 2 something could not be looked at.

mod facts;
mod gather;
mod judge;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

pub use show::Form;

/// Where packages put the configuration.
const USUAL: &str = "/etc/nomad.d";

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Files and folders of the agent's configuration; the usual place when there are none.
    pub files: Vec<PathBuf>,
    /// In which form the answer is written.
    pub form: Form,
}

/// Looks, judges, writes.
pub fn run(options: &Options) -> ExitCode {
    let mut files = options.files.clone();
    if files.is_empty() && PathBuf::from(USUAL).exists() {
        files.push(USUAL.into());
    }
    let facts = gather::everything(&files);
    let findings = judge::judge(&facts);
    show::write(&findings, options.form);
    ExitCode::from(judge::exit_code(&findings))
}
