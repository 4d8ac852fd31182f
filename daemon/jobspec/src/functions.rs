//! The functions of the job file language: their table, and how a call is made and refused.
//!
//! One file per family. Called by the evaluator only.

mod collection;
mod crypto;
mod date;
mod encoding;
mod files;
mod format;
mod network;
mod number;
mod text;
mod yaml;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

#[cfg(test)]
pub(crate) use encoding::to_json_text;

use crate::diagnostic::{Outcome, Problem, nearest};
use crate::evaluate::{Evaluator, Host, Scope};
use crate::number::Number;
use crate::source::Span;
use crate::tree::Call;
use crate::types::Type;
use crate::value::{List, Map, Value};

/// One function: its name, its parameters in order (`?` optional, `...` any number), what it does.
pub(crate) struct Function {
    pub name: &'static str,
    pub parameters: &'static [&'static str],
    pub run: fn(&Arguments<'_>) -> Answer,
}

/// A result, or which argument is wrong and why.
pub(crate) type Answer = Result<Value, Failure>;

#[derive(Debug)]
pub(crate) enum Failure {
    Argument(usize, String),
    Call(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Call(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Call(message.to_owned())
    }
}

static TABLE: LazyLock<BTreeMap<&'static str, &'static Function>> = LazyLock::new(|| {
    let families = [
        collection::FUNCTIONS,
        crypto::FUNCTIONS,
        date::FUNCTIONS,
        encoding::FUNCTIONS,
        files::FUNCTIONS,
        format::FUNCTIONS,
        network::FUNCTIONS,
        number::FUNCTIONS,
        text::FUNCTIONS,
    ];
    families.into_iter().flatten().map(|function| (function.name, function)).collect()
});

/// Functions that look at their arguments before these are evaluated.
const LAZY: [&str; 3] = ["can", "convert", "try"];

/// The name of every function, in order.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = TABLE.keys().copied().chain(LAZY).collect();
    names.sort_unstable();
    names
}

/// What a function is called with.
pub(crate) struct Arguments<'a> {
    pub host: &'a Host<'a>,
    pub values: &'a [Value],
}

impl Arguments<'_> {
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The argument, null where it was left out.
    pub fn value(&self, index: usize) -> &Value {
        self.values.get(index).unwrap_or(&Value::Null)
    }

    fn present(&self, index: usize) -> Result<&Value, Failure> {
        match self.value(index) {
            Value::Null => Err(Failure::Argument(index, "argument must not be null".to_owned())),
            value => Ok(value),
        }
    }

    pub fn text(&self, index: usize) -> Result<Arc<str>, Failure> {
        self.present(index)?.to_text().ok_or_else(|| self.wrong(index, "a string"))
    }

    pub fn number(&self, index: usize) -> Result<Number, Failure> {
        self.present(index)?.to_number().ok_or_else(|| self.wrong(index, "a number"))
    }

    pub fn integer(&self, index: usize) -> Result<i64, Failure> {
        self.number(index)?.to_i64().ok_or_else(|| self.wrong(index, "a whole number"))
    }

    pub fn list(&self, index: usize) -> Result<&List, Failure> {
        self.present(index)?.as_list().ok_or_else(|| self.wrong(index, "a list"))
    }

    pub fn map(&self, index: usize) -> Result<&Map, Failure> {
        self.present(index)?.as_map().ok_or_else(|| self.wrong(index, "a map"))
    }

    /// The elements of a list as texts.
    pub fn texts(&self, index: usize) -> Result<Vec<Arc<str>>, Failure> {
        let items = self.list(index)?.items.iter().enumerate().map(|(at, item)| {
            item.to_text().ok_or_else(|| {
                Failure::Argument(index, format!("element {at}: string required, but have {}", item.type_name()))
            })
        });
        items.collect()
    }

    pub fn wrong(&self, index: usize, need: &str) -> Failure {
        Failure::Argument(index, format!("{need} is required, but have {}", self.value(index).type_name()))
    }

    /// Pays for work that is not seen in the size of the result.
    pub fn spend(&self, bytes: u64) -> Result<(), Failure> {
        self.host.spend(bytes).map_err(Failure::Call)
    }
}

/// Calls a function as written.
pub(crate) fn call(evaluator: &Evaluator<'_>, call: &Call, span: Span, scope: &Scope<'_>) -> Outcome<Value> {
    if LAZY.contains(&call.name.as_str()) {
        return lazy(evaluator, call, span, scope);
    }
    let Some(function) = TABLE.get(call.name.as_str()) else {
        let mut detail = format!("There is no function named {:?}.", call.name);
        if let Some(near) = nearest(&call.name, names()) {
            detail.push_str(&format!(" Did you mean {near:?}?"));
        }
        return Err(Problem::new(call.head, "Call to unknown function", detail));
    };
    let mut values =
        call.arguments.iter().map(|argument| evaluator.evaluate(argument, scope)).collect::<Outcome<Vec<_>>>()?;
    if call.expand
        && let Some(last) = values.pop()
    {
        let at = call.arguments.last().map_or(span, |argument| argument.span);
        let Some(list) = last.as_list() else {
            return Err(Problem::new(
                at,
                "Invalid expanding argument value",
                "What stands before ... must be a list or a set.",
            ));
        };
        evaluator.charge(at, 24 * list.items.len() as u64)?;
        values.extend(list.items.iter().cloned());
    }
    check_count(function, call, values.len(), span)?;
    evaluator.charge(span, values.iter().fold(64, |sum, value| value.size().saturating_add(sum)))?;
    (function.run)(&Arguments { host: &evaluator.host, values: &values }).map_err(|failure| match failure {
        Failure::Argument(index, message) => {
            let name = parameter(function, index);
            let at = call.arguments.get(index).or(call.arguments.last()).map_or(span, |argument| argument.span);
            Problem::new(at, "Invalid function argument", format!("Invalid value for {name:?} parameter: {message}."))
        }
        Failure::Call(message) => Problem::new(
            call.head,
            "Error in function call",
            format!("Call to function {:?} failed: {message}.", call.name),
        ),
    })
}

fn parameter(function: &Function, index: usize) -> &'static str {
    let name = function.parameters.get(index).or(function.parameters.last()).copied().unwrap_or_default();
    name.trim_end_matches(['?', '.'])
}

fn check_count(function: &Function, call: &Call, given: usize, span: Span) -> Outcome<()> {
    let needed = function.parameters.iter().filter(|name| !name.ends_with(['?', '.'])).count();
    let variadic = function.parameters.last().is_some_and(|name| name.ends_with("..."));
    if given < needed {
        let least = if needed == function.parameters.len() { "" } else { "at least " };
        let missing = parameter(function, given);
        let detail =
            format!("Function {:?} expects {least}{needed} argument(s). Missing value for {missing:?}.", call.name);
        return Err(Problem::new(span, "Not enough function arguments", detail));
    }
    if given > function.parameters.len() && !variadic {
        let detail = format!("Function {:?} expects only {} argument(s).", call.name, function.parameters.len());
        let at = call.arguments.get(function.parameters.len()).map_or(span, |argument| argument.span);
        return Err(Problem::new(at, "Too many function arguments", detail));
    }
    Ok(())
}

fn lazy(evaluator: &Evaluator<'_>, call: &Call, span: Span, scope: &Scope<'_>) -> Outcome<Value> {
    let silently = |argument| {
        let count = evaluator.local_problems.borrow().len();
        let result = evaluator.evaluate(argument, scope);
        evaluator.undo_local_problems(count);
        result
    };
    let fail = |detail: &str| {
        Err(Problem::new(span, "Error in function call", format!("Call to function {:?} failed: {detail}.", call.name)))
    };
    match (call.name.as_str(), &*call.arguments) {
        ("try", []) => fail("at least one argument is required"),
        ("try", arguments) => {
            let mut details = Vec::new();
            for argument in arguments {
                match silently(argument) {
                    Ok(value) => return Ok(value),
                    Err(problem) => details.push(problem.detail.clone()),
                }
            }
            fail(&format!("no expression succeeded: {}", details.join(" ")))
        }
        ("can", [argument]) => Ok(Value::Bool(silently(argument).is_ok())),
        ("convert", [argument, kind]) => {
            let value = evaluator.evaluate(argument, scope)?;
            let kind = Type::parse(kind, evaluator)?;
            evaluator.charge(span, value.size())?;
            kind.convert(&value).map_err(|mismatch| {
                let detail = format!(
                    "Invalid value for \"value\" parameter: cannot convert to {}: {}.",
                    kind.describe(),
                    mismatch.clause()
                );
                Problem::new(argument.span, "Invalid function argument", detail)
            })
        }
        ("can", _) => fail("exactly one argument is required"),
        _ => fail("exactly two arguments are required: a value and a type"),
    }
}

/// A list without duplicates and an own order is a set; all others stay what people see as lists.
pub(crate) fn texts_to_list(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Value {
    Value::list(crate::value::ListKind::List, texts.into_iter().map(Value::text).collect())
}
