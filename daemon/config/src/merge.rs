//! Checks a file against the schema and lays it over what came before.

use std::collections::BTreeMap;

use crate::problem::{Problem, Warning};
use crate::schema::{APPENDED, Effect, Key, Kind, SWITCHES};
use crate::tree::{Entry, Node};
use nomadd_model::Duration;

/// What a check finds.
#[derive(Debug, Default)]
pub struct Findings {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Warning>,
}

/// Checks keys and kinds; unknown keys are warnings and are dropped, convertible values are converted.
pub fn check(path: &str, entries: &mut BTreeMap<String, Entry>, table: &'static [Key], findings: &mut Findings) {
    entries.retain(|name, entry| {
        let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let Some(key) = table.iter().find(|key| key.0 == name) else {
            let near = closest(name, table).map(|near| format!(" Did you mean {near:?}?")).unwrap_or_default();
            findings.warnings.push(Warning {
                place: entry.place.clone(),
                sentence: format!("unknown key {full:?}: it is ignored.{near}"),
            });
            return false;
        };
        if matches!(entry.node, Node::Null) {
            return false;
        }
        check_value(&full, entry, key, findings);
        true
    });
}

fn check_value(full: &str, entry: &mut Entry, key: &'static Key, findings: &mut Findings) {
    let before = findings.problems.len();
    convert(full, entry, key.1, findings);
    if findings.problems.len() > before {
        return;
    }
    match key.2 {
        Effect::In => {}
        Effect::Later => findings.warnings.push(Warning {
            place: entry.place.clone(),
            sentence: format!("{full:?} is known, but has no effect in this build yet."),
        }),
        Effect::Guard if is_on(&entry.node) => findings.problems.push(Problem {
            place: entry.place.clone(),
            sentence: format!(
                "{full:?} asks for a protection that this build does not have yet; the agent does not start as if it had it. Remove the key to start without."
            ),
        }),
        Effect::Guard => {}
    }
}

fn is_on(node: &Node) -> bool {
    match node {
        Node::Bool(flag) => *flag,
        Node::Text(text) => !text.is_empty(),
        Node::Number(number) => *number != 0.0,
        Node::List(list) => !list.is_empty(),
        Node::Block(block) => !block.is_empty(),
        Node::Null => false,
    }
}

fn convert(full: &str, entry: &mut Entry, kind: Kind, findings: &mut Findings) {
    let wrong = |expected: &str, entry: &Entry| Problem {
        place: entry.place.clone(),
        sentence: format!("{full:?} must be {expected}, not {}", entry.node.shown()),
    };
    match (kind, &mut entry.node) {
        (Kind::Free, _)
        | (Kind::Text, Node::Text(_))
        | (Kind::Number, Node::Number(_))
        | (Kind::Bool, Node::Bool(_)) => {}
        (Kind::Text, Node::Number(number)) => entry.node = Node::Text(number.to_string()),
        (Kind::Number, Node::Text(text)) if text.trim().parse::<f64>().is_ok() => {
            entry.node = Node::Number(text.trim().parse().unwrap_or_default());
        }
        (Kind::Bool, Node::Text(text)) if matches!(text.as_str(), "true" | "false" | "1" | "0") => {
            entry.node = Node::Bool(matches!(text.as_str(), "true" | "1"));
        }
        (Kind::Span, Node::Text(text)) => {
            if let Err(error) = Duration::parse(text) {
                findings.problems.push(Problem { place: entry.place.clone(), sentence: format!("{full:?}: {error}") });
            }
        }
        (Kind::Texts, Node::List(list)) => {
            for item in list.iter_mut() {
                convert(full, item, Kind::Text, findings);
            }
        }
        // One text where a list is wanted is a list of one.
        (Kind::Texts, Node::Text(text)) => {
            let only = Entry { place: entry.place.clone(), node: Node::Text(text.clone()) };
            entry.node = Node::List(vec![only]);
        }
        (Kind::Map, Node::Block(block)) => {
            for (name, item) in block.iter_mut() {
                match &item.node {
                    Node::Bool(flag) => item.node = Node::Text(flag.to_string()),
                    _ => convert(&format!("{full}.{name}"), item, Kind::Text, findings),
                }
            }
        }
        (Kind::Map, Node::List(list)) => {
            entry.node = Node::Block(flatten(list));
            convert(full, entry, kind, findings);
        }
        (Kind::Block(table), Node::Block(block)) => check(full, block, table, findings),
        (Kind::Block(table), Node::List(list)) if list.iter().all(|item| matches!(item.node, Node::Block(_))) => {
            // The same block written twice: the later one lies over the earlier.
            let mut merged = BTreeMap::new();
            for item in list.drain(..) {
                if let Node::Block(block) = item.node {
                    overlay(&mut merged, block);
                }
            }
            check(full, &mut merged, table, findings);
            entry.node = Node::Block(merged);
        }
        (Kind::Named(table), Node::Block(block)) => {
            for (name, item) in block.iter_mut() {
                convert(&format!("{full}.{name}"), item, Kind::Block(table), findings);
            }
        }
        (Kind::Named(_), Node::List(list)) => {
            entry.node = Node::Block(flatten(list));
            convert(full, entry, kind, findings);
        }
        (kind, _) => findings.problems.push(wrong(expected(kind), entry)),
    }
}

fn flatten(list: &mut Vec<Entry>) -> BTreeMap<String, Entry> {
    let mut merged = BTreeMap::new();
    for item in list.drain(..) {
        if let Node::Block(block) = item.node {
            merged.extend(block);
        }
    }
    merged
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::Number => "a number",
        Kind::Bool => "true or false",
        Kind::Span => "a duration such as \"30s\"",
        Kind::Texts => "a list of texts",
        Kind::Map | Kind::Block(_) | Kind::Named(_) => "a block",
        Kind::Free => "any value",
    }
}

/// Lays `upper` over `lower` in Nomad's way.
pub fn overlay(lower: &mut BTreeMap<String, Entry>, upper: BTreeMap<String, Entry>) {
    for (name, entry) in upper {
        let Some(existing) = lower.get_mut(&name) else {
            lower.insert(name, entry);
            continue;
        };
        match (&mut existing.node, entry.node) {
            (Node::Block(old), Node::Block(new)) => overlay(old, new),
            (Node::List(old), Node::List(new)) if APPENDED.contains(&name.as_str()) => old.extend(new),
            (Node::Bool(true), Node::Bool(false)) if !SWITCHES.contains(&name.as_str()) => {}
            (_, node) => *existing = Entry { place: entry.place, node },
        }
    }
}

/// The known key that differs least, when it differs little.
fn closest(name: &str, table: &[Key]) -> Option<&'static str> {
    table.iter().map(|key| (distance(name, key.0), key.0)).filter(|(far, _)| *far <= 2).min().map(|(_, near)| near)
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
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
