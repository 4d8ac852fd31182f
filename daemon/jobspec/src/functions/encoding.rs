//! Functions that write and read other formats: base64, JSON, CSV, URLs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Answer, Arguments, Failure, Function, yaml};
use crate::json;
use crate::value::{ListKind, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "base64decode", parameters: &["str"], run: base64decode },
    Function {
        name: "base64encode",
        parameters: &["str"],
        run: |a| Ok(Value::text(STANDARD.encode(a.text(0)?.as_bytes()))),
    },
    Function { name: "csvdecode", parameters: &["str"], run: csvdecode },
    Function { name: "jsondecode", parameters: &["str"], run: jsondecode },
    Function { name: "jsonencode", parameters: &["val"], run: |a| Ok(Value::text(to_json_text(a.value(0)))) },
    Function { name: "urlencode", parameters: &["str"], run: urlencode },
    Function { name: "yamldecode", parameters: &["src"], run: |a| yaml::decode(a, &a.text(0)?) },
    Function { name: "yamlencode", parameters: &["value"], run: |a| Ok(Value::text(yaml::encode(a.value(0)))) },
];

fn base64decode(a: &Arguments<'_>) -> Answer {
    let bytes = STANDARD
        .decode(a.text(0)?.as_bytes())
        .map_err(|error| Failure::Call(format!("failed to decode base64 data: {error}").to_lowercase()))?;
    String::from_utf8(bytes).map(Value::text).map_err(|_| "what it decodes to is not valid UTF-8".into())
}

fn jsondecode(a: &Arguments<'_>) -> Answer {
    let text = a.text(0)?;
    let node =
        json::read(&text).map_err(|problem| Failure::Argument(0, problem.detail.trim_end_matches('.').to_owned()))?;
    Ok(node.to_value())
}

/// Compact JSON with sorted keys; `<`, `>` and `&` are escaped as Go does it.
pub(crate) fn to_json_text(value: &Value) -> String {
    let mut out = String::new();
    write_json(value, &mut out);
    out
}

fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
        Value::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Text(text) => write_json_text(text, out),
        Value::List(list) => {
            out.push('[');
            for (index, item) in list.items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (index, (key, item)) in map.items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json_text(key, out);
                out.push(':');
                write_json(item, out);
            }
            out.push('}');
        }
    }
}

fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn csvdecode(a: &Arguments<'_>) -> Answer {
    let text = a.text(0)?;
    let fail = |error: csv::Error| Failure::Argument(0, error.to_string());
    let mut reader = csv::ReaderBuilder::new().has_headers(true).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(fail)?.clone();
    let names: Vec<Arc<str>> = headers.iter().map(Arc::from).collect();
    let mut known = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !known.insert(*name)) {
        return Err(Failure::Argument(0, format!("duplicate column name {twice:?}")));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(fail)?;
        a.spend(64 * names.len() as u64)?;
        let row: BTreeMap<_, _> = names.iter().cloned().zip(record.iter().map(Value::text)).collect();
        rows.push(Value::object(row));
    }
    Ok(Value::list(ListKind::List, rows))
}

fn urlencode(a: &Arguments<'_>) -> Answer {
    let mut out = String::new();
    for byte in a.text(0)?.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    Ok(Value::text(out))
}
