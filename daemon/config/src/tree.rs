//! One form for HCL and JSON: blocks of keys with places.
//!
//! HCL blocks and objects become `Node::Block`, labels become keys of an inner block, repeated blocks a `Node::List`.

use std::collections::BTreeMap;

use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Body, Structure};
use serde_json::Value;

use crate::problem::{Place, Problem};

/// The deepest nesting.
const MAX_DEPTH: usize = 32;
/// The largest file, in bytes.
pub const MAX_FILE: usize = 1 << 20;

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where its key stands, or the value itself in a list.
    pub place: Place,
    /// The value.
    pub node: Node,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Node {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// `null`.
    Null,
    /// A list, or a block that stands several times.
    List(Vec<Entry>),
    /// A block or an object.
    Block(BTreeMap<String, Entry>),
}

impl Node {
    /// What it is, for people.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Null => "nothing",
            Self::List(_) => "a list",
            Self::Block(_) => "a block",
        }
    }
    /// The value as it is shown in an error.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Number(number) => number.to_string(),
            Self::Bool(flag) => flag.to_string(),
            other => other.word().to_owned(),
        }
    }
}

/// Reads a file; `.json` and whatever begins with `{` is JSON.
pub fn parse(file: &str, text: &str) -> Result<BTreeMap<String, Entry>, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let problem =
        |line, column, sentence: String| Problem { place: Place { file: file.to_owned(), line, column }, sentence };
    if text.len() > MAX_FILE {
        return Err(problem(0, 0, format!("the file has {} bytes; at most {MAX_FILE} are read", text.len())));
    }
    if let Some((line, column)) = too_deep(text) {
        return Err(problem(line, column, format!("blocks are nested more than {MAX_DEPTH} deep")));
    }
    if file.ends_with(".json") || text.trim_start().starts_with('{') {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| problem(error.line(), error.column(), format!("this is not JSON: {error}")))?;
        let place = Place { file: file.to_owned(), line: 0, column: 0 };
        return match from_json(&value, &place).node {
            Node::Block(block) => Ok(block),
            other => Err(problem(1, 1, format!("the file must hold an object, not {}", other.word()))),
        };
    }
    let body: Body = text.parse().map_err(|error: hcl_edit::parser::Error| {
        let location = error.location();
        problem(location.line(), location.column(), format!("this is not HCL: {}", error.message()))
    })?;
    Reader { file, text, starts: line_starts(text) }.body(&body, 0)
}

/// The place at which brackets are nested too deeply for a parser that recurses.
fn too_deep(text: &str) -> Option<(usize, usize)> {
    let (mut depth, mut line, mut column, mut in_text, mut escaped) = (0_usize, 1, 0, false, false);
    for c in text.chars() {
        column += 1;
        match c {
            '\n' => (line, column, in_text, escaped) = (line + 1, 0, false, false),
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '{' | '[' | '(' if !in_text => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some((line, column));
                }
            }
            '}' | ']' | ')' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    starts: Vec<usize>,
}

impl Reader<'_> {
    fn place(&self, span: Option<std::ops::Range<usize>>) -> Place {
        let at = span.map_or(0, |span| span.start).min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= at);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1;
        Place { file: self.file.to_owned(), line, column }
    }
    fn wrong(&self, span: Option<std::ops::Range<usize>>, sentence: impl Into<String>) -> Problem {
        Problem { place: self.place(span), sentence: sentence.into() }
    }

    fn body(&self, body: &Body, depth: usize) -> Result<BTreeMap<String, Entry>, Problem> {
        if depth > MAX_DEPTH {
            return Err(self.wrong(body.span(), format!("blocks are nested more than {MAX_DEPTH} deep")));
        }
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for structure in body.iter() {
            match structure {
                Structure::Attribute(attribute) => {
                    let key = attribute.key.as_str().to_owned();
                    let node = self.expression(&attribute.value, depth + 1)?;
                    let place = self.place(attribute.key.span());
                    entries.insert(key, Entry { place, node });
                }
                Structure::Block(block) => {
                    let place = self.place(block.ident.span());
                    let mut node = Node::Block(self.body(&block.body, depth + 1)?);
                    for label in block.labels.iter().rev() {
                        let inner = Entry { place: place.clone(), node };
                        node = Node::Block(BTreeMap::from([(label.as_str().to_owned(), inner)]));
                    }
                    join(&mut entries, block.ident.as_str(), Entry { place, node }, !block.labels.is_empty());
                }
            }
        }
        Ok(entries)
    }

    fn expression(&self, expression: &Expression, depth: usize) -> Result<Node, Problem> {
        if depth > MAX_DEPTH {
            return Err(self.wrong(expression.span(), format!("values are nested more than {MAX_DEPTH} deep")));
        }
        Ok(match expression {
            Expression::Null(_) => Node::Null,
            Expression::Bool(flag) => Node::Bool(*flag.value()),
            Expression::Number(number) => Node::Number(number.value().as_f64().unwrap_or_default()),
            Expression::String(text) => Node::Text(text.value().clone()),
            // Agent configuration has no variables: ${…} and heredocs are text, as they were written.
            Expression::StringTemplate(template) => Node::Text(unquote(&template.to_string())),
            Expression::HeredocTemplate(heredoc) => Node::Text(heredoc.template.to_string()),
            Expression::Array(items) => {
                let mut list = Vec::new();
                for item in items.iter() {
                    list.push(Entry { place: self.place(item.span()), node: self.expression(item, depth + 1)? });
                }
                Node::List(list)
            }
            Expression::Object(fields) => {
                let mut block = BTreeMap::new();
                for (key, value) in fields.iter() {
                    let name = match key {
                        hcl_edit::expr::ObjectKey::Ident(ident) => ident.as_str().to_owned(),
                        hcl_edit::expr::ObjectKey::Expression(key) => match self.expression(key, depth + 1)? {
                            Node::Text(text) => text,
                            Node::Number(number) => number.to_string(),
                            other => {
                                return Err(
                                    self.wrong(key.span(), format!("a key must be a text, not {}", other.word()))
                                );
                            }
                        },
                    };
                    let node = self.expression(value.expr(), depth + 1)?;
                    block.insert(name, Entry { place: self.place(value.expr().span()), node });
                }
                Node::Block(block)
            }
            Expression::UnaryOp(operation) => match self.expression(&operation.expr, depth + 1)? {
                Node::Number(number) => Node::Number(-number),
                other => return Err(self.wrong(expression.span(), format!("{} has no negative", other.word()))),
            },
            Expression::Parenthesis(inner) => self.expression(inner.inner(), depth + 1)?,
            _ => {
                return Err(self.wrong(
                    expression.span(),
                    "plain values only are taken here: no variables, functions or conditions",
                ));
            }
        })
    }
}

/// Joins a block to its like: labelled ones by label, others as a list.
fn join(entries: &mut BTreeMap<String, Entry>, key: &str, entry: Entry, labelled: bool) {
    let Some(existing) = entries.get_mut(key) else {
        entries.insert(key.to_owned(), entry);
        return;
    };
    match (&mut existing.node, entry.node) {
        (Node::Block(old), Node::Block(new)) if labelled => {
            for (label, inner) in new {
                join(old, &label, inner, false);
            }
        }
        (Node::List(list), node) => list.push(Entry { place: entry.place, node }),
        (_, node) => {
            let first = existing.clone();
            existing.node = Node::List(vec![first, Entry { place: entry.place, node }]);
        }
    }
}

fn unquote(text: &str) -> String {
    let text = text.trim();
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    inner.replace("\\\"", "\"").replace("\\\\", "\\")
}

fn from_json(value: &Value, place: &Place) -> Entry {
    let node = match value {
        Value::Null => Node::Null,
        Value::Bool(flag) => Node::Bool(*flag),
        Value::Number(number) => Node::Number(number.as_f64().unwrap_or_default()),
        Value::String(text) => Node::Text(text.clone()),
        Value::Array(items) => Node::List(items.iter().map(|item| from_json(item, place)).collect()),
        Value::Object(fields) => {
            Node::Block(fields.iter().map(|(key, field)| (key.clone(), from_json(field, place))).collect())
        }
    };
    Entry { place: place.clone(), node }
}
