//! Runs nomadctl as people do.

use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};

use tokio::io::AsyncWriteExt as _;

use crate::agent::binary;
use crate::wait::until;

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

impl From<std::process::Output> for Finished {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Finished {
    /// Panics with everything it said unless it succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.code == 0, "exit code {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.out, self.err);
        self.out
    }
    /// The rows of the table that it printed; none when it printed none.
    pub fn rows(&self, head: &str) -> Vec<std::collections::BTreeMap<String, String>> {
        if self.out.lines().any(|line| line.starts_with(head)) { table(&self.out, head) } else { Vec::new() }
    }
    /// Panics unless it ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert!(
            self.code == code,
            "exit code {}, not {code}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.out,
            self.err
        );
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
    output.into()
}

/// A command that runs on while the test does other things; killed when dropped.
pub struct Following {
    child: Child,
    out: PathBuf,
}

impl Following {
    pub(crate) fn start(address: &str, arguments: &[&str], folder: &Path, name: &str) -> Self {
        let out = folder.join(format!("{name}.out"));
        let file = |path: &Path| std::fs::File::create(path).expect("a file for its output");
        let child = std::process::Command::new(binary("nomadctl"))
            .args(arguments)
            .env("NOMAD_ADDR", address)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file(&out))
            .stderr(file(&folder.join(format!("{name}.err"))))
            .spawn()
            .expect("nomadctl starts");
        Self { child, out }
    }
    /// What it printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }
    /// Waits until it has printed a text.
    pub async fn prints(&self, text: &str) {
        until(&format!("{text:?} is printed"), || async {
            let printed = self.printed();
            if printed.contains(text) { Ok(()) } else { Err(printed) }
        })
        .await;
    }
    /// Ctrl-C.
    pub fn interrupt(&self) {
        let sent = std::process::Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }
    /// Waits for its end.
    pub async fn ends(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The rows of a table as Nomad prints them: columns are separated by two spaces or more; the header is the line that begins with `head`.
#[track_caller]
pub fn table(text: &str, head: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(head));
    let header = lines.next().unwrap_or_else(|| panic!("no table that begins with {head:?} in:\n{text}"));
    let begins = |at: &usize| *at == 0 || (header[..*at].ends_with("  ") && !header[*at..].starts_with(' '));
    let starts: Vec<usize> = (0..header.len()).filter(begins).collect();
    let cell = |line: &str, column: usize| {
        let end = starts.get(column + 1).copied().unwrap_or(usize::MAX);
        line.chars().skip(starts[column]).take(end - starts[column]).collect::<String>().trim().to_owned()
    };
    let row = |line: &str| (0..starts.len()).map(|column| (cell(header, column), cell(line, column))).collect();
    lines.take_while(|line| !line.trim().is_empty()).map(row).collect()
}

/// The value behind `key = `, or `key: `, in a text.
#[track_caller]
pub fn value(text: &str, key: &str) -> String {
    let found = text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix(key)?.trim_start();
        rest.strip_prefix('=').or_else(|| rest.strip_prefix(':')).map(|value| value.trim().to_owned())
    });
    found.unwrap_or_else(|| panic!("no {key:?} in:\n{text}"))
}
