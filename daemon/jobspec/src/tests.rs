//! Tests of the language: functions, expressions, errors, and what no input may do.

mod errors;
mod functions;
mod language;
mod robust;

use nomadd_model::value::Time;

use crate::evaluate::{Evaluator, Scope};
use crate::{Errors, Files, Options, Parsed, Source, native, parse};

/// An expression's value as JSON text, or what is wrong with it.
fn value_with(text: &str, files: Option<&dyn Files>) -> Result<String, String> {
    let evaluator = Evaluator::new(files, Time(0), 7);
    let value =
        native::parse_expression(text, None).and_then(|expression| evaluator.evaluate(&expression, &Scope::root(&[])));
    value.map(|value| crate::functions::to_json_text(&value)).map_err(|problem| problem.detail.clone())
}

fn value(text: &str) -> Result<String, String> {
    value_with(text, None)
}

fn job(text: &str) -> Result<Parsed, Errors> {
    parse(Source { name: "test.hcl", text }, &Options::default())
}
