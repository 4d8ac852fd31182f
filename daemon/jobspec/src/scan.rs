//! A look at the brackets, quotes, comments and heredocs of a file before the parser sees it.
//!
//! The parser reports an unclosed bracket or quote where it gave up; people need the place where it was opened.
//! Here is also the first bound on nesting, so that nothing recursive ever meets a tower of brackets.

use crate::diagnostic::{Outcome, Problem};
use crate::source::Span;

pub(crate) const UNCLOSED_BLOCK: &str = "Unclosed configuration block";

/// Lines and items of one object: the parser compares each key with all before it.
const OBJECT_LIMIT: usize = 4_000;

/// Brackets, strings and templates inside each other.
const DEPTH_LIMIT: usize = 120;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    /// `{` of a block or object, with where its line begins and where the first word of that line is.
    Brace {
        line_start: usize,
        first: usize,
    },
    /// `{` of an object, with how many items it may still have.
    Object {
        left: usize,
    },
    Parenthesis,
    Bracket,
    /// `${` or `%{`.
    Template,
    Quote,
    /// The tag is text[start..end].
    Heredoc {
        tag: (usize, usize),
    },
}

struct Scanner<'a> {
    text: &'a [u8],
    source: &'a str,
    at: usize,
    open: Vec<(Opened, usize)>,
    /// Directives (`%{ if }`, `%{ for }`) that wait for their end: how many things were open, the word, where it is.
    directives: Vec<(usize, &'static str, usize)>,
    /// The last byte of code that was not blank: it tells a block's brace from an object's.
    last: u8,
    /// A block whose closing brace looks like that of another: where it opened and where it was closed.
    suspect: Option<(usize, usize)>,
    /// The line that was looked at last: where it begins, its first word, and up to where newlines were looked for.
    line: (usize, usize, usize),
}

fn blank_end(text: &[u8], start: usize) -> usize {
    start + text[start..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// Checks that everything that is opened is closed.
pub(crate) fn scan(source: &str) -> Outcome<()> {
    Scanner {
        text: source.as_bytes(),
        source,
        at: 0,
        open: Vec::new(),
        directives: Vec::new(),
        last: b'\n',
        suspect: None,
        line: (0, blank_end(source.as_bytes(), 0), 0),
    }
    .run()
}

impl Scanner<'_> {
    fn run(&mut self) -> Outcome<()> {
        while self.at < self.text.len() {
            match self.open.last().map(|(opened, _)| *opened) {
                Some(Opened::Quote) => self.quote()?,
                Some(Opened::Heredoc { tag }) => self.heredoc(tag)?,
                _ => self.code()?,
            }
        }
        match self.open.last() {
            None => Ok(()),
            Some(&(opened, at)) => Err(self.unclosed(opened, at)),
        }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, opened: Opened, length: usize) -> Outcome<()> {
        if self.open.len() >= DEPTH_LIMIT {
            let detail = format!("Brackets, templates and strings are nested more than {DEPTH_LIMIT} deep here.");
            return Err(Problem::new(Span::new(self.at, self.at + length), "Nesting too deep", detail));
        }
        self.open.push((opened, self.at));
        self.at += length;
        Ok(())
    }

    fn code(&mut self) -> Outcome<()> {
        let byte = self.peek(0);
        match byte {
            b'#' => self.skip_line(),
            b'/' if self.peek(1) == b'/' => self.skip_line(),
            b'/' if self.peek(1) == b'*' => match self.source.get(self.at + 2..).and_then(|rest| rest.find("*/")) {
                Some(length) => self.at += length + 4,
                None => {
                    let span = Span::new(self.at, self.at + 2);
                    return Err(Problem::new(
                        span,
                        "Unterminated comment",
                        "This comment is not closed by */ before the end of the file.",
                    ));
                }
            },
            b'"' => self.push(Opened::Quote, 1)?,
            b'<' if self.peek(1) == b'<' => self.heredoc_start()?,
            b'{' if self.begins_object() => self.push(Opened::Object { left: OBJECT_LIMIT }, 1)?,
            b'{' => {
                let (line_start, first) = self.line();
                self.push(Opened::Brace { line_start, first }, 1)?;
            }
            b',' | b'\n' => {
                self.count_item()?;
                self.at += 1;
            }
            b'(' => self.push(Opened::Parenthesis, 1)?,
            b'[' => self.push(Opened::Bracket, 1)?,
            b'}' | b')' | b']' => self.close(byte)?,
            _ => self.at += 1,
        }
        if !byte.is_ascii_whitespace() {
            self.last = byte;
        }
        Ok(())
    }

    /// Only what stands in a block and follows a name or label is a block.
    fn begins_object(&self) -> bool {
        let in_block = matches!(self.open.last(), None | Some((Opened::Brace { .. }, _)));
        !in_block || matches!(self.last, b'=' | b'?' | b':' | b'&' | b'|' | b'<' | b'>' | b'!')
    }

    fn count_item(&mut self) -> Outcome<()> {
        if let Some((Opened::Object { left }, at)) = self.open.last_mut() {
            if *left == 0 {
                let detail = format!("An object that is written out may have {OBJECT_LIMIT} lines or items.");
                return Err(Problem::new(Span::new(*at, *at + 1), "Object too large", detail));
            }
            *left -= 1;
        }
        Ok(())
    }

    /// Where the current line and its first word begin. Lines are looked at once, however long they are.
    fn line(&mut self) -> (usize, usize) {
        let (start, first, looked) = self.line;
        let newline = self.text[looked..self.at].iter().rposition(|byte| *byte == b'\n').map(|at| looked + at + 1);
        let (start, first) = newline.map_or((start, first), |start| (start, blank_end(self.text, start)));
        self.line = (start, first, self.at);
        (start, first)
    }

    fn close(&mut self, byte: u8) -> Outcome<()> {
        let span = Span::new(self.at, self.at + 1);
        let closer = byte as char;
        let (closer_line, closer_first) = self.line();
        match (self.open.last(), byte) {
            (Some((Opened::Brace { line_start, first }, _)), b'}') => {
                let alone = closer_first == self.at && closer_line != *line_start;
                if alone && closer_first - closer_line < first - line_start && self.suspect.is_none() {
                    self.suspect = Some((*first, self.at));
                }
            }
            (Some((Opened::Template | Opened::Object { .. }, _)), b'}')
            | (Some((Opened::Parenthesis, _)), b')')
            | (Some((Opened::Bracket, _)), b']') => {}
            (None, _) => {
                let detail = format!("This {closer} closes nothing: there is no open bracket before it.");
                return Err(Problem::new(span, "Unexpected closing bracket", detail));
            }
            (Some((opened, at)), _) => {
                let (opener, wanted) = match opened {
                    Opened::Parenthesis => ("(", ')'),
                    Opened::Bracket => ("[", ']'),
                    Opened::Template => ("${", '}'),
                    _ => ("{", '}'),
                };
                let line = self.line_of(*at);
                let detail = format!("The {opener} of line {line} must be closed by {wanted} before this {closer}.");
                return Err(Problem::new(span, "Unexpected closing bracket", detail));
            }
        }
        self.open.pop();
        self.at += 1;
        Ok(())
    }

    fn line_of(&self, at: usize) -> usize {
        self.text[..at].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn skip_line(&mut self) {
        self.at = self.text[self.at..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(self.text.len(), |length| self.at + length);
    }

    fn quote(&mut self) -> Outcome<()> {
        let (byte, next) = (self.peek(0), self.peek(1));
        match byte {
            b'"' => {
                self.end_template()?;
                self.at += 1;
            }
            b'\\' => self.at += 2,
            b'$' | b'%' if next == byte && self.peek(2) == b'{' => self.at += 3,
            b'$' | b'%' if next == b'{' => self.sequence()?,
            b'\n' => {
                let opened = self.open.last().map_or(0, |(_, at)| *at);
                let span = Span::new(opened, self.at);
                let detail = "A quoted string ends in the line that it begins in. Write \\n for a line break, or use a heredoc (<<EOT).";
                return Err(Problem::new(span, "Invalid multi-line string", detail));
            }
            _ => self.at += 1,
        }
        Ok(())
    }

    fn heredoc_start(&mut self) -> Outcome<()> {
        let start = self.at + if self.peek(2) == b'-' { 3 } else { 2 };
        let length = self.text[start.min(self.text.len())..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || **byte >= 0x80)
            .count();
        let end = start + length;
        let rest = self.text.get(end..).unwrap_or_default();
        if length == 0 || !(rest.starts_with(b"\n") || rest.starts_with(b"\r\n")) {
            // Not a heredoc: the parser says what it is.
            self.at += 2;
            return Ok(());
        }
        self.push(Opened::Heredoc { tag: (start, end) }, end - self.at)?;
        self.next_line(start, end)
    }

    /// Goes to the start of the next line; leaves the heredoc if that line is its end.
    fn next_line(&mut self, start: usize, end: usize) -> Outcome<()> {
        self.skip_line();
        self.at = (self.at + 1).min(self.text.len());
        let line = &self.text[self.at..];
        let blank = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let tag = &self.text[start..end];
        let after = line.get(blank + tag.len()).copied().unwrap_or(b'\n');
        if line[blank..].starts_with(tag)
            && !(after.is_ascii_alphanumeric() || matches!(after, b'_' | b'-') || after >= 0x80)
        {
            let length = blank + tag.len();
            self.end_template()?;
            self.at += length;
        }
        Ok(())
    }

    /// `${` or `%{`; a directive is remembered until its end.
    fn sequence(&mut self) -> Outcome<()> {
        if self.peek(0) == b'%' {
            let rest = self.source.get(self.at + 2..).unwrap_or_default();
            let rest = rest.strip_prefix('~').unwrap_or(rest).trim_start();
            let word = &rest[..rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())];
            let depth = self.open.len();
            let ends = match word {
                "if" => return self.directive("if"),
                "for" => return self.directive("for"),
                "endif" => Some("if"),
                "endfor" => Some("for"),
                _ => None,
            };
            if let Some(begin) = ends {
                let last = self.directives.last().filter(|(at, known, _)| *at == depth && *known == begin);
                if last.is_none() {
                    let detail = format!("There is no %{{ {begin} }} before this %{{ {word} }} that it could end.");
                    return Err(Problem::new(Span::new(self.at, self.at + 2), "Unexpected template directive", detail));
                }
                self.directives.pop();
            }
        }
        self.push(Opened::Template, 2)
    }

    fn directive(&mut self, word: &'static str) -> Outcome<()> {
        self.directives.push((self.open.len(), word, self.at));
        if self.directives.len() > DEPTH_LIMIT {
            let detail = format!("Template directives are nested more than {DEPTH_LIMIT} deep here.");
            return Err(Problem::new(Span::new(self.at, self.at + 2), "Nesting too deep", detail));
        }
        self.push(Opened::Template, 2)
    }

    /// Leaves a string or heredoc.
    fn end_template(&mut self) -> Outcome<()> {
        if let Some((depth, word, at)) = self.directives.last()
            && *depth == self.open.len()
        {
            let detail = format!(
                "This %{{ {word} }} is not ended by %{{ end{word} }} before the end of the text that it stands in."
            );
            return Err(Problem::new(Span::new(*at, at + 2), "Unclosed template directive", detail));
        }
        self.open.pop();
        Ok(())
    }

    fn heredoc(&mut self, (start, end): (usize, usize)) -> Outcome<()> {
        let (byte, next) = (self.peek(0), self.peek(1));
        match byte {
            b'\n' => self.next_line(start, end)?,
            b'$' | b'%' if next == byte && self.peek(2) == b'{' => self.at += 3,
            b'$' | b'%' if next == b'{' => self.sequence()?,
            _ => self.at += 1,
        }
        Ok(())
    }

    fn unclosed(&self, opened: Opened, at: usize) -> Problem {
        let end = self.text.len();
        let line = self.line_of(at);
        match opened {
            Opened::Quote => {
                let detail = format!(
                    "No closing marker was found for the string: the quote that opens in line {line} is never closed."
                );
                Problem::new(Span::new(end, end), "Unterminated template string", detail)
            }
            Opened::Heredoc { tag: (start, tag_end) } => {
                let tag = self.source.get(start..tag_end).unwrap_or_default();
                let detail = format!("This heredoc has no end: a line with nothing but {tag} must follow.");
                Problem::new(Span::new(at, tag_end), "Unterminated template string", detail)
            }
            Opened::Template => {
                let detail = "There is no closing brace for this template sequence before the end of the file.";
                Problem::new(Span::new(at, at + 2), "Unclosed template interpolation sequence", detail)
            }
            Opened::Parenthesis => Problem::new(
                Span::new(at, at + 1),
                "Unclosed parenthesis",
                "There is no closing parenthesis for this before the end of the file.",
            ),
            Opened::Bracket => Problem::new(
                Span::new(at, at + 1),
                "Unclosed bracket",
                "There is no closing bracket for this list before the end of the file.",
            ),
            Opened::Object { .. } => {
                let detail = "There is no closing brace for this object before the end of the file.";
                Problem::new(Span::new(at, at + 1), "Unclosed object", detail)
            }
            Opened::Brace { .. } => {
                let detail = "There is no closing brace for this block before the end of the file.";
                let problem = Problem::new(Span::new(at, at + 1), UNCLOSED_BLOCK, detail);
                match self.suspect {
                    Some((first, closer)) => {
                        let head = self
                            .source
                            .get(first..)
                            .and_then(|rest| rest.lines().next())
                            .unwrap_or_default()
                            .trim_end();
                        let head: String = head.trim_end_matches('{').trim_end().chars().take(60).collect();
                        problem.hint(format!(
                            "the missing brace is probably that of `{head}` in line {}: the brace in line {} is indented for a block further out",
                            self.line_of(first),
                            self.line_of(closer)
                        ))
                    }
                    None => problem,
                }
            }
        }
    }
}
