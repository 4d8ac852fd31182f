//! Values of arguments → the API's types.

use nomadd_model::value::Duration;
use serde_json::{Map, Value as Json};

use super::Decoder;
use crate::diagnostic::{Outcome, Problem};
use crate::schema::{Argument, Kind};
use crate::source::Span;
use crate::tree::{self, Expression};
use crate::value::{Value, number_to_json};

impl Decoder<'_, '_> {
    pub(super) fn unsuitable(&self, expression: &Expression, need: &str) -> Problem {
        Problem::new(self.inside_quotes(expression.span), "Unsuitable value type", format!("Unsuitable value: {need}"))
    }

    /// A quoted text is named by what is between its quotes.
    pub(super) fn inside_quotes(&self, span: Span) -> Span {
        let text = self.file.slice(span);
        if text.len() > 2 && text.starts_with('"') && text.ends_with('"') {
            return Span { start: span.start + 1, end: span.end - 1 };
        }
        span
    }

    pub(super) fn texts(&self, value: &Value, expression: &Expression) -> Outcome<Json> {
        let Some(list) = value.as_list() else {
            return Err(
                self.unsuitable(expression, &format!("list of string required, but have {}", value.type_name()))
            );
        };
        let items = list.items.iter().enumerate().map(|(index, item)| {
            let text = item.to_text().filter(|_| !item.is_null());
            let text = text.ok_or_else(|| {
                self.unsuitable(
                    element(expression, index),
                    &format!("element {index}: string required, but have {}", item.type_name()),
                )
            })?;
            Ok(Json::String(text.to_string()))
        });
        items.collect::<Outcome<Vec<_>>>().map(Json::Array)
    }

    pub(super) fn convert(&self, argument: &Argument, value: &Value, expression: &Expression) -> Outcome<Json> {
        if value.is_null() {
            return Ok(Json::Null);
        }
        self.evaluator.charge(expression.span, value.size())?;
        let name = argument.hcl;
        let wrong = |need: &str| {
            let shown = match value {
                Value::Text(text) if text.starts_with("${") => {
                    format!("{text}, which is known only where the task runs")
                }
                Value::Text(text) => format!("the text {:?}", text.chars().take(60).collect::<String>()),
                Value::Number(number) => format!("the number {number}"),
                other => format!("a {}", other.type_name()),
            };
            self.unsuitable(expression, &format!("{need} is required for {name}, but this is {shown}"))
        };
        match argument.kind {
            Kind::Text => value.to_text().map(|text| Json::String(text.to_string())).ok_or_else(|| wrong("a string")),
            Kind::Bool => value.to_bool().map(Json::Bool).ok_or_else(|| wrong("a bool (true or false)")),
            Kind::Integer => {
                let number = value.to_number().ok_or_else(|| wrong("a number"))?;
                number.to_i64().map(Json::from).ok_or_else(|| wrong("a whole number"))
            }
            Kind::Unsigned => {
                let number = value.to_number().ok_or_else(|| wrong("a number"))?;
                number
                    .to_i64()
                    .filter(|number| *number >= 0)
                    .map(Json::from)
                    .ok_or_else(|| wrong("a whole number that is not negative"))
            }
            Kind::Duration => match value {
                Value::Text(text) => Duration::parse(text)
                    .map(|span| Json::from(span.as_nanos()))
                    .map_err(|_| wrong("a duration such as \"30s\" or \"1h10m\"")),
                Value::Number(number) => {
                    number.to_i64().map(Json::from).ok_or_else(|| wrong("a whole number of nanoseconds"))
                }
                _ => Err(wrong("a duration such as \"30s\"")),
            },
            Kind::Texts => self.texts(value, expression),
            Kind::Integers => {
                let list = value.as_list().ok_or_else(|| wrong("a list of numbers"))?;
                let items = list.items.iter().map(|item| {
                    let number = item.to_number().filter(|number| number.to_i64().is_some());
                    number.map(|number| number_to_json(&number)).ok_or_else(|| wrong("a list of whole numbers"))
                });
                items.collect::<Outcome<Vec<_>>>().map(Json::Array)
            }
            Kind::TextMap => {
                let map = value.as_map().ok_or_else(|| wrong("a map of strings"))?;
                let mut texts = Map::new();
                for (key, item) in map.items.iter().filter(|(_, item)| !item.is_null()) {
                    let text = item.to_text().ok_or_else(|| {
                        self.unsuitable(
                            expression,
                            &format!("element {key:?}: string required, but have {}", item.type_name()),
                        )
                    })?;
                    texts.insert(key.to_string(), Json::String(text.to_string()));
                }
                Ok(Json::Object(texts))
            }
        }
    }
}

/// The place of one element, where the list is written out.
fn element(expression: &Expression, index: usize) -> &Expression {
    match &expression.kind {
        tree::Kind::List(items) => items.get(index).unwrap_or(expression),
        _ => expression,
    }
}
