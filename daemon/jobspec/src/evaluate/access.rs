//! Names, and what is taken out of values: attributes, elements, splats.

use std::sync::Arc;

use super::{Evaluator, LocalState, RECURSION_LIMIT, REPORTED, Scope, Unknown};
use crate::diagnostic::{Outcome, Problem, nearest};
use crate::source::Span;
use crate::tree::{Kind, Reference, Step, StepKind};
use crate::value::Value;

impl Evaluator<'_> {
    pub(super) fn reference(&self, reference: &Reference, span: Span, scope: &Scope<'_>) -> Outcome<Value> {
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
                        let detail = format!(
                            "{root} is known only where the task runs, so only fixed names and indexes can be taken out of it."
                        );
                        return Err(Problem::new(step.span, "Invalid index", detail));
                    }
                }
                self.charge(span, 24)?;
                Ok(Value::Text(Arc::clone(&reference.text)))
            }
        }
    }

    pub(super) fn local(&self, reference: &Reference, span: Span, scope: &Scope<'_>) -> Outcome<Value> {
        match reference.steps.split_first() {
            Some((Step { kind: StepKind::Attribute(name), span: step }, rest)) => {
                let value = self.local_value(name, *step)?;
                self.steps(value, rest, scope)
            }
            _ => {
                let names: Vec<String> =
                    self.locals.borrow().iter().flat_map(|locals| locals.keys().cloned()).collect();
                let values =
                    names.into_iter().map(|name| Ok((Arc::from(name.as_str()), self.local_value(&name, span)?)));
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

    pub(super) fn steps(&self, mut value: Value, steps: &[Step], scope: &Scope<'_>) -> Outcome<Value> {
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

    pub(super) fn splat(
        &self,
        value: Value,
        each: &[Step],
        after: &[Step],
        span: Span,
        scope: &Scope<'_>,
    ) -> Outcome<Value> {
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
}

fn missing_attribute<'n>(name: &str, span: Span, known: impl IntoIterator<Item = &'n str>) -> Problem {
    let problem =
        Problem::new(span, "Unsupported attribute", format!("This object does not have an attribute named {name:?}."));
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
            let detail = format!(
                "A {} has no attributes: choose an element first, such as [0], or use [*] for all.",
                value.type_name()
            );
            Err(Problem::new(span, "Unsupported attribute", detail))
        }
        Value::Null => Err(Problem::new(
            span,
            "Attempt to get attribute from null value",
            "This is null, which has no attributes.",
        )),
        other => {
            let detail = format!("This is a {}, which has no attributes.", other.type_name());
            Err(Problem::new(span, "Unsupported attribute", detail))
        }
    }
}

pub(crate) fn element(value: &Value, key: &Value, span: Span) -> Outcome<Value> {
    let invalid = |detail: String| Problem::new(span, "Invalid index", detail);
    match value {
        Value::List(list) => {
            let Some(number) = key.to_number() else {
                return Err(invalid(format!("A list has numbered elements, but this index is a {}.", key.type_name())));
            };
            let Some(index) = number.to_i64() else {
                return Err(invalid("A list has numbered elements, but this index is no whole number.".to_owned()));
            };
            match usize::try_from(index).ok().and_then(|index| list.items.get(index)) {
                Some(item) => Ok(item.clone()),
                None if list.items.is_empty() => {
                    Err(invalid("There is no such element: the list is empty.".to_owned()))
                }
                None => Err(invalid(format!(
                    "There is no such element: {index} is not between 0 and {}.",
                    list.items.len() - 1
                ))),
            }
        }
        Value::Map(map) => {
            let Some(key) = key.to_text() else {
                return Err(invalid(format!("A map has named elements, but this key is a {}.", key.type_name())));
            };
            match map.items.get(&key) {
                Some(item) => Ok(item.clone()),
                None => {
                    let problem = invalid(format!("There is no element named {key:?}."));
                    Err(match nearest(&key, map.items.keys().map(|key| &**key)) {
                        Some(near) => problem.hint(format!("did you mean {near:?}?")),
                        None => problem,
                    })
                }
            }
        }
        Value::Null => Err(Problem::new(span, "Attempt to index null value", "This is null, which has no elements.")),
        other => Err(invalid(format!("This is a {}, which has no elements.", other.type_name()))),
    }
}
