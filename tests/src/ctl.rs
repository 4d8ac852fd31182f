//! Runs nomadctl as people do.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

use crate::agent::binary;

/// A finished command.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Finished {
    /// Panics with everything it said unless it succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.code == 0, "exit code {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.out, self.err);
        self.out
    }
    /// Panics unless it ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert!(self.code == code, "exit code {}, not {code}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.out, self.err);
        self
    }
}

/// Runs nomadctl with an agent's address, without the environment's own settings.
pub async fn ctl(address: &str, arguments: &[&str], folder: &Path) -> Finished {
    with_input(address, arguments, folder, "").await
}

/// The same with text on standard input.
pub async fn with_input(address: &str, arguments: &[&str], folder: &Path, input: &str) -> Finished {
    let mut command = tokio::process::Command::new(binary("nomadctl"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NOMAD_")) {
        command.env_remove(name);
    }
    let mut child = command
        .args(arguments)
        .env("NOMAD_ADDR", address)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("nomadctl starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).await.expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    Finished {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
