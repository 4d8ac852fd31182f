//! This program's terminal: raw while a session runs, as before afterwards.

use std::io::{stdin, stdout};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// A raw terminal; dropping it restores what was before.
#[derive(Debug)]
pub struct Raw(Termios);

impl Raw {
    /// Makes the terminal of standard input raw; `None` when that cannot be.
    pub fn enter() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody to tell when even that fails.
        let _failed = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// Rows and columns of the terminal; 24 by 80 when there is none.
pub fn size() -> (i64, i64) {
    match tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (i64::from(size.ws_row), i64::from(size.ws_col)),
        _ => (24, 80),
    }
}
