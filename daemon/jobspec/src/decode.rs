//! Brings the blocks of a file into the shape that the schema tables say: evaluated, converted, with the API's names.
//!
//! Every mistake is noted and decoding goes on, so that one look at the errors shows all of them.

mod convert;
mod dynamic;
mod map;

use std::collections::BTreeMap;

use dynamic::DynamicForm;
use serde_json::Value as Json;

use crate::diagnostic::{Outcome, Problem, nearest};
use crate::evaluate::{Evaluator, REPORTED, Scope};
use crate::node::{Field, Node};
use crate::rules;
use crate::schema::{Content, Count, Inner, Kind, Schema};
use crate::source::{File, Span};
use crate::tree::{Attribute, Block, Body, Item, Label};

/// More mistakes than this are not collected.
const PROBLEM_LIMIT: usize = 50;

/// How the file was read, which decides what is tolerated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Hcl2,
    Hcl1,
    /// HCL2 in JSON.
    Json,
}

pub(crate) struct Decoder<'d, 'a> {
    pub evaluator: &'d Evaluator<'a>,
    pub file: &'d File<'d>,
    pub dialect: Dialect,
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
}

/// One block, written or made by a dynamic block.
pub(crate) struct Instance<'t> {
    pub kind: &'t str,
    pub kind_span: Span,
    pub head: Span,
    pub brace: Span,
    pub labels: Vec<Label>,
    pub body: &'t Body,
}

impl<'t> Instance<'t> {
    pub fn of(block: &'t Block) -> Self {
        Self {
            kind: &block.kind,
            kind_span: block.kind_span,
            head: block.head(),
            brace: block.brace,
            labels: block.labels.clone(),
            body: &block.body,
        }
    }
}

/// Where in a block what has already stood: by name, and label where that counts.
type Seen = BTreeMap<(&'static str, Option<String>), Span>;

impl Decoder<'_, '_> {
    pub fn note(&mut self, problem: Problem) {
        if problem.summary != REPORTED && self.problems.len() < PROBLEM_LIMIT {
            self.problems.push(problem);
        }
    }

    /// Decodes what stands in a block that has a schema.
    pub fn block(&mut self, schema: &'static Schema, block: &Instance<'_>, scope: &Scope<'_>) -> Node {
        let mut node = Node::new(block.head);
        self.labels(schema, block, &mut node);
        if let Err(problem) = self.evaluator.charge(block.head, 512) {
            self.note(problem);
            return node;
        }
        let mut seen = Seen::new();
        self.items(schema, block.body, scope, &mut node, &mut seen);
        for argument in schema.arguments.iter().filter(|argument| argument.required) {
            if !seen.contains_key(&(argument.hcl, None)) {
                let detail = format!("The argument {:?} is required, but no definition was found.", argument.hcl);
                self.note(Problem::new(block.head, "Missing required argument", detail));
            }
        }
        node
    }

    fn labels(&mut self, schema: &Schema, block: &Instance<'_>, node: &mut Node) {
        let wanted = schema.labels.len();
        let names = schema.labels.iter().map(|label| if matches!(*label, "ID" | "") { "name" } else { label });
        let names = names.map(str::to_lowercase).collect::<Vec<_>>().join(", ");
        if let Some(extra) = block.labels.get(wanted) {
            let kind = block.kind;
            let detail = match wanted {
                0 => format!("No labels are expected for {kind} blocks."),
                _ => format!("Only {wanted} labels ({names}) are expected for {kind} blocks."),
            };
            self.note(Problem::new(extra.span, format!("Extraneous label for {kind}"), detail));
        } else if block.labels.len() < wanted {
            let kind = block.kind;
            let detail = format!("All {kind} blocks must have {wanted} labels ({names}).");
            self.note(Problem::new(block.brace, format!("Missing name for {kind}"), detail));
        }
        for (api, label) in schema.labels.iter().zip(&block.labels) {
            node.set(api, Json::String(label.text.clone()));
        }
    }

    fn items(&mut self, schema: &'static Schema, body: &Body, scope: &Scope<'_>, node: &mut Node, seen: &mut Seen) {
        for item in &body.items {
            match item {
                Item::Attribute(attribute) => self.attribute(schema, attribute, scope, node, seen),
                Item::Block(block) if block.kind == "dynamic" => {
                    if let Err(problem) = self.dynamic(schema, block, scope, node, seen) {
                        self.note(problem);
                    }
                }
                Item::Block(block) => self.inner(schema, &Instance::of(block), scope, node, seen),
            }
        }
    }

    fn attribute(
        &mut self,
        schema: &'static Schema,
        attribute: &Attribute,
        scope: &Scope<'_>,
        node: &mut Node,
        seen: &mut Seen,
    ) {
        let Some(argument) = schema.argument(&attribute.name) else {
            if schema.dropped.contains(&attribute.name.as_str()) {
                let (line, _) = self.file.place(attribute.name_span.start);
                let name = &attribute.name;
                self.warnings.push(format!("{}:{line}: {name} is not known any more and was left out", self.file.name));
                // Such a key dates the file: it was written for the reader of HCL1.
                self.dialect = Dialect::Hcl1;
                return;
            }
            return self.unknown_argument(schema, attribute);
        };
        if let Some(before) = seen.get(&(argument.hcl, None)) {
            if self.dialect == Dialect::Hcl1 && schema.block(argument.hcl).is_none() {
                // HCL1 takes the last of several.
            } else {
                let problem = self.twice(argument.hcl, attribute.name_span, *before);
                return self.note(problem);
            }
        }
        seen.insert((argument.hcl, None), attribute.span);
        let converted = self
            .evaluator
            .evaluate(&attribute.value, scope)
            .and_then(|value| self.convert(argument, &value, &attribute.value));
        match converted {
            Ok(Json::Null) => {}
            Ok(json) => node.set(argument.api, json),
            Err(problem) => self.note(problem),
        }
    }

    fn twice(&self, name: &str, span: Span, before: Span) -> Problem {
        let detail = format!(
            "{name} may not be defined more than once. Another definition is defined at {}.",
            self.file.name_span(before)
        );
        Problem::new(span, format!("Duplicate {name} block"), detail)
    }

    fn unknown_argument(&mut self, schema: &Schema, attribute: &Attribute) {
        let name = &attribute.name;
        let mut detail = format!("An argument named {name:?} is not expected here.");
        if schema.block(name).is_some() {
            detail.push_str(&format!(" Did you mean to define a block of type {name:?}?"));
        } else if let Some(near) = nearest(name, schema.arguments.iter().map(|argument| argument.hcl)) {
            detail.push_str(&format!(" Did you mean {near:?}?"));
        } else if let Some(near) = nearest(name, schema.blocks.iter().map(|block| block.hcl)) {
            detail.push_str(&format!(" Did you mean to define a block of type {near:?}?"));
        }
        self.note(Problem::new(attribute.name_span, "Unsupported argument", detail));
    }

    pub fn unknown_block(&mut self, schema: &Schema, kind: &str, span: Span) {
        let mut detail = format!("Blocks of type {kind:?} are not expected here.");
        if schema.argument(kind).is_some() {
            detail.push_str(&format!(
                " Did you mean to define argument {kind:?}? If so, use the equals sign to assign it a value."
            ));
        } else if let Some(near) = nearest(kind, schema.blocks.iter().map(|block| block.hcl)) {
            detail.push_str(&format!(" Did you mean {near:?}?"));
        }
        self.note(Problem::new(span, "Unsupported block type", detail));
    }

    /// Decodes one block that stands in another.
    fn inner(
        &mut self,
        schema: &'static Schema,
        block: &Instance<'_>,
        scope: &Scope<'_>,
        node: &mut Node,
        seen: &mut Seen,
    ) {
        let Some(inner) = schema.block(block.kind) else {
            let argument = schema
                .argument(block.kind)
                .filter(|argument| self.dialect == Dialect::Hcl1 && argument.kind == Kind::TextMap);
            return match argument {
                Some(argument) => {
                    let map = self.text_map(block.body, scope);
                    node.set(argument.api, Json::Object(map));
                }
                None => self.unknown_block(schema, block.kind, block.kind_span),
            };
        };
        // Blocks of which there may be many are not remembered: nothing depends on them.
        if inner.count != Count::Many {
            let label = block.labels.first().filter(|_| inner.count != Count::One).map(|label| label.text.clone());
            if let Some(before) = seen.get(&(inner.hcl, label.clone())) {
                let problem = self.duplicate(inner, block, *before);
                return self.note(problem);
            }
            seen.insert((inner.hcl, label), block.head);
        }
        let field = match inner.content {
            Content::Schema(schema) => {
                let mut child = self.block(schema, block, scope);
                if let Err(problem) = rules::after_block(inner, block, &mut child) {
                    self.note(problem);
                }
                match inner.count {
                    Count::One => Field::One(child),
                    Count::Many | Count::OnePerLabel => Field::Many(vec![child]),
                    Count::Keyed => {
                        let key = block.labels.first().map(|label| label.text.clone());
                        Field::Keyed(vec![(key.unwrap_or_default(), child)])
                    }
                }
            }
            Content::TextMap => Field::Plain(Json::Object(self.text_map(block.body, scope))),
            Content::ListMap => Field::Plain(Json::Object(self.list_map(block.body, scope))),
            Content::Free => Field::Plain(Json::Object(self.free(block.body, scope))),
        };
        if !matches!(inner.content, Content::Schema(_))
            && let Some(extra) = block.labels.first()
        {
            let detail = format!("No labels are expected for {} blocks.", inner.hcl);
            self.note(Problem::new(extra.span, format!("Extraneous label for {}", inner.hcl), detail));
        }
        node.append(inner.api, field);
    }

    fn duplicate(&self, inner: &Inner, block: &Instance<'_>, before: Span) -> Problem {
        let place = self.file.name_span(before);
        let name = inner.hcl;
        if let (Count::OnePerLabel | Count::Keyed, Some(label)) = (inner.count, block.labels.first()) {
            let detail = format!("Only one {name} {} block is allowed. Another was defined at {place}.", label.text);
            return Problem::new(block.head, format!("Duplicate {name} {:?} block", label.text), detail);
        }
        if !matches!(inner.content, Content::Schema(_)) {
            return self.twice(name, block.head, before);
        }
        let detail = format!("Only one {name} block is allowed. Another was defined at {place}.");
        Problem::new(block.head, format!("Duplicate {name} block"), detail)
    }

    /// Makes the blocks that a dynamic block stands for.
    fn dynamic(
        &mut self,
        schema: &'static Schema,
        block: &Block,
        scope: &Scope<'_>,
        node: &mut Node,
        seen: &mut Seen,
    ) -> Outcome<()> {
        let form = DynamicForm::read(block)?;
        if schema.block(form.kind).is_none() {
            self.unknown_block(schema, form.kind, form.kind_span);
            return Ok(());
        }
        for names in form.rounds(self.evaluator, scope)? {
            let inner = scope.child(&names);
            let labels = form.labels(self.evaluator, &inner)?;
            let instance = form.instance(labels);
            self.inner(schema, &instance, &inner, node, seen);
        }
        Ok(())
    }
}
