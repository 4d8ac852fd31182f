//! Blocks in which any name may stand: maps of texts, of lists, and the free ones (`config`).

use serde_json::{Map, Value as Json};

use super::dynamic::DynamicForm;
use super::{Decoder, Dialect, Instance};
use crate::diagnostic::{Outcome, Problem};
use crate::evaluate::Scope;
use crate::tree::{self, Attribute, Block, Body, Item};
use crate::value::Value;

impl Decoder<'_, '_> {
    pub(super) fn text_map(&mut self, body: &Body, scope: &Scope<'_>) -> Map<String, Json> {
        let mut map = Map::new();
        self.map_items(body, scope, &mut |decoder, attribute, value| {
            let Some(text) = value.to_text() else {
                let problem =
                    decoder.unsuitable(&attribute.value, &format!("string required, but have {}", value.type_name()));
                return decoder.note(problem);
            };
            map.insert(attribute.name.clone(), Json::String(text.to_string()));
        });
        map
    }

    pub(super) fn list_map(&mut self, body: &Body, scope: &Scope<'_>) -> Map<String, Json> {
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
    pub(super) fn map_items(
        &mut self,
        body: &Body,
        scope: &Scope<'_>,
        each: &mut dyn FnMut(&mut Self, &Attribute, Value),
    ) {
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
    pub(super) fn free(&mut self, body: &Body, scope: &Scope<'_>) -> Map<String, Json> {
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
                        let written_out =
                            self.dialect != Dialect::Json && matches!(attribute.value.kind, tree::Kind::Object(_));
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

    pub(super) fn stop(&mut self, problem: Problem, map: Map<String, Json>) -> Map<String, Json> {
        self.note(problem);
        map
    }

    pub(super) fn free_dynamic(
        &mut self,
        block: &Block,
        scope: &Scope<'_>,
        map: &mut Map<String, Json>,
    ) -> Outcome<()> {
        let form = DynamicForm::read(block)?;
        for names in form.rounds(self.evaluator, scope)? {
            let inner = scope.child(&names);
            let instance = form.instance(form.labels(self.evaluator, &inner)?);
            self.free_block(&instance, &inner, map);
        }
        Ok(())
    }

    pub(super) fn free_block(&mut self, block: &Instance<'_>, scope: &Scope<'_>, map: &mut Map<String, Json>) {
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
}
