//! Decides about one object.

use std::borrow::Cow;

use serde_json::Value;

use super::{Expression, FilterError, Test};

/// Fields that are maps with keys of the user's: a missing key is no mistake there.
const MAPS: &[&str] = &[
    "Meta",
    "Attributes",
    "Links",
    "Drivers",
    "TaskStates",
    "Env",
    "Labels",
    "Details",
    "NodesAvailable",
    "TaskGroups",
    "HostVolumes",
    "HostNetworks",
    "ClassFiltered",
    "ConstraintFiltered",
    "ClassExhausted",
    "DimensionExhausted",
    "Summary",
    "CSIControllerPlugins",
    "CSINodePlugins",
    "FailedTGAllocs",
    "QueuedAllocations",
    "ClassEligibility",
    "Tasks",
    "Config",
];

/// Names that `any` and `all` bind, innermost last.
type Bound<'a> = [(&'a str, Cow<'a, Value>)];

pub(super) fn expression(parsed: &Expression, object: &Value, bound: &Bound<'_>) -> Result<bool, FilterError> {
    match parsed {
        Expression::And(left, right) => Ok(expression(left, object, bound)? && expression(right, object, bound)?),
        Expression::Or(left, right) => Ok(expression(left, object, bound)? || expression(right, object, bound)?),
        Expression::Not(inner) => Ok(!expression(inner, object, bound)?),
        Expression::Match { selector, test } => decide(selector, test, find(selector, object, bound)?),
        Expression::Each { all, selector, names, inner } => {
            let found = find(selector, object, bound)?;
            let pairs: Vec<(Value, &Value)> = match found {
                Some(Value::Array(items)) => {
                    items.iter().enumerate().map(|(at, item)| (Value::from(at), item)).collect()
                }
                Some(Value::Object(fields)) => {
                    fields.iter().map(|(key, item)| (Value::from(key.as_str()), item)).collect()
                }
                None | Some(Value::Null) => Vec::new(),
                Some(other) => return Err(mismatch("any and all", selector, other)),
            };
            let is_map = matches!(found, Some(Value::Object(_)));
            for (key, item) in pairs {
                let mut inside = bound.to_vec();
                match names.as_slice() {
                    // With one name a list gives its items, a map its keys.
                    [only] => {
                        inside.push((only, if is_map { Cow::Owned(key) } else { Cow::Borrowed(item) }));
                    }
                    [first, second] => {
                        inside.push((first, Cow::Owned(key)));
                        inside.push((second, Cow::Borrowed(item)));
                    }
                    _ => {}
                }
                if expression(inner, object, &inside)? != *all {
                    return Ok(!*all);
                }
            }
            Ok(*all)
        }
    }
}

fn find<'a>(selector: &[String], object: &'a Value, bound: &'a Bound<'_>) -> Result<Option<&'a Value>, FilterError> {
    let (mut value, mut in_map, skip) =
        match bound.iter().rev().find(|(name, _)| selector.first().is_some_and(|s| s == name)) {
            Some((_, value)) => (value.as_ref(), false, 1),
            None => (object, false, 0),
        };
    for (part, name) in selector.iter().enumerate().skip(skip) {
        let next = match value {
            Value::Object(fields) => fields.get(name).or_else(|| {
                fields.iter().find(|(key, _)| !in_map && key.eq_ignore_ascii_case(name)).map(|(_, field)| field)
            }),
            Value::Array(items) => name.parse::<usize>().ok().and_then(|at| items.get(at)),
            _ => None,
        };
        match next {
            Some(next) => {
                in_map = MAPS.contains(&name.as_str()) && next.is_object() && !in_map;
                value = next;
            }
            None if in_map || value.is_null() || value.is_array() => return Ok(None),
            None if part > skip && MAPS.contains(&selector[part - 1].as_str()) => return Ok(None),
            None => {
                let hint = match value {
                    Value::Object(fields) => closest(name, fields.keys().map(String::as_str)),
                    _ => None,
                };
                return Err(FilterError::UnknownField {
                    path: selector.join("/"),
                    part,
                    name: name.clone(),
                    hint: hint.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default(),
                });
            }
        }
    }
    Ok(Some(value))
}

fn decide(selector: &[String], test: &Test, found: Option<&Value>) -> Result<bool, FilterError> {
    let Some(value) = found else {
        return Ok(matches!(test, Test::NotEqual(_) | Test::NotContains(_) | Test::NotMatches(_) | Test::Empty));
    };
    match test {
        Test::Equal(wanted) => equal(selector, value, wanted),
        Test::NotEqual(wanted) => equal(selector, value, wanted).map(|same| !same),
        Test::Contains(wanted) => contains(selector, value, wanted),
        Test::NotContains(wanted) => contains(selector, value, wanted).map(|inside| !inside),
        Test::Empty => empty(selector, value),
        Test::NotEmpty => empty(selector, value).map(|is_empty| !is_empty),
        Test::Matches(regex) => Ok(regex.is_match(&text(selector, value)?)),
        Test::NotMatches(regex) => Ok(!regex.is_match(&text(selector, value)?)),
    }
}

fn equal(selector: &[String], value: &Value, wanted: &str) -> Result<bool, FilterError> {
    match value {
        Value::String(text) => Ok(text == wanted),
        Value::Number(number) => Ok(match (number.as_i64(), wanted.parse::<i64>()) {
            (Some(number), Ok(wanted)) => number == wanted,
            _ => number.as_f64() == wanted.parse::<f64>().ok(),
        }),
        Value::Bool(flag) => Ok(matches!((flag, wanted), (true, "true" | "1") | (false, "false" | "0"))),
        Value::Null => Ok(wanted.is_empty()),
        other => Err(mismatch("==", selector, other)),
    }
}

fn contains(selector: &[String], value: &Value, wanted: &str) -> Result<bool, FilterError> {
    match value {
        Value::String(text) => Ok(text.contains(wanted)),
        Value::Object(fields) => Ok(fields.contains_key(wanted)),
        Value::Null => Ok(false),
        Value::Array(items) => {
            for item in items {
                if equal(selector, item, wanted)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        other => Err(mismatch("in", selector, other)),
    }
}

fn empty(selector: &[String], value: &Value) -> Result<bool, FilterError> {
    match value {
        Value::String(text) => Ok(text.is_empty()),
        Value::Array(items) => Ok(items.is_empty()),
        Value::Object(fields) => Ok(fields.is_empty()),
        Value::Null => Ok(true),
        other => Err(mismatch("is empty", selector, other)),
    }
}

fn text<'a>(selector: &[String], value: &'a Value) -> Result<Cow<'a, str>, FilterError> {
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Null => Ok(Cow::Borrowed("")),
        other => Err(mismatch("matches", selector, other)),
    }
}

fn mismatch(operator: &'static str, selector: &[String], value: &Value) -> FilterError {
    let found = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    FilterError::Mismatch { operator, path: selector.join("."), found }
}

/// The known name that differs least, when it differs little.
fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.map(|known| (distance(name, known), known)).filter(|(far, _)| *far <= 2).min().map(|(_, known)| known)
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let cost = usize::from(a != *b) + diagonal;
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[right.len()]
}
