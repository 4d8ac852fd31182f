//! Dynamic blocks: their parts, and the rounds that each of them makes.

use std::sync::Arc;

use super::Instance;
use crate::diagnostic::{Outcome, Problem, nearest};
use crate::evaluate::{Evaluator, Scope};
use crate::source::Span;
use crate::tree::{self, Block, Body, Expression, Item, Label};
use crate::value::Value;

/// The name that one made block brings into scope.
pub(super) type Round = [(Arc<str>, Value); 1];

/// The parts of a dynamic block.
pub(super) struct DynamicForm<'t> {
    pub(super) kind: &'t str,
    pub(super) kind_span: Span,
    head: Span,
    brace: Span,
    for_each: &'t Expression,
    iterator: Arc<str>,
    labels: Option<&'t Expression>,
    content: &'t Body,
}

impl<'t> DynamicForm<'t> {
    pub(super) fn read(block: &'t Block) -> Outcome<Self> {
        let [label] = &*block.labels else {
            let span = block.labels.get(1).map_or(block.brace, |label| label.span);
            return Err(Problem::new(
                span,
                "Invalid dynamic block",
                "A dynamic block has one label: the type of the blocks that it makes.",
            ));
        };
        let (mut for_each, mut iterator, mut labels, mut content) = (None, None, None, None);
        for item in &block.body.items {
            match item {
                Item::Attribute(attribute) => match attribute.name.as_str() {
                    "for_each" => for_each = Some(&attribute.value),
                    "labels" => labels = Some(&attribute.value),
                    "iterator" => iterator = Some(iterator_name(&attribute.value)?),
                    name => {
                        let mut detail = format!(
                            "An argument named {name:?} is not expected here: a dynamic block has for_each, iterator, labels and a content block."
                        );
                        if let Some(near) = nearest(name, ["for_each", "iterator", "labels"]) {
                            detail.push_str(&format!(" Did you mean {near:?}?"));
                        }
                        return Err(Problem::new(attribute.name_span, "Unsupported argument", detail));
                    }
                },
                Item::Block(inner) if inner.kind == "content" && content.is_none() => content = Some(&inner.body),
                Item::Block(inner) if inner.kind == "content" => {
                    return Err(Problem::new(
                        inner.kind_span,
                        "Extraneous dynamic content block",
                        "A dynamic block has one content block, and this is the second.",
                    ));
                }
                Item::Block(inner) => {
                    let detail = format!(
                        "Blocks of type {:?} are not expected here: what a dynamic block makes stands in its content block.",
                        inner.kind
                    );
                    return Err(Problem::new(inner.kind_span, "Unsupported block type", detail));
                }
            }
        }
        let head = block.head();
        let for_each = for_each.ok_or_else(|| {
            Problem::new(
                head,
                "Missing required argument",
                "The argument \"for_each\" is required, but no definition was found.",
            )
        })?;
        let content = content.ok_or_else(|| {
            Problem::new(
                head,
                "Missing dynamic content block",
                "A dynamic block needs a content block, which says what stands in each block that it makes.",
            )
        })?;
        let iterator = iterator.unwrap_or_else(|| Arc::from(label.text.as_str()));
        Ok(Self {
            kind: &label.text,
            kind_span: label.span,
            head,
            brace: block.brace,
            for_each,
            iterator,
            labels,
            content,
        })
    }

    /// The names that each made block brings into scope.
    pub(super) fn rounds(&self, evaluator: &Evaluator<'_>, scope: &Scope<'_>) -> Outcome<Vec<Round>> {
        let value = evaluator.evaluate(self.for_each, scope)?;
        let Some(pairs) = value.pairs() else {
            let detail = match &value {
                Value::Null => "A list, set or map is required for for_each, but this is null.".to_owned(),
                other => {
                    format!("A list, set or map is required for for_each, but this is a {}.", other.type_name())
                }
            };
            return Err(Problem::new(self.for_each.span, "Invalid dynamic for_each value", detail));
        };
        evaluator.charge(self.for_each.span, 256 * pairs.len() as u64)?;
        let rounds = pairs.into_iter().map(|(key, value)| {
            let fields = [(Arc::from("key"), key), (Arc::from("value"), value)];
            [(Arc::clone(&self.iterator), Value::object(fields.into_iter().collect()))]
        });
        Ok(rounds.collect())
    }

    pub(super) fn labels(&self, evaluator: &Evaluator<'_>, scope: &Scope<'_>) -> Outcome<Vec<Label>> {
        let Some(expression) = self.labels else { return Ok(Vec::new()) };
        let value = evaluator.evaluate(expression, scope)?;
        let wrong = |detail: &str| Problem::new(expression.span, "Invalid dynamic block label", detail);
        let list = value.as_list().ok_or_else(|| wrong("The labels of a dynamic block are a list of strings."))?;
        let labels = list.items.iter().map(|item| {
            let text = item
                .to_text()
                .filter(|text| !text.is_empty())
                .ok_or_else(|| wrong("A label is a string that is not empty."))?;
            Ok(Label { text: text.to_string(), span: expression.span })
        });
        labels.collect()
    }

    pub(super) fn instance(&self, labels: Vec<Label>) -> Instance<'t> {
        Instance {
            kind: self.kind,
            kind_span: self.kind_span,
            head: self.head,
            brace: self.brace,
            labels,
            body: self.content,
        }
    }
}

fn iterator_name(expression: &Expression) -> Outcome<Arc<str>> {
    match &expression.kind {
        tree::Kind::Reference(reference) if reference.steps.is_empty() => Ok(Arc::clone(&reference.root)),
        tree::Kind::Text(name) => Ok(Arc::clone(name)),
        _ => Err(Problem::new(
            expression.span,
            "Invalid expression",
            "A single name is required here: what the content calls the element at hand.",
        )),
    }
}
