//! What is told about a job file that cannot be used: place, sentence, source line, suggestion.
//!
//! `Problem` is the inner form (a span and words); `Diagnostic` is what callers see. The first line of a diagnostic has
//! the shape that Nomad prints.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::source::{File, Span};

/// One thing that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as it was named by the caller.
    pub file: String,
    /// Line, from 1; 0 where there is no place.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line that the place ends in.
    pub end_line: usize,
    /// The column after the place.
    pub end_column: usize,
    /// A few words.
    pub summary: String,
    /// A sentence.
    pub detail: String,
    /// The line of the file.
    pub source_line: String,
    /// What was probably meant, or what helps.
    pub suggestion: Option<String>,
}

impl Diagnostic {
    /// A diagnostic without a place in any text.
    pub fn without_place(file: &str, summary: &str, detail: String) -> Self {
        let (summary, file) = (summary.to_owned(), file.to_owned());
        Self {
            file,
            line: 0,
            column: 0,
            end_line: 0,
            end_column: 0,
            summary,
            detail,
            source_line: String::new(),
            suggestion: None,
        }
    }

    /// The first line: place, summary and detail, as Nomad prints them.
    pub fn headline(&self) -> String {
        let Self { file, line, column, end_line, end_column, summary, detail, .. } = self;
        if *line == 0 {
            format!("{file}: {summary}; {detail}")
        } else if line == end_line {
            format!("{file}:{line},{column}-{end_column}: {summary}; {detail}")
        } else {
            format!("{file}:{line},{column}-{end_line},{end_column}: {summary}; {detail}")
        }
    }

    pub(crate) fn at(file: &File<'_>, problem: Problem) -> Self {
        let Details { span, summary, detail, suggestion } = *problem.0;
        let ((line, column), (end_line, end_column)) = (file.place(span.start), file.place(span.end));
        let mut source_line = file.line(line).to_owned();
        if source_line.len() > LINE_LIMIT {
            source_line = source_line.chars().take(LINE_LIMIT).collect();
        }
        let (file, summary) = (file.name.to_owned(), summary.into_owned());
        Self { file, line, column, end_line, end_column, summary, detail, source_line, suggestion }
    }
}

/// Longer source lines are cut before they are shown.
const LINE_LIMIT: usize = 400;

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        if self.line != 0 {
            let number = self.line.to_string();
            let indent: String =
                self.source_line.chars().take(self.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let indent = format!("{indent:<width$}", width = (self.column - 1).min(LINE_LIMIT));
            let line_end = self.source_line.chars().count() + 1;
            let end = if self.line == self.end_line { self.end_column } else { line_end };
            let carets = "^".repeat(end.min(line_end).saturating_sub(self.column).max(1));
            let blank = " ".repeat(number.len());
            write!(f, "\n  {number} | {}\n  {blank} | {indent}{carets}", self.source_line)?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n  {suggestion}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(pub Vec<Diagnostic>);

impl std::error::Error for Errors {}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl Errors {
    /// One line for each, without source lines: what the API answers.
    pub fn headlines(&self) -> String {
        self.0.iter().map(Diagnostic::headline).collect::<Vec<_>>().join("\n")
    }
}

impl From<Diagnostic> for Errors {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

/// A thing that is wrong at a span of the text at hand.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Details>);

#[derive(Clone, Debug)]
pub(crate) struct Details {
    pub span: Span,
    pub summary: Cow<'static, str>,
    pub detail: String,
    pub suggestion: Option<String>,
}

impl Deref for Problem {
    type Target = Details;
    fn deref(&self) -> &Details {
        &self.0
    }
}

impl DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}

pub(crate) type Outcome<T> = Result<T, Problem>;

impl Problem {
    pub fn new(span: Span, summary: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self(Box::new(Details { span, summary: summary.into(), detail: detail.into(), suggestion: None }))
    }

    /// Adds a line that helps.
    pub fn hint(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

/// More known names than this are not compared.
const CANDIDATES: usize = 200;

/// The known name that a misspelt one probably means: at most two edits away, and not a wholly different word.
pub(crate) fn nearest<'n>(wrong: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if wrong.len() > 64 {
        return None;
    }
    let wrong = wrong.to_lowercase();
    let length = wrong.chars().count();
    known
        .into_iter()
        .take(CANDIDATES)
        .filter(|name| name.len() <= 64)
        .map(|name| (strsim::osa_distance(&wrong, name), name))
        .filter(|(edits, name)| *edits <= 2 && *edits < name.chars().count().min(length).max(1))
        .min()
        .map(|(_, name)| name)
}
