//! `for` expressions and templates.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::{Evaluator, Scope};
use crate::diagnostic::{Outcome, Problem};
use crate::source::Span;
use crate::tree::{Expression, For, Part, TemplateFor};
use crate::value::{SIZE_LIMIT, Value};

/// The names that one round of a loop brings into scope.
type Round = Vec<(Arc<str>, Value)>;

impl Evaluator<'_> {
    pub(super) fn for_expression(&self, form: &For, scope: &Scope<'_>) -> Outcome<Value> {
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
                        let detail = format!("What follows if is true or false, but this is a {}.", holds.type_name());
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
                continue;
            }
            match object.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert(value)),
                Entry::Occupied(entry) => {
                    let detail = format!(
                        "More than one item has the key {:?}. Write ... after the value to collect the values of each key in a list.",
                        entry.key()
                    );
                    return Err(Problem::new(key.span, "Duplicate object key", detail));
                }
            }
        }
        Ok(match (&form.key, form.group) {
            (None, _) => Value::tuple(list),
            (Some(_), true) => {
                Value::object(groups.into_iter().map(|(key, items)| (key, Value::tuple(items))).collect())
            }
            (Some(_), false) => Value::object(object),
        })
    }

    /// The names that each round of a loop brings.
    pub(super) fn iterate(
        &self,
        collection: &Expression,
        key: Option<&Arc<str>>,
        value: &Arc<str>,
        scope: &Scope<'_>,
    ) -> Outcome<Vec<Round>> {
        let items = self.evaluate(collection, scope)?;
        let Some(pairs) = items.pairs() else {
            let detail = match &items {
                Value::Null => "A list, set or map is required to go through, but this is null.".to_owned(),
                other => format!("A list, set or map is required to go through, but this is a {}.", other.type_name()),
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

    pub(super) fn template(&self, parts: &[Part], scope: &Scope<'_>, span: Span, out: &mut String) -> Outcome<()> {
        for part in parts {
            match part {
                Part::Text(text) => self.append(text, span, out)?,
                Part::Value(expression) => {
                    let value = self.evaluate(expression, scope)?;
                    let Some(text) = value.to_text() else {
                        let detail = match &value {
                            Value::Null => "A template cannot contain null.".to_owned(),
                            other => format!(
                                "A template can contain strings, numbers and bools, but this is a {}.",
                                other.type_name()
                            ),
                        };
                        return Err(Problem::new(expression.span, "Invalid template interpolation value", detail));
                    };
                    self.append(&text, expression.span, out)?;
                }
                Part::If(condition, yes, no) => {
                    let value = self.evaluate(condition, scope)?;
                    let Some(holds) = value.to_bool() else {
                        let detail = format!("A condition is true or false, but this one is a {}.", value.type_name());
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

    pub(super) fn append(&self, text: &str, span: Span, out: &mut String) -> Outcome<()> {
        if (out.len() + text.len()) as u64 > SIZE_LIMIT {
            let detail = format!("A text may have {} MiB.", SIZE_LIMIT >> 20);
            return Err(Problem::new(span, "Value too large", detail));
        }
        self.charge(span, 8 + text.len() as u64)?;
        out.push_str(text);
        Ok(())
    }
}
