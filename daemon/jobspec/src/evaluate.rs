//! Evaluates expressions of the syntax tree.
//!
//! A name that nobody here knows (`attr.kernel.name`, `NOMAD_PORT_http`) stays in the job as text, for the client.
//! Work is bounded: every value and every call is paid for from one budget.

mod access;
mod operators;
mod repeat;

pub(crate) use access::element;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::value::Time;

use crate::Files;
use crate::diagnostic::{Outcome, Problem};
use crate::functions;
use crate::source::Span;
use crate::tree::{Access, Expression, Kind};
use crate::value::{DEPTH_LIMIT, SIZE_LIMIT, Value};

/// Bytes of values that one file may make.
const BUDGET: u64 = 192 << 20;
/// How deep evaluation may go: locals that refer to locals, whatever their expressions.
const RECURSION_LIMIT: u32 = 200;

/// Names in scope.
pub(crate) struct Scope<'s> {
    names: &'s [(Arc<str>, Value)],
    parent: Option<&'s Scope<'s>>,
}

impl<'s> Scope<'s> {
    pub fn root(names: &'s [(Arc<str>, Value)]) -> Self {
        Self { names, parent: None }
    }

    pub fn child(&'s self, names: &'s [(Arc<str>, Value)]) -> Self {
        Scope { names, parent: Some(self) }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some((_, value)) = here.names.iter().find(|(known, _)| &**known == name) {
                return Some(value);
            }
            scope = here.parent;
        }
        None
    }
}

/// A local value: evaluated when it is first asked for.
pub(crate) struct Local<'t> {
    pub expression: &'t Expression,
    pub state: LocalState,
}

#[derive(Clone)]
pub(crate) enum LocalState {
    Waiting,
    Running,
    Known(Value),
    Failed,
}

/// What a name that nobody here knows means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It stays as text for the client.
    Text,
    /// It is an error (files of variables).
    Error,
}

/// What functions get from outside, and the budget.
pub(crate) struct Host<'a> {
    pub files: Option<&'a dyn Files>,
    pub now: Time,
    pub seed: u64,
    spent: Cell<u64>,
    counter: Cell<u64>,
}

impl Host<'_> {
    /// Pays for work; refused when the budget is gone.
    pub fn spend(&self, bytes: u64) -> Result<(), String> {
        let spent = self.spent.get().saturating_add(bytes);
        self.spent.set(spent);
        if spent <= BUDGET { Ok(()) } else { Err(format!("this file makes more than {} MiB of values", BUDGET >> 20)) }
    }

    /// A number that differs at each call, the same for the same file.
    pub fn next_count(&self) -> u64 {
        let count = self.counter.get();
        self.counter.set(count + 1);
        count
    }
}

/// Evaluates the expressions of one set of files, with one budget.
pub(crate) struct Evaluator<'a> {
    pub host: Host<'a>,
    pub unknown: Cell<Unknown>,
    pub variables: RefCell<Option<Value>>,
    pub locals: RefCell<Option<BTreeMap<String, Local<'a>>>>,
    /// Problems inside of locals, reported once.
    pub local_problems: RefCell<Vec<Problem>>,
    depth: Cell<u32>,
}

/// The summary of a problem that has been reported where it arose.
pub(crate) const REPORTED: &str = "";

impl<'a> Evaluator<'a> {
    pub fn new(files: Option<&'a dyn Files>, now: Time, seed: u64) -> Self {
        Self {
            host: Host { files, now, seed, spent: Cell::new(0), counter: Cell::new(0) },
            unknown: Cell::new(Unknown::Text),
            variables: RefCell::new(None),
            locals: RefCell::new(None),
            local_problems: RefCell::new(Vec::new()),
            depth: Cell::new(0),
        }
    }

    pub fn charge(&self, span: Span, bytes: u64) -> Outcome<()> {
        self.host
            .spend(bytes)
            .map_err(|detail| Problem::new(span, "Too much work", format!("Evaluation stopped: {detail}.")))
    }

    /// Pays for a value and refuses one that is too large or too deep.
    fn keep(&self, span: Span, value: Value) -> Outcome<Value> {
        if value.size() > SIZE_LIMIT || value.depth() > DEPTH_LIMIT {
            let detail = format!("A value may take {} MiB and be nested {DEPTH_LIMIT} deep.", SIZE_LIMIT >> 20);
            return Err(Problem::new(span, "Value too large", detail));
        }
        self.charge(span, value.size())?;
        Ok(value)
    }

    pub fn evaluate(&self, expression: &Expression, scope: &Scope<'_>) -> Outcome<Value> {
        let depth = self.depth.get();
        if depth >= RECURSION_LIMIT {
            return Err(Problem::new(
                expression.span,
                "Nesting too deep",
                "Expressions that refer to each other are nested too deep here.",
            ));
        }
        self.depth.set(depth + 1);
        let result = self.evaluate_kind(expression, scope);
        self.depth.set(depth);
        result
    }

    fn evaluate_kind(&self, expression: &Expression, scope: &Scope<'_>) -> Outcome<Value> {
        let span = expression.span;
        match &expression.kind {
            Kind::Null => Ok(Value::Null),
            Kind::Bool(bool) => Ok(Value::Bool(*bool)),
            Kind::Number(number) => {
                self.charge(span, 48)?;
                Ok(Value::Number(number.clone()))
            }
            Kind::Text(text) => {
                self.charge(span, 24)?;
                Ok(Value::Text(Arc::clone(text)))
            }
            Kind::Template(parts) => {
                let mut text = String::new();
                self.template(parts, scope, span, &mut text)?;
                self.keep(span, Value::text(text))
            }
            Kind::List(items) => {
                let items = items.iter().map(|item| self.evaluate(item, scope)).collect::<Outcome<_>>()?;
                self.keep(span, Value::tuple(items))
            }
            Kind::Object(items) => {
                let mut object = BTreeMap::new();
                for (key, value) in items {
                    let key = self.key(key, scope)?;
                    object.insert(key, self.evaluate(value, scope)?);
                }
                self.keep(span, Value::object(object))
            }
            Kind::Reference(reference) => self.reference(reference, span, scope),
            Kind::Access(access) => {
                let Access { of, steps } = &**access;
                let value = self.evaluate(of, scope)?;
                self.steps(value, steps, scope)
            }
            Kind::Call(call) => {
                let value = functions::call(self, call, span, scope)?;
                self.keep(span, value)
            }
            Kind::Unary(operator, operand) => self.unary(*operator, operand, span, scope),
            Kind::Binary(operator, sides) => self.binary(*operator, &sides.0, &sides.1, span, scope),
            Kind::Conditional(parts) => self.conditional(&parts.0, &parts.1, &parts.2, scope),
            Kind::For(form) => {
                let value = self.for_expression(form, scope)?;
                self.keep(span, value)
            }
        }
    }

    fn key(&self, key: &Expression, scope: &Scope<'_>) -> Outcome<Arc<str>> {
        match self.evaluate(key, scope)? {
            Value::Null => Err(Problem::new(key.span, "Null value as key", "A key cannot be null.")),
            value => value.to_text().ok_or_else(|| {
                Problem::new(
                    key.span,
                    "Incorrect key type",
                    format!("A key is a string, but this is a {}.", value.type_name()),
                )
            }),
        }
    }
}
