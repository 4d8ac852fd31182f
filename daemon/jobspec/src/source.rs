//! A text that is being read, and places in it.
//!
//! Spans are byte ranges; lines and columns (both from 1, columns in characters) are made only when somebody looks.

use std::cell::OnceCell;

use unicode_segmentation::UnicodeSegmentation as _;

/// A byte range in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end.max(start) as u32 }
    }
    /// From the start of this span to the end of another.
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end.max(self.start) }
    }
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self::new(range.start, range.end)
    }
}

/// A named text with its line starts.
pub struct File<'a> {
    pub name: &'a str,
    pub text: &'a str,
    lines: OnceCell<Lines>,
}

struct Lines {
    starts: Vec<u32>,
    /// In lines that are very long: places on the way, with their columns. A whole file may be one line.
    marks: Vec<(u32, u32)>,
}

/// How far apart the places on the way are, and how long a line must be to have some, in bytes.
const MARK: usize = 2_048;

impl Lines {
    fn of(text: &str) -> Self {
        let mut lines = Self { starts: Vec::new(), marks: Vec::new() };
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            lines.starts.push(start as u32);
            if line.len() > MARK {
                let mut next = MARK;
                for (column, (at, _)) in line.grapheme_indices(true).enumerate() {
                    if at >= next {
                        lines.marks.push(((start + at) as u32, column as u32));
                        next = at + MARK;
                    }
                }
            }
            start += line.len();
        }
        if text.is_empty() || text.ends_with('\n') {
            lines.starts.push(start as u32);
        }
        lines
    }
}

impl<'a> File<'a> {
    pub fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, lines: OnceCell::new() }
    }

    fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| Lines::of(self.text))
    }

    /// Line and column of a byte offset.
    pub fn place(&self, offset: u32) -> (usize, usize) {
        let offset = self.floor(offset);
        let Lines { starts, marks } = self.lines();
        let line = starts.partition_point(|start| *start as usize <= offset);
        let start = starts.get(line.wrapping_sub(1)).map_or(0, |start| *start as usize);
        let mark =
            marks.partition_point(|(at, _)| *at as usize <= offset).checked_sub(1).and_then(|index| marks.get(index));
        let (from, before) = match mark {
            Some((at, column)) if *at as usize > start => (*at as usize, *column as usize),
            _ => (start, 0),
        };
        (line, before + self.text.get(from..offset).unwrap_or_default().graphemes(true).count() + 1)
    }

    /// The text of a line, without its end.
    pub fn line(&self, line: usize) -> &'a str {
        let start = self.lines().starts.get(line.wrapping_sub(1)).map_or(0, |start| *start as usize);
        let rest = self.text.get(start..).unwrap_or_default();
        rest.split('\n').next().unwrap_or_default().trim_end_matches('\r')
    }

    /// The text of a span.
    pub fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// `file:line,column-column`, as Nomad names a place.
    pub fn name_span(&self, span: Span) -> String {
        let ((line, column), (end_line, end_column)) = (self.place(span.start), self.place(span.end));
        if line == end_line {
            format!("{}:{line},{column}-{end_column}", self.name)
        } else {
            format!("{}:{line},{column}-{end_line},{end_column}", self.name)
        }
    }

    fn floor(&self, offset: u32) -> usize {
        let mut offset = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}
