//! Small files that describe one thing (a namespace, a node pool): HCL or JSON, from a file or standard input.
//!
//! A key that is not known is an error with its place, and the key that may have been meant. Called by `namespace apply` and
//! `node pool apply`; job files have `jobfile`.

use std::collections::BTreeMap;
use std::io::Read as _;

use nomadd_config::Place;
use nomadd_config::tree::{self, Entry, Node};

use crate::failure::Failure;

/// The name of standard input in errors.
const STDIN: &str = "<stdin>";

/// The text of a file, or of standard input for `-`; with the name for errors.
pub fn read(name: &str) -> std::io::Result<(String, String)> {
    if name != "-" {
        return Ok((name.to_owned(), std::fs::read_to_string(name)?));
    }
    let mut text = String::new();
    std::io::stdin().take(tree::MAX_FILE as u64 + 1).read_to_string(&mut text)?;
    Ok((STDIN.to_owned(), text))
}

/// The keys of a block that are not yet taken.
pub struct Fields {
    entries: BTreeMap<String, Entry>,
    known: Vec<&'static str>,
}

fn wrong(place: &Place, sentence: impl std::fmt::Display) -> Failure {
    Failure::new(format!("Error parsing {place}: {sentence}"))
}

impl Fields {
    /// The keys of a file.
    pub fn parse(name: &str, text: &str) -> Result<Self, Failure> {
        let entries = tree::parse(name, text).map_err(|problem| wrong(&problem.place, problem.sentence))?;
        Ok(Self::of(entries))
    }

    fn of(entries: BTreeMap<String, Entry>) -> Self {
        Self { entries, known: Vec::new() }
    }

    fn take(&mut self, key: &'static str) -> Option<Entry> {
        self.known.push(key);
        self.entries.remove(key).filter(|entry| !matches!(entry.node, Node::Null))
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Result<Option<String>, Failure> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        match entry.node {
            Node::Text(text) => Ok(Some(text)),
            other => Err(wrong(&entry.place, format!("{key} must be a text, not {}", other.word()))),
        }
    }

    /// True or false.
    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Failure> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        match entry.node {
            Node::Bool(flag) => Ok(Some(flag)),
            other => Err(wrong(&entry.place, format!("{key} must be true or false, not {}", other.word()))),
        }
    }

    /// A span of time: `"24h"`, or a number of nanoseconds.
    pub fn duration(&mut self, key: &'static str) -> Result<Option<nomadd_model::Duration>, Failure> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        let parsed = match &entry.node {
            Node::Text(text) => nomadd_model::Duration::parse(text).ok(),
            Node::Number(nanos) => Some(nomadd_model::Duration(*nanos as i64)),
            _ => None,
        };
        match parsed {
            Some(span) => Ok(Some(span)),
            None => {
                Err(wrong(&entry.place, format!("{key} must be a span such as \"24h\", not {}", entry.node.shown())))
            }
        }
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>, Failure> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        let refuse = |node: &Node| wrong(&entry.place, format!("{key} must be a list of texts, not {}", node.word()));
        let Node::List(items) = &entry.node else { return Err(refuse(&entry.node)) };
        let text = |item: &Entry| match &item.node {
            Node::Text(text) => Ok(text.clone()),
            other => Err(refuse(other)),
        };
        items.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// A block of texts, such as `meta`.
    pub fn map(&mut self, key: &'static str) -> Result<Option<BTreeMap<String, String>>, Failure> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        let (place, block) = one_block(key, entry)?;
        let mut map = BTreeMap::new();
        for (name, value) in block {
            let text = match value.node {
                Node::Text(text) => text,
                Node::Number(number) => number.to_string(),
                Node::Bool(flag) => flag.to_string(),
                other => return Err(wrong(&place, format!("{key}.{name} must be a text, not {}", other.word()))),
            };
            map.insert(name, text);
        }
        Ok(Some(map))
    }

    /// A block with keys of its own.
    pub fn block(&mut self, key: &'static str) -> Result<Option<Self>, Failure> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        Ok(Some(Self::of(one_block(key, entry)?.1)))
    }

    /// A block with one label: the label and its keys.
    pub fn labelled(&mut self, key: &'static str) -> Result<Option<(String, Self)>, Failure> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        let (place, mut block) = one_block(key, entry)?;
        match (block.pop_first(), block.is_empty()) {
            (Some((label, inner)), true) => {
                let (_, keys) = one_block(key, inner)?;
                Ok(Some((label, Self::of(keys))))
            }
            (None, _) => Err(wrong(&place, format!("{key} needs a name: {key} \"NAME\" {{ … }}"))),
            (_, false) => Err(wrong(&place, format!("only one {key} may stand in a file"))),
        }
    }

    /// Refuses what was not taken.
    pub fn finish(self) -> Result<(), Failure> {
        let Some((key, entry)) = self.entries.first_key_value() else { return Ok(()) };
        let near = self.known.iter().find(|known| close(known, key));
        let hint = near.map(|known| format!("; did you mean {known:?}?")).unwrap_or_default();
        Err(wrong(&entry.place, format!("{key:?} is not known here{hint}")))
    }
}

fn one_block(key: &str, entry: Entry) -> Result<(Place, BTreeMap<String, Entry>), Failure> {
    match entry.node {
        Node::Block(block) => Ok((entry.place, block)),
        Node::List(mut items) if items.len() == 1 && matches!(items[0].node, Node::Block(_)) => {
            one_block(key, items.remove(0))
        }
        Node::List(_) => Err(wrong(&entry.place, format!("only one {key} may stand here"))),
        other => Err(wrong(&entry.place, format!("{key} must be a block, not {}", other.word()))),
    }
}

/// Whether one word may be a slip of the other: the same letters but for one, or for order.
fn close(known: &str, typed: &str) -> bool {
    let sorted = |word: &str| {
        let mut letters: Vec<char> = word.to_lowercase().chars().collect();
        letters.sort_unstable();
        letters
    };
    let (known, typed) = (sorted(known), sorted(typed));
    let common = known.iter().filter(|letter| typed.contains(letter)).count();
    known.len().abs_diff(typed.len()) <= 1 && common + 1 >= known.len().max(typed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_key_by_key_and_an_unknown_key_is_named_with_its_place() {
        let text = "name = \"a\"\nmeta {\n  x = 1\n}\nlist = [\"u\"]\ndescripton = \"d\"\n";
        let mut fields = Fields::parse("f.hcl", text).unwrap_or_else(|failure| panic!("{}", failure.message));
        assert_eq!(fields.text("name").ok().flatten().as_deref(), Some("a"));
        assert_eq!(fields.map("meta").ok().flatten(), Some(BTreeMap::from([("x".into(), "1".into())])));
        assert_eq!(fields.texts("list").ok().flatten(), Some(vec!["u".into()]));
        assert_eq!(fields.text("description").ok().flatten(), None);
        let failure = fields.finish().err().map(|failure| failure.message).unwrap_or_default();
        assert_eq!(failure, "Error parsing f.hcl:6:1: \"descripton\" is not known here; did you mean \"description\"?");
    }

    #[test]
    fn a_wrong_kind_is_named() {
        let mut fields = Fields::parse("f.hcl", "name = [1]\nmeta = 3\n").unwrap_or_else(|f| panic!("{}", f.message));
        let message = |failure: Option<Failure>| failure.map(|failure| failure.message).unwrap_or_default();
        assert_eq!(message(fields.text("name").err()), "Error parsing f.hcl:1:1: name must be a text, not a list");
        assert_eq!(message(fields.map("meta").err()), "Error parsing f.hcl:2:1: meta must be a block, not a number");
    }
}
