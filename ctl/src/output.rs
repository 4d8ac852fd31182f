//! `-json`, `-t` and `-o`: the answer itself instead of the text for people.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::failure::Failure;

/// The flags of commands whose answer can be shown as it is.
#[derive(Args, Clone, Debug, Default)]
pub struct Output {
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
    /// Format the answer with a Go-like template, such as '{{.ID}}'
    #[arg(short = 't', value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// Print as json, yaml, table or name
    #[arg(short = 'o', long = "output-format", value_name = "FORMAT")]
    pub format: Option<Format>,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON, indented.
    Json,
    /// YAML.
    Yaml,
    /// The text for people.
    Table,
    /// One id or name a line.
    Name,
}

impl Output {
    /// Whether something else than the text for people is wanted.
    pub fn is_raw(&self) -> bool {
        self.json || self.template.is_some() || !matches!(self.format, None | Some(Format::Table))
    }

    /// The answer in the wanted form, with a line end; `None` when the text for people is wanted.
    pub fn render(&self, value: &Value) -> Result<Option<String>, Failure> {
        if self.json && self.template.is_some() {
            return Err(Failure::new("Both json and template formatting are not allowed"));
        }
        if let Some(template) = &self.template {
            return template::render(template, value)
                .map(Some)
                .map_err(|error| Failure::new(format!("Error formatting the data: {error}")));
        }
        match (self.json, self.format) {
            (true, _) | (_, Some(Format::Json)) => {
                let mut bytes = Vec::new();
                let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
                serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
                    .map_err(|error| Failure::new(format!("Error formatting the data: {error}")))?;
                Ok(Some(format!("{}\n", String::from_utf8_lossy(&bytes))))
            }
            (_, Some(Format::Yaml)) => serde_norway::to_string(value)
                .map(Some)
                .map_err(|error| Failure::new(format!("Error formatting the data: {error}"))),
            (_, Some(Format::Name)) => Ok(Some(names(value))),
            _ => Ok(None),
        }
    }
}

/// The ids (or names) of a list or of one thing, one a line.
fn names(value: &Value) -> String {
    let name = |item: &Value| {
        ["ID", "Name", "Accessor"].iter().find_map(|key| item.get(key)?.as_str().map(str::to_owned)).unwrap_or_default()
    };
    match value {
        Value::Array(items) => items.iter().map(|item| format!("{}\n", name(item))).collect(),
        other => format!("{}\n", name(other)),
    }
}

mod template;
