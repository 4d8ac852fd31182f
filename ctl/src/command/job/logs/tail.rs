//! The last lines of a log: servers know bytes only, so more are read than are shown.

use std::collections::VecDeque;
use std::time::Duration;

/// A line is reckoned as so many bytes.
const LINE: usize = 512;
/// So long without a line means that the log's present end is reached.
pub const QUIET: Duration = Duration::from_millis(150);

/// How many bytes are read for so many lines.
pub fn bytes(lines: usize) -> usize {
    lines.saturating_mul(LINE).max(LINE)
}

/// Keeps the last lines until the end is reached; passes everything on after that, or from the start when all is wanted.
#[derive(Debug)]
pub struct Tail {
    limit: Option<usize>,
    kept: VecDeque<String>,
}

impl Tail {
    /// The last so many lines, or all.
    pub fn new(limit: Option<usize>) -> Self {
        Self { limit, kept: VecDeque::new() }
    }
    /// Whether lines are held back.
    pub fn is_waiting(&self) -> bool {
        self.limit.is_some()
    }
    /// Takes a line; returns it when it can be shown at once.
    pub fn push(&mut self, line: String) -> Option<String> {
        let Some(limit) = self.limit else { return Some(line) };
        self.kept.push_back(line);
        if self.kept.len() > limit {
            self.kept.pop_front();
        }
        None
    }
    /// The end is reached: the lines held back; what follows is passed on.
    pub fn rest(&mut self) -> Vec<String> {
        self.limit = None;
        self.kept.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_held_back_until_the_end_is_reached() {
        let mut tail = Tail::new(Some(2));
        for line in ["a", "b", "c"] {
            assert_eq!(tail.push(line.to_owned()), None);
        }
        assert_eq!(tail.rest(), ["b", "c"]);
        assert_eq!(tail.push("d".to_owned()).as_deref(), Some("d"));
        assert_eq!(Tail::new(None).push("a".to_owned()).as_deref(), Some("a"));
    }
}
