//! JSON with places: for job files in JSON form, variable files in JSON form, and `jsondecode`.
//!
//! Numbers stay exact, objects keep their order and their duplicates.

use std::sync::Arc;

use crate::diagnostic::{Outcome, Problem};
use crate::number::Number;
use crate::source::Span;
use crate::value::Value;

const DEPTH_LIMIT: usize = 100;

#[derive(Debug)]
pub(crate) struct Node {
    pub span: Span,
    pub kind: NodeKind,
}

#[derive(Debug)]
pub(crate) enum NodeKind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

#[derive(Debug)]
pub(crate) struct Member {
    pub name: String,
    pub name_span: Span,
    pub node: Node,
}

impl Node {
    /// The plain value; of two members with one name the later one counts.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(bool) => Value::Bool(*bool),
            NodeKind::Number(number) => Value::Number(number.clone()),
            NodeKind::Text(text) => Value::text(text),
            NodeKind::Array(items) => Value::tuple(items.iter().map(Self::to_value).collect()),
            NodeKind::Object(members) => Value::object(
                members.iter().map(|member| (Arc::from(member.name.as_str()), member.node.to_value())).collect(),
            ),
        }
    }
}

/// Reads one JSON text.
pub(crate) fn read(source: &str) -> Outcome<Node> {
    let mut reader = Reader { source, text: source.as_bytes(), at: 0 };
    let node = reader.node(0)?;
    reader.blank();
    if reader.at < source.len() {
        return Err(reader.wrong("Only white space may follow the JSON value."));
    }
    Ok(node)
}

struct Reader<'a> {
    source: &'a str,
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn blank(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn wrong(&self, detail: &str) -> Problem {
        let next = self.source.get(self.at..).and_then(|rest| rest.chars().next());
        let summary = if next.is_some() { "Invalid JSON" } else { "Unexpected end of JSON" };
        Problem::new(Span::new(self.at, self.at + next.map_or(0, char::len_utf8)), summary, detail)
    }

    fn node(&mut self, depth: usize) -> Outcome<Node> {
        if depth > DEPTH_LIMIT {
            return Err(Problem::new(
                Span::new(self.at, self.at + 1),
                "Nesting too deep",
                format!("JSON may be nested {DEPTH_LIMIT} deep."),
            ));
        }
        self.blank();
        let start = self.at;
        let kind = match self.peek() {
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            b'"' => NodeKind::Text(self.text_literal()?),
            b'-' | b'0'..=b'9' => self.number()?,
            _ => {
                let rest = &self.text[self.at..];
                let (word, kind) = if rest.starts_with(b"true") {
                    (4, NodeKind::Bool(true))
                } else if rest.starts_with(b"false") {
                    (5, NodeKind::Bool(false))
                } else if rest.starts_with(b"null") {
                    (4, NodeKind::Null)
                } else {
                    return Err(self.wrong("A JSON value must begin here: an object, a list, a text in double quotes, a number, true, false or null."));
                };
                self.at += word;
                kind
            }
        };
        Ok(Node { span: Span::new(start, self.at), kind })
    }

    fn object(&mut self, depth: usize) -> Outcome<NodeKind> {
        self.at += 1;
        let mut members = Vec::new();
        self.blank();
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(NodeKind::Object(members));
        }
        loop {
            self.blank();
            if self.peek() != b'"' {
                return Err(self.wrong("A member name in double quotes is expected here."));
            }
            let start = self.at;
            let name = self.text_literal()?;
            let name_span = Span::new(start, self.at);
            self.blank();
            if self.peek() != b':' {
                return Err(self.wrong("A colon must follow the member name."));
            }
            self.at += 1;
            let node = self.node(depth + 1)?;
            members.push(Member { name, name_span, node });
            self.blank();
            match self.peek() {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(NodeKind::Object(members));
                }
                _ => return Err(self.wrong("A comma or the closing brace of the object is expected here.")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Outcome<NodeKind> {
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.peek() == b']' {
            self.at += 1;
            return Ok(NodeKind::Array(items));
        }
        loop {
            items.push(self.node(depth + 1)?);
            self.blank();
            match self.peek() {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(NodeKind::Array(items));
                }
                _ => return Err(self.wrong("A comma or the closing bracket of the list is expected here.")),
            }
        }
    }

    fn number(&mut self) -> Outcome<NodeKind> {
        let start = self.at;
        while matches!(self.peek(), b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') {
            self.at += 1;
        }
        let number = self.source.get(start..self.at).and_then(Number::parse);
        number.map(NodeKind::Number).ok_or_else(|| {
            Problem::new(Span::new(start, self.at), "Invalid JSON", "This is not a number, or one of too many digits.")
        })
    }

    fn text_literal(&mut self) -> Outcome<String> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let from = self.at;
            while !matches!(self.peek(), b'"' | b'\\' | 0..=0x1f) {
                self.at += 1;
            }
            out.push_str(self.source.get(from..self.at).unwrap_or_default());
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ if self.at >= self.text.len() => {
                    return Err(Problem::new(
                        Span::new(start, start + 1),
                        "Unexpected end of JSON",
                        "This text is not closed by a double quote.",
                    ));
                }
                _ => return Err(self.wrong("Control characters must be written as escapes, such as \\n.")),
            }
        }
    }

    fn escape(&mut self) -> Outcome<char> {
        let letter = self.peek();
        self.at += 1;
        Ok(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
                    let back = self.at;
                    self.at += 2;
                    let second = self.hex()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = back;
                }
                char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => {
                self.at -= 1;
                return Err(self.wrong("This is not an escape that JSON knows."));
            }
        })
    }

    fn hex(&mut self) -> Outcome<u32> {
        let digits =
            self.source.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.wrong("Four hexadecimal digits must follow \\u."))?;
        self.at += 4;
        Ok(code)
    }
}
