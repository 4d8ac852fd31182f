//! Values and variable files that stand alone: for commands that read HCL which is no job.

use std::collections::BTreeMap;

use nomadd_model::value::Time;
use serde_json::Value as Json;

use crate::diagnostic::{Diagnostic, Errors};
use crate::evaluate::{Evaluator, Scope, Unknown};
use crate::source::File;
use crate::variables::read_variable_file;
use crate::{Source, native};

/// Reads one expression such as `["a", 1 + 1]`; nothing but functions without files may be used in it.
pub fn parse_value(source: Source<'_>) -> Result<Json, Errors> {
    let text = source.text.trim();
    let evaluator = Evaluator::new(None, Time(0), 0);
    evaluator.unknown.set(Unknown::Error);
    let value =
        native::parse_expression(text, None).and_then(|expression| evaluator.evaluate(&expression, &Scope::root(&[])));
    value.map(|value| value.to_json()).map_err(|problem| Diagnostic::at(&File::new(source.name, text), problem).into())
}

/// Reads a file of lines `name = value`, in HCL or JSON.
pub fn parse_variable_file(source: Source<'_>) -> Result<BTreeMap<String, Json>, Errors> {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(source.text);
    let values = read_variable_file(text, &Evaluator::new(None, Time(0), 0));
    let file = File::new(source.name, text);
    let values = values
        .map_err(|problems| Errors(problems.into_iter().map(|problem| Diagnostic::at(&file, problem)).collect()))?;
    Ok(values.into_iter().map(|(name, _, value)| (name, value.to_json())).collect())
}
