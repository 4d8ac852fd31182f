//! The parts of every diff: fields, sets of words, blocks, and their order.
//!
//! Blocks are compared by their API names: a block becomes a flat list of texts, so that no field can be forgotten.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::Detail;
use crate::plan::{FieldDiff, ObjectDiff};

/// What happened to a field or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    None,
    Added,
    Deleted,
    Edited,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Added => "Added",
            Self::Deleted => "Deleted",
            Self::Edited => "Edited",
        }
    }

    /// By what is there on the two sides of something that differs.
    pub(super) fn of<T>(old: Option<&T>, new: Option<&T>) -> Self {
        match (old, new) {
            (None, None) => Self::None,
            (None, Some(_)) => Self::Added,
            (Some(_), None) => Self::Deleted,
            (Some(_), Some(_)) => Self::Edited,
        }
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.as_str().to_owned()
    }
}

/// `Edited` or `None`.
pub(super) fn edited(differs: bool) -> Kind {
    if differs { Kind::Edited } else { Kind::None }
}

/// The names and texts of the fields of a block.
pub(super) type Flat = BTreeMap<String, String>;

/// Fields that are maps of texts: shown by key.
const MAPS: &[&str] =
    &["Meta", "Env", "CanaryMeta", "TaggedAddresses", "GetterOptions", "GetterHeaders", "Target", "Args"];

/// Takes the plain fields of a block apart; lists and blocks within it are left out, absent fields too.
pub(super) fn flatten<T: Serialize>(block: Option<&T>, skip: &[&str]) -> Flat {
    let mut flat = Flat::new();
    let Some(Ok(Value::Object(fields))) = block.map(serde_json::to_value) else { return flat };
    for (name, value) in fields {
        if skip.contains(&name.as_str()) {
            continue;
        }
        match value {
            Value::Object(map) if MAPS.contains(&name.as_str()) => {
                for (key, value) in map {
                    if let Some(text) = text(&value) {
                        flat.insert(format!("{name}[{key}]"), text);
                    }
                }
            }
            value => {
                if let Some(text) = text(&value) {
                    flat.insert(name, text);
                }
            }
        }
    }
    flat
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Takes a free map apart, all the way down: `args[0]`, `labels[0][name]`.
pub(super) fn flatten_deep(map: &serde_json::Map<String, Value>) -> Flat {
    fn walk(place: String, value: &Value, flat: &mut Flat) {
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    walk(format!("{place}[{index}]"), item, flat);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    walk(format!("{place}[{name}]"), field, flat);
                }
            }
            value => {
                flat.insert(place, text(value).unwrap_or_else(|| "nil".into()));
            }
        }
    }
    let mut flat = Flat::new();
    for (name, value) in map {
        walk(name.clone(), value, &mut flat);
    }
    flat
}

/// The fields that differ, with `Detail::Context` the others too; in the order of their names.
pub(super) fn fields(old: &Flat, new: &Flat, detail: Detail) -> Vec<FieldDiff> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let side = |flat: &Flat, name| flat.get(name).cloned().unwrap_or_default();
    names
        .into_iter()
        .map(|name| field(name, side(old, name), side(new, name)))
        .filter(|field| detail == Detail::Context || field.kind != Kind::None.as_str())
        .collect()
}

fn field(name: &str, old: String, new: String) -> FieldDiff {
    let kind = match (old.as_str(), new.as_str()) {
        (old, new) if old == new => Kind::None,
        ("", _) => Kind::Added,
        (_, "") => Kind::Deleted,
        _ => Kind::Edited,
    };
    FieldDiff { annotations: Vec::new(), name: name.to_owned(), new, old, kind: kind.into() }
}

/// A set of words, one field for each.
pub(super) fn words<T: AsRef<str>>(name: &str, old: &[T], new: &[T], detail: Detail) -> Option<ObjectDiff> {
    let side = |words: &[T]| -> BTreeSet<String> { words.iter().map(|word| word.as_ref().to_owned()).collect() };
    let (old, new) = (side(old), side(new));
    let mut fields: Vec<FieldDiff> =
        new.difference(&old).map(|word| field(name, String::new(), word.clone())).collect();
    let added = !fields.is_empty();
    let deleted: Vec<FieldDiff> = old.difference(&new).map(|word| field(name, word.clone(), String::new())).collect();
    let kind = match (added, !deleted.is_empty()) {
        (false, false) => return None,
        (true, false) => Kind::Added,
        (false, true) => Kind::Deleted,
        (true, true) => Kind::Edited,
    };
    fields.extend(deleted);
    if detail == Detail::Context {
        fields.extend(old.intersection(&new).map(|word| field(name, word.clone(), word.clone())));
    }
    fields.sort_by(field_order);
    Some(ObjectDiff { fields, name: name.to_owned(), objects: Vec::new(), kind: kind.into() })
}

/// A block of plain fields; nothing if none of them differs.
pub(super) fn plain<T: Serialize>(
    name: &str,
    old: Option<&T>,
    new: Option<&T>,
    skip: &[&str],
    detail: Detail,
) -> Option<ObjectDiff> {
    from_flat(name, &flatten(old, skip), &flatten(new, skip), detail)
}

/// As `plain`, for fields that were taken apart already.
pub(super) fn from_flat(name: &str, old: &Flat, new: &Flat, detail: Detail) -> Option<ObjectDiff> {
    let fields = fields(old, new, detail);
    let any = |kind: Kind| fields.iter().any(|field| field.kind == kind.as_str());
    let kind = match (any(Kind::Edited), any(Kind::Added), any(Kind::Deleted)) {
        (true, ..) | (_, true, true) => Kind::Edited,
        (_, true, false) => Kind::Added,
        (_, false, true) => Kind::Deleted,
        (false, false, false) => return None,
    };
    Some(ObjectDiff { fields, name: name.to_owned(), objects: Vec::new(), kind: kind.into() })
}

/// A block with blocks in it; nothing if the two sides are equal.
pub(super) fn block<T: Serialize + PartialEq>(
    name: &str,
    old: Option<&T>,
    new: Option<&T>,
    skip: &[&str],
    objects: Vec<ObjectDiff>,
    detail: Detail,
) -> Option<ObjectDiff> {
    if old == new {
        return None;
    }
    let fields = fields(&flatten(old, skip), &flatten(new, skip), detail);
    Some(ObjectDiff { fields, name: name.to_owned(), objects, kind: Kind::of(old, new).into() })
}

/// A list of blocks of plain fields, whose order does not count.
pub(super) fn set<T: Serialize + PartialEq>(name: &str, old: &[T], new: &[T], detail: Detail) -> Vec<ObjectDiff> {
    set_of_blocks(old, new, |old, new| plain(name, old, new, &[], detail))
}

/// As `set`; `compare` is called with one side only, for what the other side does not have.
pub(super) fn set_of_blocks<T: PartialEq>(
    old: &[T],
    new: &[T],
    compare: impl Fn(Option<&T>, Option<&T>) -> Option<ObjectDiff>,
) -> Vec<ObjectDiff> {
    let gone = old.iter().filter(|block| !new.contains(block)).filter_map(|block| compare(Some(block), None));
    let come = new.iter().filter(|block| !old.contains(block)).filter_map(|block| compare(None, Some(block)));
    let mut objects: Vec<ObjectDiff> = gone.chain(come).collect();
    objects.sort_by(object_order);
    objects
}

/// A list of blocks that `key` names; those with the same key are compared with each other.
pub(super) fn named_blocks<T: PartialEq, K: PartialEq>(
    old: &[T],
    new: &[T],
    key: impl Fn(&T) -> K,
    compare: impl Fn(Option<&T>, Option<&T>) -> Option<ObjectDiff>,
) -> Vec<ObjectDiff> {
    let partner = |block: &T, others: &[T]| others.iter().position(|other| key(other) == key(block));
    let kept = old.iter().map(|block| (Some(block), partner(block, new).and_then(|index| new.get(index))));
    let come = new.iter().filter(|block| partner(block, old).is_none()).map(|block| (None, Some(block)));
    let mut objects: Vec<ObjectDiff> = kept.chain(come).filter_map(|(old, new)| compare(old, new)).collect();
    objects.sort_by(object_order);
    objects
}

fn field_order(a: &FieldDiff, b: &FieldDiff) -> Ordering {
    (&a.name, &a.old, &a.new).cmp(&(&b.name, &b.old, &b.new))
}

/// By name; then what was edited, added, deleted; then the smaller one, then by content.
pub(super) fn object_order(a: &ObjectDiff, b: &ObjectDiff) -> Ordering {
    let rank = |object: &ObjectDiff| match object.kind.as_str() {
        "Edited" => 0,
        "Added" => 1,
        "Deleted" => 2,
        _ => 3,
    };
    a.name
        .cmp(&b.name)
        .then_with(|| rank(a).cmp(&rank(b)))
        .then_with(|| a.objects.len().cmp(&b.objects.len()))
        .then_with(|| a.fields.len().cmp(&b.fields.len()))
        .then_with(|| {
            let pairs = a.fields.iter().zip(&b.fields).map(|(a, b)| field_order(a, b));
            pairs.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        })
        .then_with(|| {
            let pairs = a.objects.iter().zip(&b.objects).map(|(a, b)| object_order(a, b));
            pairs.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        })
}
