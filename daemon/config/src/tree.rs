//! One form for HCL and JSON: blocks of keys with places.
//!
//! HCL blocks and objects become `Node::Block`, labels become keys of an inner block, repeated blocks a `Node::List`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::problem::{Place, Problem};

/// The deepest nesting.
pub(crate) const MAX_DEPTH: usize = 32;
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
    if file.ends_with(".json") || text.trim_start().starts_with('{') {
        if let Some((line, column)) = too_deep(text) {
            return Err(problem(line, column, format!("blocks are nested more than {MAX_DEPTH} deep")));
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|error| problem(error.line(), error.column(), format!("this is not JSON: {error}")))?;
        let place = Place { file: file.to_owned(), line: 0, column: 0 };
        return match from_json(&value, &place).node {
            Node::Block(block) => Ok(block),
            other => Err(problem(1, 1, format!("the file must hold an object, not {}", other.word()))),
        };
    }
    crate::hcl::parse(file, text)
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
