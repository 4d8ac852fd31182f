//! Variables and locals of a file: what is declared, what is given, types and rules.
//!
//! Later wins: default, environment, variable files in order, inline content, flags.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Problem, nearest};
use crate::evaluate::{Evaluator, Local, LocalState, Scope, Unknown};
use crate::source::{File, Span};
use crate::tree::{Attribute, Block, Body, Expression, Item, Kind};
use crate::types::Type;
use crate::value::Value;
use crate::{Options, json_body, native};

/// The prefix of environment variables that set a variable.
pub(crate) const PREFIX: &str = "NOMAD_VAR_";

struct Declared<'t> {
    span: Span,
    kind: Option<Type>,
    value: Option<Value>,
    rules: Vec<&'t Block>,
}

pub(crate) struct Variables<'c, 'a> {
    file: &'c File<'c>,
    evaluator: &'c Evaluator<'a>,
    declared: BTreeMap<String, Declared<'a>>,
    problems: Vec<Diagnostic>,
    pub warnings: Vec<String>,
}

/// The variables' values, and warnings.
pub(crate) type Collected = (BTreeMap<String, Value>, Vec<String>);

/// Reads variables and locals into the evaluator.
pub(crate) fn collect<'a>(
    body: &'a Body,
    file: &File<'_>,
    options: &Options<'_>,
    evaluator: &Evaluator<'a>,
) -> Result<Collected, Vec<Diagnostic>> {
    let mut variables =
        Variables { file, evaluator, declared: BTreeMap::new(), problems: Vec::new(), warnings: Vec::new() };
    let mut locals = BTreeMap::new();
    for item in &body.items {
        let Item::Block(block) = item else { continue };
        match block.kind.as_str() {
            "variable" => variables.declare(block),
            "variables" => variables.declare_all(block),
            "locals" => variables.locals(block, &mut locals),
            _ => {}
        }
    }
    variables.given(options);
    variables.check();
    if !variables.problems.is_empty() {
        return Err(variables.problems);
    }
    let values: BTreeMap<String, Value> = variables
        .declared
        .iter()
        .map(|(name, declared)| (name.clone(), declared.value.clone().unwrap_or(Value::Null)))
        .collect();
    *evaluator.variables.borrow_mut() =
        Some(Value::object(values.iter().map(|(name, value)| (Arc::from(name.as_str()), value.clone())).collect()));
    *evaluator.locals.borrow_mut() = Some(locals);
    Ok((values, variables.warnings))
}

impl<'a> Variables<'_, 'a> {
    fn note(&mut self, problem: Problem) {
        self.problems.push(Diagnostic::at(self.file, problem));
    }

    fn declare(&mut self, block: &'a Block) {
        let [label] = &*block.labels else {
            let span = block.labels.get(1).map_or(block.brace, |label| label.span);
            return self.note(Problem::new(
                span,
                "Missing name for variable",
                "All variable blocks must have 1 labels (name).",
            ));
        };
        let mut declared = Declared { span: block.head(), kind: None, value: None, rules: Vec::new() };
        let mut default = None;
        for item in &block.body.items {
            match item {
                Item::Attribute(attribute) => match attribute.name.as_str() {
                    "default" => default = Some(&attribute.value),
                    "type" => match self.read_type(&attribute.value) {
                        Ok(kind) => declared.kind = Some(kind),
                        Err(problem) => self.note(problem),
                    },
                    "description" => {}
                    name => {
                        let mut detail = format!("An argument named {name:?} is not expected here.");
                        if let Some(near) = nearest(name, ["default", "type", "description"]) {
                            detail.push_str(&format!(" Did you mean {near:?}?"));
                        }
                        self.note(Problem::new(attribute.name_span, "Unsupported argument", detail));
                    }
                },
                Item::Block(rule) if rule.kind == "validation" => declared.rules.push(rule),
                Item::Block(other) => {
                    let detail = format!("Blocks of type {:?} are not expected here.", other.kind);
                    self.note(Problem::new(other.kind_span, "Unsupported block type", detail));
                }
            }
        }
        if let Some(expression) = default {
            declared.value = self.default(expression, declared.kind.as_ref());
            if declared.value.is_none() {
                // Its mistake is noted; it must not be called unset as well.
                declared.value = Some(Value::Null);
            }
        }
        self.insert(&label.text, declared);
    }

    fn read_type(&self, expression: &Expression) -> crate::diagnostic::Outcome<Type> {
        // In JSON the type is a text.
        if let Kind::Text(text) = &expression.kind {
            return Type::parse(&native::parse_expression(text, Some(expression.span))?, self.evaluator);
        }
        Type::parse(expression, self.evaluator)
    }

    fn default(&mut self, expression: &Expression, kind: Option<&Type>) -> Option<Value> {
        let result = self.evaluator.evaluate(expression, &Scope::root(&[])).and_then(|value| match kind {
            None => Ok(value),
            Some(kind) => kind.convert(&value).map_err(|mismatch| {
                let detail = format!(
                    "This default value is not compatible with the variable's type constraint: {}.",
                    mismatch.clause()
                );
                Problem::new(expression.span, "Invalid default value for variable", detail)
            }),
        });
        result.map_err(|problem| self.note(problem)).ok()
    }

    fn declare_all(&mut self, block: &'a Block) {
        for item in &block.body.items {
            match item {
                Item::Attribute(attribute) => {
                    let value = self.default(&attribute.value, None).or(Some(Value::Null));
                    self.insert(
                        &attribute.name,
                        Declared { span: attribute.name_span, kind: None, value, rules: Vec::new() },
                    );
                }
                Item::Block(other) => {
                    let detail = "Only arguments (name = default) may stand in a variables block.";
                    self.note(Problem::new(other.kind_span, "Unsupported block type", detail));
                }
            }
        }
    }

    fn insert(&mut self, name: &str, declared: Declared<'a>) {
        if let Some(before) = self.declared.get(name) {
            let detail =
                format!("A variable named {name:?} is already declared at {}.", self.file.name_span(before.span));
            return self.note(Problem::new(declared.span, "Duplicate variable", detail));
        }
        self.declared.insert(name.to_owned(), declared);
    }

    fn locals(&mut self, block: &'a Block, locals: &mut BTreeMap<String, Local<'a>>) {
        for item in &block.body.items {
            match item {
                Item::Attribute(attribute) if locals.contains_key(&attribute.name) => {
                    let detail = format!("The local value {:?} is defined more than once.", attribute.name);
                    self.note(Problem::new(attribute.name_span, "Duplicate value in locals", detail));
                }
                Item::Attribute(attribute) => {
                    locals.insert(
                        attribute.name.clone(),
                        Local { expression: &attribute.value, state: LocalState::Waiting },
                    );
                }
                Item::Block(other) => {
                    self.note(Problem::new(
                        other.kind_span,
                        "Unsupported block type",
                        "Only arguments (name = value) may stand in a locals block.",
                    ));
                }
            }
        }
    }

    fn given(&mut self, options: &Options<'_>) {
        let given = &options.variables;
        for (name, text) in &given.env {
            if let Some(name) = name.strip_prefix(PREFIX).filter(|name| self.declared.contains_key(*name)) {
                self.text(name, text, &format!("the environment variable {PREFIX}{name}"));
            }
        }
        for (name, text) in &given.files {
            self.variable_file(name, text, options.strict);
        }
        if !given.inline.trim().is_empty() {
            self.variable_file("input.hcl", &given.inline, options.strict);
        }
        for (name, text) in &given.flags {
            if self.declared.contains_key(name) {
                self.text(name, text, &format!("-var {name}"));
            } else {
                let detail = format!(
                    "A {name:?} variable was passed in the command line but was not found in known variables. To declare variable {name:?}, place this block in your job file: variable {name:?} {{}}"
                );
                self.undefined("Undefined -var variable", name, detail, options.strict);
            }
        }
    }

    fn undefined(&mut self, summary: &str, name: &str, detail: String, strict: bool) {
        if !strict {
            return self.warnings.push(format!("{summary}: {detail}"));
        }
        let mut diagnostic = Diagnostic::without_place(self.file.name, summary, detail);
        diagnostic.suggestion =
            nearest(name, self.declared.keys().map(String::as_str)).map(|near| format!("did you mean {near:?}?"));
        self.problems.push(diagnostic);
    }

    /// A value that came as text: literal for texts, numbers and variables without type, an expression for all others.
    fn text(&mut self, name: &str, text: &str, origin: &str) {
        let kind = self.declared.get(name).and_then(|declared| declared.kind.clone());
        let title = format!("<value of {origin}>");
        let value = match &kind {
            None => Ok(Value::text(text)),
            Some(kind) if kind.is_literal_text() => Ok(Value::text(text)),
            Some(_) => native::parse_expression(text, None).and_then(|expression| {
                self.evaluator.unknown.set(Unknown::Error);
                let value = self.evaluator.evaluate(&expression, &Scope::root(&[]));
                self.evaluator.unknown.set(Unknown::Text);
                value
            }),
        };
        match value {
            Ok(value) => self.set(name, value, origin, None),
            Err(problem) => {
                let trimmed = text.trim();
                self.problems.push(Diagnostic::at(&File::new(&title, trimmed), problem));
            }
        }
    }

    fn set(&mut self, name: &str, value: Value, origin: &str, place: Option<(&File<'_>, Span)>) {
        let Some(declared) = self.declared.get_mut(name) else { return };
        let converted = match &declared.kind {
            None => Ok(value),
            Some(kind) => kind.convert(&value),
        };
        match converted {
            Ok(value) => declared.value = Some(value),
            Err(mismatch) => {
                let detail = format!(
                    "The value of variable {name:?} set through {origin} is not compatible with the variable's type constraint: {}.",
                    mismatch.clause()
                );
                let span = declared.span;
                declared.value = Some(Value::Null);
                let (file, span) = place.unwrap_or((self.file, span));
                self.problems.push(Diagnostic::at(file, Problem::new(span, "Invalid value for variable", detail)));
            }
        }
    }

    fn variable_file(&mut self, name: &str, text: &str, strict: bool) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let file = File::new(name, text);
        match read_variable_file(text, self.evaluator) {
            Err(problems) => self.problems.extend(problems.into_iter().map(|problem| Diagnostic::at(&file, problem))),
            Ok(values) => {
                for (key, span, value) in values {
                    if self.declared.contains_key(&key) {
                        self.set(&key, value, &format!("file {name}"), Some((&file, span)));
                    } else {
                        let detail = format!(
                            "A {key:?} variable was set in {name} but was not found in known variables. To declare variable {key:?}, place this block in your job file: variable {key:?} {{}}"
                        );
                        self.undefined("Undefined variable", &key, detail, strict);
                    }
                }
            }
        }
    }

    fn check(&mut self) {
        let unset = self.declared.iter().filter(|(_, declared)| declared.value.is_none());
        let unset: Vec<(String, Span)> = unset.map(|(name, declared)| (name.clone(), declared.span)).collect();
        for (name, span) in unset {
            let detail = "A used variable must be set or have a default value.";
            let hint = format!(
                "set it with -var {name}=…, in a file given by -var-file, or as {PREFIX}{name} in the environment"
            );
            self.note(Problem::new(span, format!("Unset variable {name:?}"), detail).hint(hint));
        }
        if self.problems.is_empty() {
            self.validate();
        }
    }

    fn validate(&mut self) {
        let rules: Vec<(String, Value, &'a Block)> = self
            .declared
            .iter()
            .flat_map(|(name, declared)| {
                let value = declared.value.clone().unwrap_or(Value::Null);
                declared.rules.iter().map(move |rule| (name.clone(), value.clone(), *rule))
            })
            .collect();
        for (name, value, rule) in rules {
            if let Err(problem) = self.validate_one(&name, value, rule) {
                self.note(problem);
            }
        }
    }

    fn validate_one(&self, name: &str, value: Value, rule: &Block) -> crate::diagnostic::Outcome<()> {
        let find = |wanted: &str| {
            let found = rule.body.items.iter().find_map(|item| match item {
                Item::Attribute(attribute) if attribute.name == wanted => Some(attribute),
                _ => None,
            });
            let detail = format!("The argument {wanted:?} is required, but no definition was found.");
            found.ok_or_else(|| Problem::new(rule.kind_span, "Missing required argument", detail))
        };
        let known = |attribute: &&Attribute| !matches!(attribute.name.as_str(), "condition" | "error_message");
        let attributes = rule
            .body
            .items
            .iter()
            .filter_map(|item| if let Item::Attribute(attribute) = item { Some(attribute) } else { None });
        if let Some(other) = attributes.into_iter().find(known) {
            let detail = format!(
                "An argument named {:?} is not expected here: a validation block has condition and error_message.",
                other.name
            );
            return Err(Problem::new(other.name_span, "Unsupported argument", detail));
        }
        let (condition, message) = (find("condition")?, find("error_message")?);
        let only = Value::object([(Arc::from(name), value)].into_iter().collect());
        let names = [(Arc::from("var"), only)];
        let scope = Scope::root(&names);
        let holds = self.evaluator.evaluate(&condition.value, &scope)?;
        match holds.to_bool() {
            Some(true) => Ok(()),
            Some(false) => {
                let text = self.evaluator.evaluate(&message.value, &scope)?.to_text();
                let detail = text.map_or_else(
                    || format!("The value of {name:?} does not meet its condition."),
                    |text| text.to_string(),
                );
                Err(Problem::new(condition.value.span, "Invalid value for variable", detail)
                    .hint(format!("the variable {name:?} must meet this condition")))
            }
            None => {
                let detail = format!(
                    "The result of a validation condition must be a bool, but this is a {}.",
                    holds.type_name()
                );
                Err(Problem::new(condition.value.span, "Invalid variable validation result", detail))
            }
        }
    }
}

/// Name, place and value of one line of a variable file.
pub(crate) type Given = (String, Span, Value);

/// The values of a variable file, in HCL or JSON, with their places.
pub(crate) fn read_variable_file(text: &str, evaluator: &Evaluator<'_>) -> Result<Vec<Given>, Vec<Problem>> {
    let body = if json_body::is_json(text) { json_body::parse_attributes(text) } else { native::parse_body(text) };
    let body = body.map_err(|problem| vec![problem])?;
    let (mut values, mut problems) = (Vec::new(), Vec::new());
    evaluator.unknown.set(Unknown::Error);
    for item in &body.items {
        match item {
            Item::Attribute(attribute) => match evaluator.evaluate(&attribute.value, &Scope::root(&[])) {
                Ok(value) => values.push((attribute.name.clone(), attribute.value.span, value)),
                Err(problem) => problems.push(problem),
            },
            Item::Block(block) => {
                let detail = "Blocks are not allowed here: a file of variables has lines of the form name = value.";
                problems.push(Problem::new(block.kind_span, format!("Unexpected {:?} block", block.kind), detail));
            }
        }
    }
    evaluator.unknown.set(Unknown::Text);
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}
