//! Values of the job file language: shared, immutable, and each knows its whole size and depth, so that a small file
//! cannot name something enormous.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::number::Number;

/// How deep values may be nested.
pub const DEPTH_LIMIT: u32 = 100;
/// How large one value may be, in bytes, with everything in it counted as often as it occurs.
pub const SIZE_LIMIT: u64 = 32 << 20;

#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(Arc<str>),
    List(Arc<List>),
    Map(Arc<Map>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// As written in brackets: elements of any types.
    Tuple,
    List,
    /// Sorted, without duplicates.
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// As written in braces: attributes of any types.
    Object,
    Map,
}

#[derive(Debug)]
pub struct List {
    pub kind: ListKind,
    pub items: Vec<Value>,
    size: u64,
    depth: u32,
}

#[derive(Debug)]
pub struct Map {
    pub kind: MapKind,
    pub items: BTreeMap<Arc<str>, Value>,
    size: u64,
    depth: u32,
}

impl Value {
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Arc::from(text.as_ref()))
    }

    pub fn list(kind: ListKind, mut items: Vec<Self>) -> Self {
        if kind == ListKind::Set {
            items.sort_by(Self::order);
            items.dedup_by(|a, b| a.equals(b));
        }
        let size = items.iter().fold(32_u64, |sum, item| sum.saturating_add(item.size()));
        let depth = items.iter().map(Self::depth).max().unwrap_or(0).saturating_add(1);
        Self::List(Arc::new(List { kind, items, size, depth }))
    }

    pub fn tuple(items: Vec<Self>) -> Self {
        Self::list(ListKind::Tuple, items)
    }

    pub fn map(kind: MapKind, items: BTreeMap<Arc<str>, Self>) -> Self {
        let size =
            items.iter().fold(32_u64, |sum, (key, item)| sum.saturating_add(item.size() + 24 + key.len() as u64));
        let depth = items.values().map(Self::depth).max().unwrap_or(0).saturating_add(1);
        Self::Map(Arc::new(Map { kind, items, size, depth }))
    }

    pub fn object(items: BTreeMap<Arc<str>, Self>) -> Self {
        Self::map(MapKind::Object, items)
    }

    /// Bytes, roughly.
    pub fn size(&self) -> u64 {
        match self {
            Self::Null | Self::Bool(_) => 16,
            Self::Number(_) => 48,
            Self::Text(text) => 24 + text.len() as u64,
            Self::List(list) => list.size,
            Self::Map(map) => map.size,
        }
    }

    pub fn depth(&self) -> u32 {
        match self {
            Self::List(list) => list.depth,
            Self::Map(map) => map.depth,
            _ => 0,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The type's name as people say it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::List(list) => match list.kind {
                ListKind::Tuple => "tuple",
                ListKind::List => "list",
                ListKind::Set => "set",
            },
            Self::Map(map) => match map.kind {
                MapKind::Object => "object",
                MapKind::Map => "map",
            },
        }
    }

    /// Text of a string, number or bool.
    pub fn to_text(&self) -> Option<Arc<str>> {
        match self {
            Self::Text(text) => Some(Arc::clone(text)),
            Self::Bool(bool) => Some(Arc::from(if *bool { "true" } else { "false" })),
            Self::Number(number) => Some(Arc::from(number.to_string())),
            _ => None,
        }
    }

    pub fn to_number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(number.clone()),
            Self::Text(text) => Number::parse(text),
            _ => None,
        }
    }

    pub fn to_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            Self::Text(text) => match &**text {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&List> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    pub fn as_map(&self) -> Option<&Map> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// Keys and values to go through; none for what is no collection.
    pub fn pairs(&self) -> Option<Vec<(Self, Self)>> {
        match self {
            Self::List(list) if list.kind == ListKind::Set => {
                Some(list.items.iter().map(|item| (item.clone(), item.clone())).collect())
            }
            Self::List(list) => {
                let keyed = list.items.iter().enumerate();
                Some(keyed.map(|(index, item)| (Self::Number(Number::from(index)), item.clone())).collect())
            }
            Self::Map(map) => {
                Some(map.items.iter().map(|(key, item)| (Self::Text(Arc::clone(key)), item.clone())).collect())
            }
            _ => None,
        }
    }

    /// Equality of the language: same type, same value.
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => {
                a.items.len() == b.items.len() && a.items.iter().zip(&b.items).all(|(a, b)| a.equals(b))
            }
            (Self::Map(a), Self::Map(b)) => {
                let mut pairs = a.items.iter().zip(&b.items);
                a.items.len() == b.items.len() && pairs.all(|((a_key, a), (b_key, b))| a_key == b_key && a.equals(b))
            }
            _ => false,
        }
    }

    /// A total order, in which sets are kept.
    pub fn order(&self, other: &Self) -> Ordering {
        fn rank(value: &Value) -> u8 {
            match value {
                Value::Null => 0,
                Value::Bool(_) => 1,
                Value::Number(_) => 2,
                Value::Text(_) => 3,
                Value::List(_) => 4,
                Value::Map(_) => 5,
            }
        }
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => {
                let differs = a.items.iter().zip(&b.items).map(|(a, b)| a.order(b)).find(|order| order.is_ne());
                differs.unwrap_or_else(|| a.items.len().cmp(&b.items.len()))
            }
            (Self::Map(a), Self::Map(b)) => {
                let pairs = a.items.iter().zip(&b.items).map(|(a, b)| a.0.cmp(b.0).then_with(|| a.1.order(b.1)));
                pairs.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.items.len().cmp(&b.items.len()))
            }
            _ => rank(self).cmp(&rank(other)),
        }
    }

    /// JSON; whole numbers become integers, others floats.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(bool) => Json::Bool(*bool),
            Self::Number(number) => number_to_json(number),
            Self::Text(text) => Json::String(text.to_string()),
            Self::List(list) => Json::Array(list.items.iter().map(Self::to_json).collect()),
            Self::Map(map) => {
                Json::Object(map.items.iter().map(|(key, item)| (key.to_string(), item.to_json())).collect())
            }
        }
    }
}

pub fn number_to_json(number: &Number) -> Json {
    use num_traits::ToPrimitive as _;
    if let Some(integer) = number.to_integer() {
        if let Some(integer) = integer.to_i64() {
            return Json::from(integer);
        }
        if let Some(integer) = integer.to_u64() {
            return Json::from(integer);
        }
    }
    serde_json::Number::from_f64(number.to_f64()).map_or(Json::Null, Json::Number)
}
