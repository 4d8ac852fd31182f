//! A decoded block: fields by the API's names, inner blocks, and the place that each block was written at.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::source::{File, Span};

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub span: Span,
    pub fields: Vec<(&'static str, Field)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Field {
    Plain(Json),
    One(Node),
    Many(Vec<Node>),
    Keyed(Vec<(String, Node)>),
}

impl Node {
    pub fn new(span: Span) -> Self {
        Self { span, fields: Vec::new() }
    }

    fn get(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, field)| field)
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Field::Plain(Json::String(text))) => Some(text),
            _ => None,
        }
    }

    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Field::Plain(Json::Bool(bool))) => Some(*bool),
            _ => None,
        }
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Field::Plain(json)) => json.as_i64(),
            _ => None,
        }
    }

    /// Sets a value, in place of one that is there. A field without an API name is not kept.
    pub fn set(&mut self, name: &'static str, json: Json) {
        self.put(name, Field::Plain(json));
    }

    pub fn put(&mut self, name: &'static str, field: Field) {
        if name.is_empty() {
            return;
        }
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = field,
            None => self.fields.push((name, field)),
        }
    }

    /// Sets a value where there is none.
    pub fn fill(&mut self, name: &'static str, json: Json) {
        if !self.has(name) {
            self.set(name, json);
        }
    }

    /// Adds a block to those that are there.
    pub fn append(&mut self, name: &'static str, field: Field) {
        match (self.fields.iter_mut().find(|(known, _)| *known == name), field) {
            (Some((_, Field::Many(all))), Field::Many(more)) => all.extend(more),
            (Some((_, Field::Keyed(all))), Field::Keyed(more)) => all.extend(more),
            (Some((_, old)), field) => *old = field,
            (None, field) => self.put(name, field),
        }
    }

    pub fn take(&mut self, name: &str) -> Option<Field> {
        let at = self.fields.iter().position(|(known, _)| *known == name)?;
        Some(self.fields.remove(at).1)
    }

    pub fn take_one(&mut self, name: &str) -> Option<Node> {
        match self.take(name) {
            Some(Field::One(node)) => Some(node),
            _ => None,
        }
    }

    pub fn take_many(&mut self, name: &str) -> Vec<Node> {
        match self.take(name) {
            Some(Field::Many(nodes)) => nodes,
            _ => Vec::new(),
        }
    }

    /// The blocks of a list.
    pub fn many_mut(&mut self, name: &str) -> &mut [Node] {
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, Field::Many(nodes))) => nodes,
            _ => &mut [],
        }
    }

    /// JSON of this block, and the place of each block in it under its path (`TaskGroups[0].Tasks[1]`).
    pub fn into_json(self, file: &File<'_>, path: &str, places: &mut BTreeMap<String, (usize, usize)>) -> Json {
        places.insert(path.to_owned(), file.place(self.span.start));
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let mut map = Map::new();
        for (name, field) in self.fields {
            let json = match field {
                Field::Plain(json) => json,
                Field::One(node) => node.into_json(file, &below(name), places),
                Field::Many(nodes) => {
                    let nodes = nodes.into_iter().enumerate();
                    Json::Array(
                        nodes
                            .map(|(index, node)| node.into_json(file, &format!("{}[{index}]", below(name)), places))
                            .collect(),
                    )
                }
                Field::Keyed(nodes) => {
                    let nodes = nodes.into_iter().map(|(key, node)| {
                        let json = node.into_json(file, &format!("{}[{key}]", below(name)), places);
                        (key, json)
                    });
                    Json::Object(nodes.collect())
                }
            };
            map.insert(name.to_owned(), json);
        }
        Json::Object(map)
    }
}
