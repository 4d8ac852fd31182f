//! Evaluates expressions of the syntax tree.
//!
//! A name that nobody here knows (`attr.kernel.name`, `NOMAD_PORT_http`) stays in the job as text, for the client.
//! Work is bounded: every value and every call is paid for from one budget.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::value::Time;

use crate::Files;
use crate::diagnostic::{Outcome, Problem, nearest};
use crate::functions;
use crate::number::Number;
use crate::source::Span;
use crate::tree::{Access, Binary, Expression, For, Kind, Part, Reference, Step, StepKind, TemplateFor, Unary};
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
    pub local_problems: RefCell<Vec<Box<Problem>>>,
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
        self.host.spend(bytes).map_err(|detail| Problem::new(span, "Too much work", format!("Evaluation stopped: {detail}.")))
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
            return Err(Problem::new(expression.span, "Nesting too deep", "Expressions that refer to each other are nested too deep here."));
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
            Value::Null => Err(Problem::new(key.span, "Null value as key", "Can't use a null value as a key.")),
            value => value.to_text().ok_or_else(|| {
                Problem::new(key.span, "Incorrect key type", format!("Can't use this value as a key: string required, but have {}.", value.type_name()))
            }),
        }
    }

    fn reference(&self, reference: &Reference, span: Span, scope: &Scope<'_>) -> Outcome<Value> {
        let root = &*reference.root;
        if let Some(value) = scope.get(root) {
            return self.steps(value.clone(), &reference.steps, scope);
        }
        match root {
            "var" if self.variables.borrow().is_some() => {
                let variables = self.variables.borrow().clone().unwrap_or(Value::Null);
                self.steps(variables, &reference.steps, scope)
            }
            "local" if self.locals.borrow().is_some() => self.local(reference, span, scope),
            _ if self.unknown.get() == Unknown::Error => {
                let detail = format!("Variables may not be used here: {root:?} means nothing in this file.");
                Err(Problem::new(span, "Variables not allowed", detail))
            }
            _ => {
                for step in &reference.steps {
                    let literal = match &step.kind {
                        StepKind::Attribute(_) => true,
                        StepKind::Index(key) => matches!(key.kind, Kind::Text(_) | Kind::Number(_)),
                        _ => false,
                    };
                    if !literal {
                        let detail = format!("{root} is known only where the task runs, so only fixed names and indexes can be taken out of it.");
                        return Err(Problem::new(step.span, "Invalid index", detail));
                    }
                }
                self.charge(span, 24)?;
                Ok(Value::Text(Arc::clone(&reference.text)))
            }
        }
    }

    fn local(&self, reference: &Reference, span: Span, scope: &Scope<'_>) -> Outcome<Value> {
        match reference.steps.split_first() {
            Some((Step { kind: StepKind::Attribute(name), span: step }, rest)) => {
                let value = self.local_value(name, *step)?;
                self.steps(value, rest, scope)
            }
            _ => {
                let names: Vec<String> = self.locals.borrow().iter().flat_map(|locals| locals.keys().cloned()).collect();
                let values = names.into_iter().map(|name| Ok((Arc::from(name.as_str()), self.local_value(&name, span)?)));
                let all = Value::object(values.collect::<Outcome<_>>()?);
                self.steps(self.keep(span, all)?, &reference.steps, scope)
            }
        }
    }

    /// Evaluates a local value at its first use.
    pub fn local_value(&self, name: &str, step: Span) -> Outcome<Value> {
        let (expression, state) = {
            let locals = self.locals.borrow();
            let Some(local) = locals.as_ref().and_then(|locals| locals.get(name)) else {
                let names = locals.iter().flat_map(|locals| locals.keys().map(String::as_str));
                return Err(missing_attribute(name, step, names));
            };
            (local.expression, local.state.clone())
        };
        let set = |state: LocalState| {
            if let Some(local) = self.locals.borrow_mut().as_mut().and_then(|locals| locals.get_mut(name)) {
                local.state = state;
            }
        };
        match state {
            LocalState::Known(value) => Ok(value),
            LocalState::Failed => Err(Problem::new(step, REPORTED, "")),
            LocalState::Running => {
                let detail = format!("The local value {name:?} needs itself to be known.");
                Err(Problem::new(step, "Circular reference between locals", detail))
            }
            LocalState::Waiting => {
                set(LocalState::Running);
                match self.evaluate(expression, &Scope::root(&[])) {
                    Ok(value) => {
                        set(LocalState::Known(value.clone()));
                        Ok(value)
                    }
                    Err(problem) => {
                        set(LocalState::Failed);
                        if problem.summary != REPORTED {
                            self.local_problems.borrow_mut().push(problem);
                        }
                        Err(Problem::new(step, REPORTED, ""))
                    }
                }
            }
        }
    }

    /// Forgets what locals failed on, so that `try` and `can` leave no trace.
    pub fn undo_local_problems(&self, count: usize) {
        let mut problems = self.local_problems.borrow_mut();
        if problems.len() > count {
            problems.truncate(count);
            if let Some(locals) = self.locals.borrow_mut().as_mut() {
                for local in locals.values_mut().filter(|local| matches!(local.state, LocalState::Failed)) {
                    local.state = LocalState::Waiting;
                }
            }
        }
    }

    fn steps(&self, mut value: Value, steps: &[Step], scope: &Scope<'_>) -> Outcome<Value> {
        for (index, step) in steps.iter().enumerate() {
            value = match &step.kind {
                StepKind::Attribute(name) => attribute(&value, name, step.span)?,
                StepKind::Index(key) => {
                    let key = self.evaluate(key, scope)?;
                    element(&value, &key, step.span)?
                }
                StepKind::FullSplat => return self.splat(value, &steps[index + 1..], &[], step.span, scope),
                StepKind::AttributeSplat => {
                    let rest = &steps[index + 1..];
                    let each = rest.iter().take_while(|step| matches!(step.kind, StepKind::Attribute(_))).count();
                    return self.splat(value, &rest[..each], &rest[each..], step.span, scope);
                }
            };
        }
        Ok(value)
    }

    fn splat(&self, value: Value, each: &[Step], after: &[Step], span: Span, scope: &Scope<'_>) -> Outcome<Value> {
        let depth = self.depth.get();
        if depth >= RECURSION_LIMIT {
            return Err(Problem::new(span, "Nesting too deep", "There are too many splat operators here."));
        }
        let items = match &value {
            Value::Null => Vec::new(),
            Value::List(list) => list.items.clone(),
            other => vec![other.clone()],
        };
        self.depth.set(depth + 1);
        let items: Outcome<Vec<Value>> = items.into_iter().map(|item| self.steps(item, each, scope)).collect();
        self.depth.set(depth);
        let list = self.keep(span, Value::tuple(items?))?;
        if after.is_empty() { Ok(list) } else { self.steps(list, after, scope) }
    }

    fn number(&self, value: &Value, span: Span) -> Outcome<Number> {
        value.to_number().ok_or_else(|| operand(value, "a number", span))
    }

    fn bool(&self, value: &Value, span: Span) -> Outcome<bool> {
        value.to_bool().ok_or_else(|| operand(value, "a bool", span))
    }

    fn unary(&self, operator: Unary, expression: &Expression, span: Span, scope: &Scope<'_>) -> Outcome<Value> {
        let value = self.evaluate(expression, scope)?;
        self.charge(span, 48)?;
        match operator {
            Unary::Negate => Ok(Value::Number(self.number(&value, expression.span)?.negate())),
            Unary::Not => Ok(Value::Bool(!self.bool(&value, expression.span)?)),
        }
    }

    fn binary(&self, operator: Binary, left: &Expression, right: &Expression, span: Span, scope: &Scope<'_>) -> Outcome<Value> {
        let first = self.evaluate(left, scope)?;
        if let Binary::And | Binary::Or = operator {
            let first = self.bool(&first, left.span)?;
            if first == (operator == Binary::Or) {
                return Ok(Value::Bool(first));
            }
            let second = self.evaluate(right, scope)?;
            return Ok(Value::Bool(self.bool(&second, right.span)?));
        }
        let second = self.evaluate(right, scope)?;
        if let Binary::Equal | Binary::NotEqual = operator {
            self.charge(span, first.size().min(second.size()))?;
            return Ok(Value::Bool(first.equals(&second) == (operator == Binary::Equal)));
        }
        let (a, b) = (self.number(&first, left.span)?, self.number(&second, right.span)?);
        self.charge(span, 256)?;
        let result = match operator {
            Binary::Less => return Ok(Value::Bool(a < b)),
            Binary::LessOrEqual => return Ok(Value::Bool(a <= b)),
            Binary::Greater => return Ok(Value::Bool(a > b)),
            Binary::GreaterOrEqual => return Ok(Value::Bool(a >= b)),
            Binary::Add => a.add(&b),
            Binary::Subtract => a.subtract(&b),
            Binary::Multiply => a.multiply(&b),
            Binary::Divide if b.is_zero() => return Err(Problem::new(right.span, "Division by zero", "Can't divide by zero.")),
            Binary::Divide => a.divide(&b),
            Binary::Remainder if b.is_zero() => {
                return Err(Problem::new(right.span, "Division by zero", "Can't take the remainder of a division by zero."));
            }
            _ => a.remainder(&b),
        };
        result.map(Value::Number).ok_or_else(|| Problem::new(span, "Operation failed", "The result has too many digits."))
    }

    fn conditional(&self, condition: &Expression, yes: &Expression, no: &Expression, scope: &Scope<'_>) -> Outcome<Value> {
        let value = self.evaluate(condition, scope)?;
        if value.is_null() {
            return Err(Problem::new(condition.span, "Null condition", "The condition value is null. Conditions must either be true or false."));
        }
        let Some(holds) = value.to_bool() else {
            let detail = format!("The condition expression must be of type bool, but this is a {}.", value.type_name());
            return Err(Problem::new(condition.span, "Incorrect condition type", detail));
        };
        let (chosen, other) = if holds { (yes, no) } else { (no, yes) };
        let value = self.evaluate(chosen, scope)?;
        // Both sides have one type: a number beside a string is a string. What the other side fails on is of no interest.
        if let (Value::Number(_) | Value::Bool(_), Kind::Text(_) | Kind::Template(_)) = (&value, &other.kind)
            && let Some(text) = value.to_text()
        {
            return Ok(Value::Text(text));
        }
        Ok(value)
    }

    fn for_expression(&self, form: &For, scope: &Scope<'_>) -> Outcome<Value> {
        let mut list = Vec::new();
        let mut object: BTreeMap<Arc<str>, Value> = BTreeMap::new();
        let mut groups: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
        for names in self.iterate(&form.collection, form.key_name.as_ref(), &form.value_name, scope)? {
            let inner = scope.child(&names);
            self.charge(form.value.span, 96)?;
            if let Some(condition) = &form.condition {
                let holds = self.evaluate(condition, &inner)?;
                match holds.to_bool() {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        let detail = format!("The value of the 'if' clause must be a bool, but this is a {}.", holds.type_name());
                        return Err(Problem::new(condition.span, "Invalid 'for' condition", detail));
                    }
                }
            }
            let Some(key) = &form.key else {
                list.push(self.evaluate(&form.value, &inner)?);
                continue;
            };
            let name = self.key(key, &inner)?;
            let value = self.evaluate(&form.value, &inner)?;
            if form.group {
                groups.entry(name).or_default().push(value);
            } else if object.contains_key(&name) {
                let detail = format!("Two different items produced the key {name:?} in this 'for' expression. If duplicates are expected, use the ellipsis (...) after the value expression to enable grouping by key.");
                return Err(Problem::new(key.span, "Duplicate object key", detail));
            } else {
                object.insert(name, value);
            }
        }
        Ok(match (&form.key, form.group) {
            (None, _) => Value::tuple(list),
            (Some(_), true) => Value::object(groups.into_iter().map(|(key, items)| (key, Value::tuple(items))).collect()),
            (Some(_), false) => Value::object(object),
        })
    }

    /// The names that each round of a loop brings.
    fn iterate(&self, collection: &Expression, key: Option<&Arc<str>>, value: &Arc<str>, scope: &Scope<'_>) -> Outcome<Vec<Vec<(Arc<str>, Value)>>> {
        let items = self.evaluate(collection, scope)?;
        let Some(pairs) = items.pairs() else {
            let detail = match &items {
                Value::Null => "A null value cannot be used as the collection in a 'for' expression.".to_owned(),
                other => format!("Cannot use a {} value in 'for' expression: a list, set or map is required.", other.type_name()),
            };
            return Err(Problem::new(collection.span, "Iteration over non-iterable value", detail));
        };
        self.charge(collection.span, 128 * pairs.len() as u64)?;
        let rounds = pairs.into_iter().map(|(item_key, item)| {
            let mut names = vec![(Arc::clone(value), item)];
            names.extend(key.map(|key| (Arc::clone(key), item_key)));
            names
        });
        Ok(rounds.collect())
    }

    fn template(&self, parts: &[Part], scope: &Scope<'_>, span: Span, out: &mut String) -> Outcome<()> {
        for part in parts {
            match part {
                Part::Text(text) => self.append(text, span, out)?,
                Part::Value(expression) => {
                    let value = self.evaluate(expression, scope)?;
                    let Some(text) = value.to_text() else {
                        let detail = match &value {
                            Value::Null => "The expression result is null. Cannot include a null value in a string template.".to_owned(),
                            other => format!("Cannot include the given value in a string template: string required, but this is a {}.", other.type_name()),
                        };
                        return Err(Problem::new(expression.span, "Invalid template interpolation value", detail));
                    };
                    self.append(&text, expression.span, out)?;
                }
                Part::If(condition, yes, no) => {
                    let value = self.evaluate(condition, scope)?;
                    let Some(holds) = value.to_bool() else {
                        let detail = format!("The condition expression must be of type bool, but this is a {}.", value.type_name());
                        return Err(Problem::new(condition.span, "Incorrect condition type", detail));
                    };
                    self.template(if holds { yes } else { no }, scope, span, out)?;
                }
                Part::For(TemplateFor { key_name, value_name, collection, body }) => {
                    for names in self.iterate(collection, key_name.as_ref(), value_name, scope)? {
                        self.template(body, &scope.child(&names), span, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn append(&self, text: &str, span: Span, out: &mut String) -> Outcome<()> {
        if (out.len() + text.len()) as u64 > SIZE_LIMIT {
            let detail = format!("A text may have {} MiB.", SIZE_LIMIT >> 20);
            return Err(Problem::new(span, "Value too large", detail));
        }
        self.charge(span, 8 + text.len() as u64)?;
        out.push_str(text);
        Ok(())
    }
}

fn operand(value: &Value, need: &str, span: Span) -> Box<Problem> {
    let detail = match value {
        Value::Text(text) if text.starts_with("${") => {
            format!("Unsuitable value for this operand: {need} is required, but {text} is known only where the task runs.")
        }
        Value::Null => format!("Unsuitable value for this operand: {need} is required, but this is null."),
        other => format!("Unsuitable value for this operand: {need} is required, but this is a {}.", other.type_name()),
    };
    Problem::new(span, "Invalid operand", detail)
}

fn missing_attribute<'n>(name: &str, span: Span, known: impl IntoIterator<Item = &'n str>) -> Box<Problem> {
    let problem = Problem::new(span, "Unsupported attribute", format!("This object does not have an attribute named {name:?}."));
    match nearest(name, known) {
        Some(near) => problem.hint(format!("did you mean {near:?}?")),
        None => problem,
    }
}

fn attribute(value: &Value, name: &str, span: Span) -> Outcome<Value> {
    match value {
        Value::Map(map) => match map.items.get(name) {
            Some(value) => Ok(value.clone()),
            None => Err(missing_attribute(name, span, map.items.keys().map(|key| &**key))),
        },
        Value::List(list) => {
            if let Ok(index) = name.parse::<usize>()
                && let Some(item) = list.items.get(index)
            {
                return Ok(item.clone());
            }
            let detail = format!("Can't access attributes on a {}: choose an element first, such as [0], or use [*] for all.", value.type_name());
            Err(Problem::new(span, "Unsupported attribute", detail))
        }
        Value::Null => Err(Problem::new(span, "Attempt to get attribute from null value", "This value is null, so it does not have any attributes.")),
        other => {
            let detail = format!("Can't access attributes on a primitive-typed value ({}).", other.type_name());
            Err(Problem::new(span, "Unsupported attribute", detail))
        }
    }
}

pub(crate) fn element(value: &Value, key: &Value, span: Span) -> Outcome<Value> {
    let invalid = |detail: String| Problem::new(span, "Invalid index", detail);
    match value {
        Value::List(list) => {
            let Some(number) = key.to_number() else {
                return Err(invalid(format!("The given key does not identify an element in this collection value: a number is required, but have {}.", key.type_name())));
            };
            let Some(index) = number.to_i64() else {
                return Err(invalid("The given key does not identify an element in this collection value: a whole number is required.".to_owned()));
            };
            match usize::try_from(index).ok().and_then(|index| list.items.get(index)) {
                Some(item) => Ok(item.clone()),
                None if list.items.is_empty() => Err(invalid("The given key does not identify an element in this collection value: the collection has no elements.".to_owned())),
                None => Err(invalid(format!(
                    "The given key does not identify an element in this collection value: {index} is not between 0 and {}.",
                    list.items.len() - 1
                ))),
            }
        }
        Value::Map(map) => {
            let Some(key) = key.to_text() else {
                return Err(invalid(format!("The given key does not identify an element in this collection value: a string is required, but have {}.", key.type_name())));
            };
            match map.items.get(&key) {
                Some(item) => Ok(item.clone()),
                None => {
                    let problem = invalid(format!("The given key {key:?} does not identify an element in this collection value."));
                    Err(match nearest(&key, map.items.keys().map(|key| &**key)) {
                        Some(near) => problem.hint(format!("did you mean {near:?}?")),
                        None => problem,
                    })
                }
            }
        }
        Value::Null => Err(Problem::new(span, "Attempt to index null value", "This value is null, so it does not have any indices.")),
        other => Err(invalid(format!("This value does not have any indices: it is a {}.", other.type_name()))),
    }
}
