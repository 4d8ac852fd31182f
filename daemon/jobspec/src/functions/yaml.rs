//! `yamldecode` and `yamlencode`. Aliases are resolved against the budget, so that a small text cannot name a huge value.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{Answer, Arguments, Failure, encoding};
use crate::number::Number;
use crate::value::{DEPTH_LIMIT, SIZE_LIMIT, Value};

/// A collection that is being read.
enum Open {
    List(Vec<Value>, usize),
    Map(BTreeMap<Arc<str>, Value>, Option<Arc<str>>, usize),
}

pub(super) fn decode(a: &Arguments<'_>, text: &str) -> Answer {
    let fail = |message: String| Failure::Argument(0, message);
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Value> = HashMap::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| fail(format!("not valid YAML: {error}")))?;
        let line = span.start.line();
        let (value, anchor) = match event {
            Event::SequenceStart(anchor, _) => {
                open.push(Open::List(Vec::new(), anchor));
                (None, 0)
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open::Map(BTreeMap::new(), None, anchor));
                (None, 0)
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items, anchor)) => (Some(Value::tuple(items)), anchor),
                Some(Open::Map(items, _, anchor)) => (Some(Value::object(items)), anchor),
                None => (None, 0),
            },
            Event::Scalar(text, style, anchor, tag) => {
                let kind = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.clone());
                (
                    Some(
                        scalar(&text, style, kind.as_deref())
                            .map_err(|message| fail(format!("on line {line}: {message}")))?,
                    ),
                    anchor,
                )
            }
            Event::Alias(anchor) => {
                let value = anchors.get(&anchor).cloned();
                (
                    Some(value.ok_or_else(|| {
                        fail(format!("on line {line}: reference to an undefined or enclosing anchor"))
                    })?),
                    0,
                )
            }
            Event::DocumentStart(_) if root.is_some() => {
                return Err(fail("unexpected extra content after value".to_owned()));
            }
            _ => (None, 0),
        };
        if open.len() > DEPTH_LIMIT as usize {
            return Err(fail(format!("on line {line}: nested more than {DEPTH_LIMIT} deep")));
        }
        let Some(value) = value else { continue };
        if value.size() > SIZE_LIMIT || value.depth() > DEPTH_LIMIT {
            return Err(fail(format!("on line {line}: the value is too large")));
        }
        a.spend(value.size())?;
        if anchor != 0 {
            anchors.insert(anchor, value.clone());
        }
        match open.last_mut() {
            None => root = Some(value),
            Some(Open::List(items, _)) => items.push(value),
            Some(Open::Map(items, key, _)) => match key.take() {
                None => {
                    *key = Some(
                        value
                            .to_text()
                            .ok_or_else(|| fail(format!("on line {line}: a mapping key must be a string")))?,
                    )
                }
                Some(key) if &*key == "<<" => {
                    let Some(map) = value.as_map() else {
                        return Err(fail(format!("on line {line}: only a mapping can be merged")));
                    };
                    for (key, value) in &map.items {
                        items.entry(Arc::clone(key)).or_insert_with(|| value.clone());
                    }
                }
                Some(key) => {
                    items.insert(key, value);
                }
            },
        }
    }
    Ok(root.unwrap_or(Value::Null))
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&str>) -> Result<Value, String> {
    let number = || plain_number(text).map(Value::Number);
    match tag {
        Some("str") => return Ok(Value::text(text)),
        Some("int" | "float") => return number().ok_or_else(|| format!("cannot parse {text:?} as a number")),
        _ => {}
    }
    if style != ScalarStyle::Plain {
        return Ok(Value::text(text));
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
        _ => number().unwrap_or_else(|| Value::text(text)),
    })
}

fn plain_number(text: &str) -> Option<Number> {
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(Number::from);
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    if let Some(digits) = text.strip_prefix("0b") {
        return radix(digits, 2);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    Number::parse(&text.replace('_', ""))
}

/// Block style with quoted strings, sorted keys, literal blocks for several lines.
pub(super) fn encode(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, Place::Start, &mut out);
    out
}

/// Where a value is written: at the start of a line, after a dash, or after a key's colon.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Start,
    Dash,
    Key,
}

fn write(value: &Value, indent: usize, place: Place, out: &mut String) {
    let pad = |out: &mut String, indent: usize| out.push_str(&" ".repeat(indent));
    let space = if place == Place::Start { "" } else { " " };
    match value {
        Value::List(list) if !list.items.is_empty() => {
            // Lists stand below their key at the key's own indent; in a list the first dash follows on the same line.
            let indent = if place == Place::Key { indent.saturating_sub(2) } else { indent };
            for (index, item) in list.items.iter().enumerate() {
                match (index, place) {
                    (0, Place::Dash) => out.push(' '),
                    (0, Place::Key) => {
                        out.push('\n');
                        pad(out, indent);
                    }
                    _ => pad(out, indent),
                }
                out.push('-');
                write(item, indent + 2, Place::Dash, out);
            }
        }
        Value::Map(map) if !map.items.is_empty() => {
            for (index, (key, item)) in map.items.iter().enumerate() {
                match (index, place) {
                    (0, Place::Dash) => out.push(' '),
                    (0, Place::Key) => {
                        out.push('\n');
                        pad(out, indent);
                    }
                    _ => pad(out, indent),
                }
                out.push_str(&encoding::to_json_text(&Value::text(key)));
                out.push(':');
                write(item, indent + 2, Place::Key, out);
            }
        }
        Value::List(_) => {
            out.push_str(space);
            out.push_str("[]\n");
        }
        Value::Map(_) => {
            out.push_str(space);
            out.push_str("{}\n");
        }
        Value::Text(text)
            if text.contains('\n')
                && !text.starts_with([' ', '\n'])
                && !text.contains(|c: char| c.is_control() && c != '\n') =>
        {
            out.push_str(space);
            out.push_str(match (text.ends_with("\n\n"), text.ends_with('\n')) {
                (true, _) => "|+\n",
                (false, true) => "|\n",
                (false, false) => "|-\n",
            });
            for line in text.trim_end_matches('\n').split('\n') {
                if !line.is_empty() {
                    pad(out, indent.max(2));
                }
                out.push_str(line);
                out.push('\n');
            }
            let trailing = text.len() - text.trim_end_matches('\n').len();
            out.push_str(&"\n".repeat(trailing.saturating_sub(1)));
        }
        scalar => {
            out.push_str(space);
            out.push_str(&encoding::to_json_text(scalar));
            out.push('\n');
        }
    }
}
