//! Brings the blocks of a file into the shape that the schema tables say: evaluated, converted, with the API's names.
//!
//! Every mistake is noted and decoding goes on, so that one look at the errors shows all of them.

use std::sync::Arc;

use nomadd_model::value::Duration;
use serde_json::{Map, Value as Json};

use crate::diagnostic::{Outcome, Problem, nearest};
use crate::evaluate::{Evaluator, REPORTED, Scope};
use crate::node::{Field, Node};
use crate::rules;
use crate::schema::{Argument, Content, Count, Inner, Kind, Schema};
use crate::source::{File, Span};
use crate::tree::{self, Attribute, Block, Body, Expression, Item, Label};
use crate::value::{Value, number_to_json};

/// More mistakes than this are not collected.
const PROBLEM_LIMIT: usize = 50;

/// How the file was read, which decides what is tolerated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Hcl2,
    Hcl1,
}

pub(crate) struct Decoder<'d, 'a> {
    pub evaluator: &'d Evaluator<'a>,
    pub file: &'d File<'d>,
    pub dialect: Dialect,
    pub problems: Vec<Box<Problem>>,
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
        Self { kind: &block.kind, kind_span: block.kind_span, head: block.head(), brace: block.brace, labels: block.labels.clone(), body: &block.body }
    }
}

/// What has already stood in a block: name, label where that counts, place.
type Seen = Vec<(&'static str, Option<String>, Span)>;

impl Decoder<'_, '_> {
    pub fn note(&mut self, problem: Box<Problem>) {
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
            if !seen.iter().any(|(name, ..)| *name == argument.hcl) {
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

    fn attribute(&mut self, schema: &'static Schema, attribute: &Attribute, scope: &Scope<'_>, node: &mut Node, seen: &mut Seen) {
        let Some(argument) = schema.argument(&attribute.name) else {
            if schema.dropped.contains(&attribute.name.as_str()) {
                let (line, _) = self.file.place(attribute.name_span.start);
                let name = &attribute.name;
                self.warnings.push(format!("{}:{line}: {name} is not known any more and was left out", self.file.name));
                return;
            }
            return self.unknown_argument(schema, attribute);
        };
        if let Some((_, _, before)) = seen.iter().find(|(name, ..)| *name == argument.hcl) {
            if self.dialect == Dialect::Hcl1 && schema.block(argument.hcl).is_none() {
                // HCL1 takes the last of several.
            } else {
                let problem = self.twice(argument.hcl, attribute.name_span, *before);
                return self.note(problem);
            }
        }
        seen.push((argument.hcl, None, attribute.span));
        let converted = self.evaluator.evaluate(&attribute.value, scope).and_then(|value| self.convert(argument, &value, &attribute.value));
        match converted {
            Ok(Json::Null) => {}
            Ok(json) => node.set(argument.api, json),
            Err(problem) => self.note(problem),
        }
    }

    fn twice(&self, name: &str, span: Span, before: Span) -> Box<Problem> {
        let detail = format!("{name} may not be defined more than once. Another definition is defined at {}.", self.file.name_span(before));
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
            detail.push_str(&format!(" Did you mean to define argument {kind:?}? If so, use the equals sign to assign it a value."));
        } else if let Some(near) = nearest(kind, schema.blocks.iter().map(|block| block.hcl)) {
            detail.push_str(&format!(" Did you mean {near:?}?"));
        }
        self.note(Problem::new(span, "Unsupported block type", detail));
    }

    /// Decodes one block that stands in another.
    fn inner(&mut self, schema: &'static Schema, block: &Instance<'_>, scope: &Scope<'_>, node: &mut Node, seen: &mut Seen) {
        let Some(inner) = schema.block(block.kind) else {
            let argument = schema.argument(block.kind).filter(|argument| self.dialect == Dialect::Hcl1 && argument.kind == Kind::TextMap);
            return match argument {
                Some(argument) => {
                    let map = self.text_map(block.body, scope);
                    node.set(argument.api, Json::Object(map));
                }
                None => self.unknown_block(schema, block.kind, block.kind_span),
            };
        };
        let label = (inner.count == Count::OnePerLabel).then(|| block.labels.first().map(|label| label.text.clone()).unwrap_or_default());
        if matches!(inner.count, Count::One | Count::OnePerLabel)
            && let Some((_, _, before)) = seen.iter().find(|(name, other, _)| *name == inner.hcl && *other == label)
        {
            let problem = self.duplicate(inner, block, *before);
            return self.note(problem);
        }
        if let (Count::Keyed, Some(label)) = (inner.count, block.labels.first())
            && let Some((_, _, before)) = seen.iter().find(|(name, other, _)| *name == inner.hcl && other.as_ref() == Some(&label.text))
        {
            let detail = format!("Only one {} block named {:?} is allowed. Another was defined at {}.", inner.hcl, label.text, self.file.name_span(*before));
            let problem = Problem::new(block.head, format!("Duplicate {} {:?} block", inner.hcl, label.text), detail);
            return self.note(problem);
        }
        let key = if inner.count == Count::Keyed { block.labels.first().map(|label| label.text.clone()) } else { label };
        seen.push((inner.hcl, key.clone(), block.head));
        let field = match inner.content {
            Content::Schema(schema) => {
                let mut child = self.block(schema, block, scope);
                if let Err(problem) = rules::after_block(inner, block, &mut child) {
                    self.note(problem);
                }
                match inner.count {
                    Count::One => Field::One(child),
                    Count::Many | Count::OnePerLabel => Field::Many(vec![child]),
                    Count::Keyed => Field::Keyed(vec![(key.unwrap_or_default(), child)]),
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

    fn duplicate(&self, inner: &Inner, block: &Instance<'_>, before: Span) -> Box<Problem> {
        let place = self.file.name_span(before);
        let name = inner.hcl;
        if let (Count::OnePerLabel, Some(label)) = (inner.count, block.labels.first()) {
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
    fn dynamic(&mut self, schema: &'static Schema, block: &Block, scope: &Scope<'_>, node: &mut Node, seen: &mut Seen) -> Outcome<()> {
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

    fn text_map(&mut self, body: &Body, scope: &Scope<'_>) -> Map<String, Json> {
        let mut map = Map::new();
        self.map_items(body, scope, &mut |decoder, attribute, value| {
            let Some(text) = value.to_text() else {
                let problem = decoder.unsuitable(&attribute.value, &format!("string required, but have {}", value.type_name()));
                return decoder.note(problem);
            };
            map.insert(attribute.name.clone(), Json::String(text.to_string()));
        });
        map
    }

    fn list_map(&mut self, body: &Body, scope: &Scope<'_>) -> Map<String, Json> {
        let mut map = Map::new();
        self.map_items(body, scope, &mut |decoder, attribute, value| match decoder.texts(&value, &attribute.value) {
            Ok(texts) => {
                map.insert(attribute.name.clone(), texts);
            }
            Err(problem) => decoder.note(problem),
        });
        map
    }

    /// Goes through the arguments of a block in which any name may stand, but no block.
    fn map_items(&mut self, body: &Body, scope: &Scope<'_>, each: &mut dyn FnMut(&mut Self, &Attribute, Value)) {
        for item in &body.items {
            match item {
                Item::Attribute(attribute) => match self.evaluator.evaluate(&attribute.value, scope) {
                    Ok(Value::Null) => {}
                    Ok(value) => each(self, attribute, value),
                    Err(problem) => self.note(problem),
                },
                Item::Block(block) => {
                    let detail = "Only arguments (name = value) may stand here, no blocks.";
                    self.note(Problem::new(block.kind_span, format!("Unexpected {:?} block", block.kind), detail));
                }
            }
        }
    }

    /// A block without a schema. Blocks become lists, labels levels, and an object that is written out is a block too.
    fn free(&mut self, body: &Body, scope: &Scope<'_>) -> Map<String, Json> {
        let mut map = Map::new();
        for item in &body.items {
            match item {
                Item::Attribute(attribute) => match self.evaluator.evaluate(&attribute.value, scope) {
                    Ok(Value::Null) => {}
                    Ok(value) => {
                        if let Err(problem) = self.evaluator.charge(attribute.span, value.size()) {
                            return self.stop(problem, map);
                        }
                        let json = value.to_json();
                        let written_out = matches!(attribute.value.kind, tree::Kind::Object(_));
                        map.insert(attribute.name.clone(), if written_out { Json::Array(vec![json]) } else { json });
                    }
                    Err(problem) => self.note(problem),
                },
                Item::Block(block) if block.kind == "dynamic" => {
                    if let Err(problem) = self.free_dynamic(block, scope, &mut map) {
                        self.note(problem);
                    }
                }
                Item::Block(block) => self.free_block(&Instance::of(block), scope, &mut map),
            }
        }
        map
    }

    fn stop(&mut self, problem: Box<Problem>, map: Map<String, Json>) -> Map<String, Json> {
        self.note(problem);
        map
    }

    fn free_dynamic(&mut self, block: &Block, scope: &Scope<'_>, map: &mut Map<String, Json>) -> Outcome<()> {
        let form = DynamicForm::read(block)?;
        for names in form.rounds(self.evaluator, scope)? {
            let inner = scope.child(&names);
            let instance = form.instance(form.labels(self.evaluator, &inner)?);
            self.free_block(&instance, &inner, map);
        }
        Ok(())
    }

    fn free_block(&mut self, block: &Instance<'_>, scope: &Scope<'_>, map: &mut Map<String, Json>) {
        if let Err(problem) = self.evaluator.charge(block.head, 512) {
            return self.note(problem);
        }
        let body = Json::Object(self.free(block.body, scope));
        let value = block.labels.iter().rev().fold(body, |body, label| {
            let level = Map::from_iter([(label.text.clone(), Json::Array(vec![body]))]);
            Json::Object(level)
        });
        match map.entry(block.kind).or_insert_with(|| Json::Array(Vec::new())) {
            Json::Array(items) => items.push(value),
            other => *other = Json::Array(vec![value]),
        }
    }

    fn unsuitable(&self, expression: &Expression, need: &str) -> Box<Problem> {
        Problem::new(self.inside_quotes(expression.span), "Unsuitable value type", format!("Unsuitable value: {need}"))
    }

    /// A quoted text is named by what is between its quotes.
    fn inside_quotes(&self, span: Span) -> Span {
        let text = self.file.slice(span);
        if text.len() > 2 && text.starts_with('"') && text.ends_with('"') {
            return Span { start: span.start + 1, end: span.end - 1 };
        }
        span
    }

    fn texts(&self, value: &Value, expression: &Expression) -> Outcome<Json> {
        let Some(list) = value.as_list() else {
            return Err(self.unsuitable(expression, &format!("list of string required, but have {}", value.type_name())));
        };
        let items = list.items.iter().enumerate().map(|(index, item)| {
            let text = item.to_text().filter(|_| !item.is_null());
            let text = text.ok_or_else(|| self.unsuitable(element(expression, index), &format!("element {index}: string required, but have {}", item.type_name())))?;
            Ok(Json::String(text.to_string()))
        });
        items.collect::<Outcome<Vec<_>>>().map(Json::Array)
    }

    fn convert(&self, argument: &Argument, value: &Value, expression: &Expression) -> Outcome<Json> {
        if value.is_null() {
            return Ok(Json::Null);
        }
        self.evaluator.charge(expression.span, value.size())?;
        let name = argument.hcl;
        let wrong = |need: &str| {
            let shown = match value {
                Value::Text(text) if text.starts_with("${") => format!("{text}, which is known only where the task runs"),
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
                number.to_i64().filter(|number| *number >= 0).map(Json::from).ok_or_else(|| wrong("a whole number that is not negative"))
            }
            Kind::Duration => match value {
                Value::Text(text) => Duration::parse(text).map(|span| Json::from(span.as_nanos())).map_err(|_| wrong("a duration such as \"30s\" or \"1h10m\"")),
                Value::Number(number) => number.to_i64().map(Json::from).ok_or_else(|| wrong("a whole number of nanoseconds")),
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
                        self.unsuitable(expression, &format!("element {key:?}: string required, but have {}", item.type_name()))
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

/// The parts of a dynamic block.
struct DynamicForm<'t> {
    kind: &'t str,
    kind_span: Span,
    head: Span,
    brace: Span,
    for_each: &'t Expression,
    iterator: Arc<str>,
    labels: Option<&'t Expression>,
    content: &'t Body,
}

impl<'t> DynamicForm<'t> {
    fn read(block: &'t Block) -> Outcome<Self> {
        let [label] = &*block.labels else {
            let span = block.labels.get(1).map_or(block.brace, |label| label.span);
            return Err(Problem::new(span, "Invalid dynamic block", "A dynamic block has one label: the type of the blocks that it makes."));
        };
        let (mut for_each, mut iterator, mut labels, mut content) = (None, None, None, None);
        for item in &block.body.items {
            match item {
                Item::Attribute(attribute) => match attribute.name.as_str() {
                    "for_each" => for_each = Some(&attribute.value),
                    "labels" => labels = Some(&attribute.value),
                    "iterator" => iterator = Some(iterator_name(&attribute.value)?),
                    name => {
                        let mut detail = format!("An argument named {name:?} is not expected here: a dynamic block has for_each, iterator, labels and a content block.");
                        if let Some(near) = nearest(name, ["for_each", "iterator", "labels"]) {
                            detail.push_str(&format!(" Did you mean {near:?}?"));
                        }
                        return Err(Problem::new(attribute.name_span, "Unsupported argument", detail));
                    }
                },
                Item::Block(inner) if inner.kind == "content" && content.is_none() => content = Some(&inner.body),
                Item::Block(inner) if inner.kind == "content" => {
                    return Err(Problem::new(inner.kind_span, "Extraneous dynamic content block", "Only one nested content block is allowed for each dynamic block."));
                }
                Item::Block(inner) => {
                    let detail = format!("Blocks of type {:?} are not expected here: what a dynamic block makes stands in its content block.", inner.kind);
                    return Err(Problem::new(inner.kind_span, "Unsupported block type", detail));
                }
            }
        }
        let head = block.head();
        let for_each = for_each.ok_or_else(|| Problem::new(head, "Missing required argument", "The argument \"for_each\" is required, but no definition was found."))?;
        let content = content.ok_or_else(|| Problem::new(head, "Missing dynamic content block", "A dynamic block must have a nested block of type \"content\" to describe the body of each generated block."))?;
        let iterator = iterator.unwrap_or_else(|| Arc::from(label.text.as_str()));
        Ok(Self { kind: &label.text, kind_span: label.span, head, brace: block.brace, for_each, iterator, labels, content })
    }

    /// The names that each made block brings into scope.
    fn rounds(&self, evaluator: &Evaluator<'_>, scope: &Scope<'_>) -> Outcome<Vec<[(Arc<str>, Value); 1]>> {
        let value = evaluator.evaluate(self.for_each, scope)?;
        let Some(pairs) = value.pairs() else {
            let detail = match &value {
                Value::Null => "Cannot use a null value in for_each.".to_owned(),
                other => format!("Cannot use a {} value in for_each. An iterable collection is required.", other.type_name()),
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

    fn labels(&self, evaluator: &Evaluator<'_>, scope: &Scope<'_>) -> Outcome<Vec<Label>> {
        let Some(expression) = self.labels else { return Ok(Vec::new()) };
        let value = evaluator.evaluate(expression, scope)?;
        let wrong = |detail: &str| Problem::new(expression.span, "Invalid dynamic block label", detail);
        let list = value.as_list().ok_or_else(|| wrong("The labels of a dynamic block are a list of strings."))?;
        let labels = list.items.iter().map(|item| {
            let text = item.to_text().filter(|text| !text.is_empty()).ok_or_else(|| wrong("A label must be a string that is not empty."))?;
            Ok(Label { text: text.to_string(), span: expression.span })
        });
        labels.collect()
    }

    fn instance(&self, labels: Vec<Label>) -> Instance<'t> {
        Instance { kind: self.kind, kind_span: self.kind_span, head: self.head, brace: self.brace, labels, body: self.content }
    }
}

fn iterator_name(expression: &Expression) -> Outcome<Arc<str>> {
    match &expression.kind {
        tree::Kind::Reference(reference) if reference.steps.is_empty() => Ok(Arc::clone(&reference.root)),
        tree::Kind::Text(name) => Ok(Arc::clone(name)),
        _ => Err(Problem::new(expression.span, "Invalid expression", "A single name is required here: what the content calls the element at hand.")),
    }
}
