//! What is told while it captures: lines, and on a terminal one more line that is redrawn.

use std::io::Write as _;
use std::time::Duration;

/// How it is told.
pub(super) struct Progress {
    terminal: bool,
    verbose: bool,
}

impl Progress {
    /// Plain lines unless standard output is a terminal.
    pub(super) fn new(terminal: bool, verbose: bool) -> Self {
        Self { terminal, verbose }
    }
    /// A line that stays.
    pub(super) fn line(&self, text: &str) {
        self.clear();
        println!("    {text}");
    }
    /// A line that stays with `-verbose`.
    pub(super) fn detail(&self, text: &str) {
        if self.verbose {
            self.line(text);
        }
    }
    /// The line that is redrawn.
    pub(super) fn status(&self, passed: Duration, of: Duration, files: usize) {
        if self.terminal {
            print!("\r\u{1b}[K    {}s of {}s, {files} files", passed.as_secs(), of.as_secs());
            // It is only for the eye.
            let _shown = std::io::stdout().flush();
        }
    }
    /// Takes that line away.
    pub(super) fn clear(&self) {
        if self.terminal {
            print!("\r\u{1b}[K");
        }
    }
}
