//! A small reader of HCL1, for the job files of old: quoted keys, commas at the end of lines, everything on one line.
//!
//! HCL1 has no expressions. What stands in `${ }` stays as it is written. The result is the same tree as for HCL2.

use std::sync::Arc;

use crate::diagnostic::{Outcome, Problem};
use crate::number::Number;
use crate::source::Span;
use crate::tree::{Attribute, Block, Body, Expression, Item, Kind, Label};

const DEPTH_LIMIT: usize = 64;

/// Reads a whole file.
pub(crate) fn parse_body(source: &str) -> Outcome<Body> {
    let mut reader = Reader { source, text: source.as_bytes(), at: 0 };
    reader.items(0, None)
}

/// Whether nothing in a file speaks of HCL2: then it may be read as HCL1 without having been asked for.
pub(crate) fn is_plain(body: &Body) -> bool {
    body.items.iter().all(|item| match item {
        Item::Attribute(attribute) => is_plain_value(&attribute.value),
        Item::Block(block) => {
            !matches!(block.kind.as_str(), "variable" | "variables" | "locals" | "dynamic") && is_plain(&block.body)
        }
    })
}

fn is_plain_value(value: &Expression) -> bool {
    match &value.kind {
        Kind::Text(text) => {
            let opened = text
                .match_indices("${")
                .map(|(at, _)| (at, ["var.", "local."]))
                .chain(text.match_indices("%{").map(|(at, _)| (at, ["if ", "for "])));
            opened.into_iter().all(|(at, words)| {
                let inside = text[at + 2..].trim_start_matches(['~', ' ']);
                !words.iter().any(|word| inside.starts_with(word))
            })
        }
        Kind::List(items) => items.iter().all(is_plain_value),
        Kind::Object(items) => items.iter().all(|(_, value)| is_plain_value(value)),
        _ => true,
    }
}

struct Reader<'a> {
    source: &'a str,
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn starts_with(&self, what: &str) -> bool {
        self.text[self.at..].starts_with(what.as_bytes())
    }

    fn wrong(&self, detail: &str) -> Problem {
        let next = self.source.get(self.at..).and_then(|rest| rest.chars().next());
        Problem::new(Span::new(self.at, self.at + next.map_or(0, char::len_utf8)), "Invalid HCL1", detail)
    }

    /// Passes white space and comments.
    fn blank(&mut self) -> Outcome<()> {
        loop {
            match self.peek() {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'#' => self.skip_line(),
                b'/' if self.starts_with("//") => self.skip_line(),
                b'/' if self.starts_with("/*") => match self.source.get(self.at + 2..).and_then(|rest| rest.find("*/"))
                {
                    Some(length) => self.at += length + 4,
                    None => return Err(self.wrong("This comment is not closed by */.")),
                },
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        self.at = self.text[self.at..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(self.text.len(), |length| self.at + length);
    }

    /// Items up to the end of the file, or up to the brace that closes `opened`.
    fn items(&mut self, depth: usize, opened: Option<usize>) -> Outcome<Body> {
        let mut items = Vec::new();
        loop {
            self.blank()?;
            match (self.peek(), opened) {
                (b'}', Some(_)) => {
                    self.at += 1;
                    return Ok(Body { items });
                }
                (b',', Some(_)) => self.at += 1,
                (0, None) if self.at >= self.text.len() => return Ok(Body { items }),
                (0, Some(opened)) if self.at >= self.text.len() => {
                    let detail = "There is no closing brace for this block before the end of the file.";
                    return Err(Problem::new(Span::new(opened, opened + 1), "Unclosed configuration block", detail));
                }
                _ => items.push(self.item(depth)?),
            }
        }
    }

    fn item(&mut self, depth: usize) -> Outcome<Item> {
        if depth > DEPTH_LIMIT {
            return Err(self.wrong("Blocks are nested too deep here."));
        }
        let mut keys = Vec::new();
        loop {
            self.blank()?;
            match self.peek() {
                b'=' | b'{' if !keys.is_empty() => break,
                _ => keys.push(self.key()?),
            }
        }
        let mut keys = keys.into_iter();
        let Some(name) = keys.next() else { return Err(self.wrong("A name is expected here.")) };
        let labels: Vec<Label> = keys.collect();
        if self.peek() == b'=' {
            self.at += 1;
            self.blank()?;
            if !labels.is_empty() {
                return Err(self.wrong("Only one name may stand before an equals sign."));
            }
            if self.peek() != b'{' {
                let value = self.value(depth)?;
                let span = name.span.to(value.span);
                return Ok(Item::Attribute(Attribute { name: name.text, name_span: name.span, span, value }));
            }
        }
        // An object after an equals sign is a block too.
        let brace = Span::new(self.at, self.at + 1);
        self.at += 1;
        let body = self.items(depth + 1, Some(brace.start as usize))?;
        Ok(Item::Block(Block { kind: name.text, kind_span: name.span, labels, brace, body }))
    }

    fn key(&mut self) -> Outcome<Label> {
        let start = self.at;
        if self.peek() == b'"' {
            let text = self.string()?;
            return Ok(Label { text, span: Span::new(start, self.at) });
        }
        let rest = &self.source[start..];
        if !rest.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return Err(self.wrong("A name, a block or a closing brace is expected here."));
        }
        let length = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(rest.len());
        self.at += length;
        Ok(Label { text: rest[..length].to_owned(), span: Span::new(start, self.at) })
    }

    fn value(&mut self, depth: usize) -> Outcome<Expression> {
        if depth > DEPTH_LIMIT {
            return Err(self.wrong("Values are nested too deep here."));
        }
        self.blank()?;
        let start = self.at;
        let kind = match self.peek() {
            b'"' => Kind::Text(Arc::from(self.string()?)),
            b'<' if self.starts_with("<<") => Kind::Text(Arc::from(self.heredoc()?)),
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                loop {
                    self.blank()?;
                    match self.peek() {
                        b']' => break self.at += 1,
                        b',' => self.at += 1,
                        0 => {
                            return Err(Problem::new(
                                Span::new(start, start + 1),
                                "Unclosed bracket",
                                "There is no closing bracket for this list before the end of the file.",
                            ));
                        }
                        _ => items.push(self.value(depth + 1)?),
                    }
                }
                Kind::List(items)
            }
            b'{' => {
                self.at += 1;
                object(self.items(depth + 1, Some(start))?)
            }
            _ => self.word()?,
        };
        Ok(Expression { span: Span::new(start, self.at), kind })
    }

    fn word(&mut self) -> Outcome<Kind> {
        let rest = &self.source[self.at..];
        let length = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '.')))
            .unwrap_or(rest.len());
        let word = &rest[..length];
        let hexadecimal =
            word.strip_prefix("0x").and_then(|digits| i64::from_str_radix(digits, 16).ok()).map(Number::from);
        let kind = match word {
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            _ => match hexadecimal.or_else(|| Number::parse(word)) {
                Some(number) => Kind::Number(number),
                None => return Err(self.wrong(
                    "A value is expected here: a text in double quotes, a number, true, false, a list or a heredoc.",
                )),
            },
        };
        self.at += length;
        Ok(kind)
    }

    /// Text in double quotes; inside of `${ }` quotes and escapes are left alone.
    fn string(&mut self) -> Outcome<String> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        let mut braces = 0_usize;
        loop {
            let rest = &self.source[self.at..];
            let Some(c) = rest.chars().next() else {
                return Err(Problem::new(
                    Span::new(start, start + 1),
                    "Unterminated string",
                    "This string is not closed by a double quote.",
                ));
            };
            match c {
                '"' if braces == 0 => {
                    self.at += 1;
                    return Ok(out);
                }
                '\n' if braces == 0 => {
                    return Err(Problem::new(
                        Span::new(start, self.at),
                        "Unterminated string",
                        "A string ends in the line that it begins in.",
                    ));
                }
                '$' if rest.starts_with("${") => {
                    braces += 1;
                    out.push_str("${");
                    self.at += 2;
                    continue;
                }
                '{' if braces > 0 => braces += 1,
                '}' if braces > 0 => braces -= 1,
                '\\' if braces == 0 => {
                    out.push(self.escape()?);
                    continue;
                }
                _ => {}
            }
            out.push(c);
            self.at += c.len_utf8();
        }
    }

    fn escape(&mut self) -> Outcome<char> {
        let letter = self.text.get(self.at + 1).copied().unwrap_or(0);
        let simple = match letter {
            b'n' => Some('\n'),
            b't' => Some('\t'),
            b'r' => Some('\r'),
            b'a' => Some('\u{7}'),
            b'b' => Some('\u{8}'),
            b'f' => Some('\u{c}'),
            b'v' => Some('\u{b}'),
            b'"' => Some('"'),
            b'\\' => Some('\\'),
            _ => None,
        };
        if let Some(c) = simple {
            self.at += 2;
            return Ok(c);
        }
        let length = match letter {
            b'u' => 4,
            b'U' => 8,
            _ => return Err(self.wrong("This is not an escape that HCL1 knows.")),
        };
        let digits = self.source.get(self.at + 2..self.at + 2 + length);
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        let code = code.ok_or_else(|| self.wrong("Hexadecimal digits of a character must follow here."))?;
        self.at += 2 + length;
        Ok(code)
    }

    fn heredoc(&mut self) -> Outcome<String> {
        let start = self.at;
        self.at += 2;
        let indented = self.peek() == b'-';
        self.at += usize::from(indented);
        let from = self.at;
        self.skip_line();
        let tag = self.source[from..self.at].trim();
        if tag.is_empty() {
            return Err(Problem::new(
                Span::new(start, self.at),
                "Invalid heredoc",
                "The word that ends the heredoc is missing after <<.",
            ));
        }
        let mut lines: Vec<&str> = Vec::new();
        loop {
            self.at += 1;
            if self.at >= self.text.len() {
                let detail = format!("This heredoc has no end: a line with nothing but {tag} must follow.");
                return Err(Problem::new(Span::new(start, from + tag.len()), "Unterminated heredoc", detail));
            }
            let from = self.at;
            self.skip_line();
            let line = &self.source[from..self.at];
            if line.trim() == tag {
                break;
            }
            lines.push(line.trim_end_matches('\r'));
        }
        let blanks = |line: &&str| line.len() - line.trim_start_matches([' ', '\t']).len();
        // An indent is taken away only if all lines have it.
        let indent = if indented { lines.iter().map(blanks).min().unwrap_or(0) } else { 0 };
        Ok(lines.iter().map(|line| format!("{}\n", &line[indent..])).collect())
    }
}

/// An object among values, such as in a list.
fn object(body: Body) -> Kind {
    let items = body.items.into_iter().map(|item| match item {
        Item::Attribute(attribute) => (attribute.name, attribute.name_span, attribute.value),
        Item::Block(block) => {
            let value = Expression { span: block.brace, kind: object(block.body) };
            (block.kind, block.kind_span, value)
        }
    });
    Kind::Object(
        items.map(|(name, span, value)| (Expression { span, kind: Kind::Text(Arc::from(name)) }, value)).collect(),
    )
}
