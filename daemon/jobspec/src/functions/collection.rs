//! Functions on lists, sets and maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Answer, Arguments, Failure, Function, texts_to_list};
use crate::evaluate::element as element_of;
use crate::number::Number;
use crate::source::Span;
use crate::types::unify;
use crate::value::{ListKind, MapKind, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "chunklist", parameters: &["list", "size"], run: chunklist },
    Function { name: "coalesce", parameters: &["vals..."], run: coalesce },
    Function { name: "coalescelist", parameters: &["vals..."], run: coalescelist },
    Function { name: "compact", parameters: &["list"], run: compact },
    Function { name: "concat", parameters: &["seqs..."], run: concat },
    Function { name: "contains", parameters: &["list", "value"], run: contains },
    Function { name: "distinct", parameters: &["list"], run: distinct },
    Function { name: "element", parameters: &["list", "index"], run: element },
    Function { name: "flatten", parameters: &["list"], run: flatten },
    Function { name: "index", parameters: &["collection", "key"], run: index },
    Function { name: "keys", parameters: &["inputMap"], run: keys },
    Function { name: "length", parameters: &["collection"], run: length },
    Function { name: "lookup", parameters: &["inputMap", "key", "default?"], run: lookup },
    Function { name: "merge", parameters: &["maps..."], run: merge },
    Function { name: "range", parameters: &["params..."], run: range },
    Function { name: "setintersection", parameters: &["first_set", "other_sets..."], run: setintersection },
    Function { name: "setproduct", parameters: &["sets..."], run: setproduct },
    Function { name: "setunion", parameters: &["first_set", "other_sets..."], run: setunion },
    Function { name: "slice", parameters: &["list", "start_index", "end_index"], run: slice },
    Function { name: "sort", parameters: &["list"], run: sort },
    Function { name: "values", parameters: &["mapping"], run: values },
    Function { name: "zipmap", parameters: &["keys", "values"], run: zipmap },
];

fn chunklist(a: &Arguments<'_>) -> Answer {
    let (list, size) = (a.list(0)?, a.integer(1)?);
    let size = usize::try_from(size).map_err(|_| Failure::Argument(1, "the size must not be negative".to_owned()))?;
    let size = if size == 0 { list.items.len().max(1) } else { size };
    let chunks = list.items.chunks(size).map(|chunk| Value::list(list.kind, chunk.to_vec()));
    Ok(Value::tuple(chunks.collect()))
}

fn coalesce(a: &Arguments<'_>) -> Answer {
    let mut values = a.values.to_vec();
    unify(&mut values);
    let empty = |value: &Value| matches!(value, Value::Null) || matches!(value, Value::Text(text) if text.is_empty());
    values.into_iter().find(|value| !empty(value)).ok_or_else(|| "all arguments are null or empty".into())
}

fn coalescelist(a: &Arguments<'_>) -> Answer {
    for index in 0..a.len() {
        if !a.value(index).is_null() && !a.list(index)?.items.is_empty() {
            return Ok(a.value(index).clone());
        }
    }
    Err("all lists are null or empty".into())
}

fn compact(a: &Arguments<'_>) -> Answer {
    let kept = a
        .list(0)?
        .items
        .iter()
        .filter(|item| !item.is_null())
        .map(|item| item.to_text().ok_or_else(|| a.wrong(0, "a list of strings")));
    let kept = kept.collect::<Result<Vec<_>, _>>()?;
    Ok(texts_to_list(kept.into_iter().filter(|text| !text.is_empty())))
}

fn concat(a: &Arguments<'_>) -> Answer {
    let mut all = Vec::new();
    for index in 0..a.len() {
        all.extend(a.list(index)?.items.iter().cloned());
    }
    Ok(Value::tuple(all))
}

fn contains(a: &Arguments<'_>) -> Answer {
    let wanted = a.value(1);
    Ok(Value::Bool(a.list(0)?.items.iter().any(|item| item.equals(wanted))))
}

/// The first of each value, in order. Sorted for the search, so that long lists stay cheap.
fn distinct(a: &Arguments<'_>) -> Answer {
    let list = a.list(0)?;
    let mut order: Vec<usize> = (0..list.items.len()).collect();
    order.sort_by(|x, y| list.items[*x].order(&list.items[*y]).then(x.cmp(y)));
    order.dedup_by(|later, first| list.items[*later].equals(&list.items[*first]));
    order.sort_unstable();
    Ok(Value::list(list.kind, order.into_iter().map(|at| list.items[at].clone()).collect()))
}

fn element(a: &Arguments<'_>) -> Answer {
    let (list, index) = (a.list(0)?, a.integer(1)?);
    if list.items.is_empty() {
        return Err("the list is empty".into());
    }
    let index = usize::try_from(index).map_err(|_| Failure::Argument(1, "the index is negative".to_owned()))?;
    Ok(list.items[index % list.items.len()].clone())
}

fn flatten(a: &Arguments<'_>) -> Answer {
    fn into(items: &[Value], out: &mut Vec<Value>) {
        for item in items {
            match item.as_list() {
                Some(list) => into(&list.items, out),
                None => out.push(item.clone()),
            }
        }
    }
    let mut out = Vec::new();
    into(&a.list(0)?.items, &mut out);
    Ok(Value::tuple(out))
}

/// Element access, not a search.
fn index(a: &Arguments<'_>) -> Answer {
    element_of(a.value(0), a.value(1), Span::default())
        .map_err(|problem| Failure::Call(problem.detail.trim_end_matches('.').to_owned()))
}

fn keys(a: &Arguments<'_>) -> Answer {
    Ok(texts_to_list(a.map(0)?.items.keys()))
}

fn values(a: &Arguments<'_>) -> Answer {
    Ok(Value::tuple(a.map(0)?.items.values().cloned().collect()))
}

fn length(a: &Arguments<'_>) -> Answer {
    let count = match a.value(0) {
        Value::List(list) => list.items.len(),
        Value::Map(map) if map.kind == MapKind::Map => map.items.len(),
        Value::Map(_) => {
            return Err(Failure::Argument(
                0,
                "a list, set or map is required; convert(…, map(any)) makes a map of an object".to_owned(),
            ));
        }
        _ => return Err(Failure::Argument(0, "a list, set or map is required".to_owned())),
    };
    Ok(Value::Number(Number::from(count)))
}

fn lookup(a: &Arguments<'_>) -> Answer {
    let (map, key) = (a.map(0)?, a.text(1)?);
    match map.items.get(&key) {
        Some(value) => Ok(value.clone()),
        None if a.len() > 2 => Ok(a.value(2).clone()),
        None => Err(Failure::Call(format!("lookup failed to find {key:?}"))),
    }
}

fn merge(a: &Arguments<'_>) -> Answer {
    let mut all = BTreeMap::new();
    let mut kind = MapKind::Map;
    for index in 0..a.len() {
        if a.value(index).is_null() {
            continue;
        }
        let map = a.map(index)?;
        if map.kind == MapKind::Object {
            kind = MapKind::Object;
        }
        all.extend(map.items.iter().map(|(key, value)| (Arc::clone(key), value.clone())));
    }
    Ok(Value::map(kind, all))
}

/// More values than this are refused, as in Nomad.
const RANGE_LIMIT: usize = 1_024;

fn range(a: &Arguments<'_>) -> Answer {
    let one = || Number::from(1_i64);
    let toward = |start: &Number, end: &Number| if end < start { one().negate() } else { one() };
    let (start, end, step) = match a.len() {
        1 => {
            let end = a.number(0)?;
            (Number::zero(), end.clone(), toward(&Number::zero(), &end))
        }
        2 => {
            let (start, end) = (a.number(0)?, a.number(1)?);
            let step = toward(&start, &end);
            (start, end, step)
        }
        3 => (a.number(0)?, a.number(1)?, a.number(2)?),
        _ => return Err("must have one, two, or three arguments".into()),
    };
    if step.is_zero() {
        return Err(Failure::Argument(2, "step must not be zero".to_owned()));
    }
    let down = step.is_negative();
    if (down && end > start) || (!down && end < start) {
        let (word, order) = if down { ("negative", "less") } else { ("positive", "greater") };
        return Err(Failure::Call(format!("with a {word} step the end must be {order} than the start")));
    }
    let mut all = Vec::new();
    let mut at = start;
    while if down { at > end } else { at < end } {
        if all.len() >= RANGE_LIMIT {
            return Err(Failure::Call(format!("a range may have {RANGE_LIMIT} values")));
        }
        let next = at.add(&step).ok_or("the numbers are too large")?;
        all.push(Value::Number(at));
        at = next;
    }
    Ok(Value::list(ListKind::List, all))
}

fn set(a: &Arguments<'_>, index: usize) -> Result<Value, Failure> {
    Ok(Value::list(ListKind::Set, a.list(index)?.items.clone()))
}

fn setunion(a: &Arguments<'_>) -> Answer {
    let mut all = Vec::new();
    for index in 0..a.len() {
        all.extend(a.list(index)?.items.iter().cloned());
    }
    unify(&mut all);
    Ok(Value::list(ListKind::Set, all))
}

fn setintersection(a: &Arguments<'_>) -> Answer {
    let mut kept = a.list(0)?.items.clone();
    for index in 1..a.len() {
        let other = set(a, index)?;
        let sorted = other.as_list().map(|list| &*list.items).unwrap_or_default();
        kept.retain(|item| sorted.binary_search_by(|probe| probe.order(item)).is_ok());
    }
    Ok(Value::list(ListKind::Set, kept))
}

fn setproduct(a: &Arguments<'_>) -> Answer {
    if a.len() < 2 {
        return Err("at least two arguments are required".into());
    }
    let mut total = 1_u64;
    let mut sets = false;
    for index in 0..a.len() {
        let list = a.list(index)?;
        total = total.saturating_mul(list.items.len() as u64);
        sets |= list.kind == ListKind::Set;
    }
    a.spend(total.saturating_mul(32 + 32 * a.len() as u64))?;
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for index in 0..a.len() {
        let list = a.list(index)?;
        rows = rows
            .iter()
            .flat_map(|row| list.items.iter().map(|item| row.iter().chain([item]).cloned().collect()))
            .collect();
    }
    let kind = if sets { ListKind::Set } else { ListKind::List };
    Ok(Value::list(kind, rows.into_iter().map(Value::tuple).collect()))
}

fn slice(a: &Arguments<'_>) -> Answer {
    let (list, start, end) = (a.list(0)?, a.integer(1)?, a.integer(2)?);
    if list.kind == ListKind::Set {
        return Err(Failure::Argument(
            0,
            "the elements of a set have no order; sort it or convert it to a list first".to_owned(),
        ));
    }
    let length = list.items.len();
    let start = usize::try_from(start)
        .map_err(|_| Failure::Argument(1, "start index must not be less than zero".to_owned()))?;
    let end =
        usize::try_from(end).map_err(|_| Failure::Argument(2, "end index must not be less than zero".to_owned()))?;
    if end > length {
        return Err(Failure::Argument(2, "end index must not be greater than the length of the list".to_owned()));
    }
    if start > end {
        return Err(Failure::Argument(1, "start index must not be greater than end index".to_owned()));
    }
    Ok(Value::list(list.kind, list.items[start..end].to_vec()))
}

fn sort(a: &Arguments<'_>) -> Answer {
    let mut texts = a.texts(0)?;
    texts.sort();
    Ok(texts_to_list(texts))
}

fn zipmap(a: &Arguments<'_>) -> Answer {
    let (keys, values) = (a.texts(0)?, a.list(1)?);
    if keys.len() != values.items.len() {
        return Err(Failure::Call(format!("{} keys do not go with {} values", keys.len(), values.items.len())));
    }
    Ok(Value::object(keys.into_iter().zip(values.items.iter().cloned()).collect()))
}
