//! The node's metadata: what the agent's configuration says, and what operators change while the agent runs.
//!
//! Changes are kept on disk before they count, so that they outlast the agent; then the node is registered anew, and
//! constraints see them. Called by `Client`; what is read and written is the API's.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use nomadd_model::{Node, Text};
use tokio::sync::watch;

use crate::context::Context;
use crate::store::{Store, StoreError};

/// What operators changed: a value, or `None` for a key of the configuration that is taken away.
pub type Changes = BTreeMap<Text, Option<Text>>;

/// How much the changes of a node may hold, keys and values, in bytes.
const MOST: usize = 65_536;

/// Why metadata was not changed.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Nothing was asked for.
    #[error("missing required Meta object")]
    Nothing,
    /// A key without a name.
    #[error("metadata keys must not be empty")]
    EmptyKey,
    /// A key that no constraint could name.
    #[error("{0:?} is invalid; metadata keys must be valid dotted hcl identifiers")]
    Key(String),
    /// Too much of it.
    #[error("the metadata that is set while the agent runs would hold {0} bytes; {MOST} are allowed")]
    TooMuch(usize),
    /// It cannot be kept.
    #[error("failed to apply dynamic node metadata")]
    Store(#[from] StoreError),
    /// The agent is going down.
    #[error("the agent is shutting down")]
    Stopping,
}

impl MetadataError {
    /// Whether the request is at fault, not this node.
    pub const fn is_bad_request(&self) -> bool {
        matches!(self, Self::Nothing | Self::EmptyKey | Self::Key(_) | Self::TooMuch(_))
    }
}

/// All metadata of a node, and where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// What holds.
    pub all: BTreeMap<Text, Text>,
    /// What operators changed.
    pub dynamic: Changes,
    /// What the agent's configuration says.
    pub fixed: BTreeMap<Text, Text>,
}

/// What was changed, and who wants to know of it.
#[derive(Debug)]
pub struct Dynamic {
    changes: Mutex<Changes>,
    changed: watch::Sender<u64>,
}

impl Dynamic {
    /// What an earlier agent kept.
    pub fn restore(store: &Store) -> Result<Self, StoreError> {
        Ok(Self { changes: Mutex::new(store.metadata()?), changed: watch::Sender::new(0) })
    }

    /// Lays what was changed over the configuration's.
    pub fn lay_over(&self, node: &mut Node) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        node.meta = laid_over(std::mem::take(&mut node.meta), &changes);
    }

    /// Has the node registered anew: more is known of it than when it was.
    pub fn register_anew(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Changes whenever the node has to be registered anew.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// The metadata that holds.
pub fn read(context: &Context) -> Metadata {
    let changes = context.metadata.changes.lock().unwrap_or_else(PoisonError::into_inner);
    view(context, &changes)
}

/// Sets values and takes keys away (`None`). Blocking: returns when it is on disk.
pub fn change(context: &Context, wanted: Changes) -> Result<Metadata, MetadataError> {
    check(&wanted)?;
    let fixed = fixed(context);
    let mut changes = context.metadata.changes.lock().unwrap_or_else(PoisonError::into_inner);
    let next = merged(&changes, wanted, &fixed);
    let size = next.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, |value| value.len())).sum();
    if size > MOST {
        return Err(MetadataError::TooMuch(size));
    }
    context.store.put_metadata(&next)?;
    *changes = next;
    let view = view(context, &changes);
    context.change_node(|node| node.meta.clone_from(&view.all));
    context.metadata.register_anew();
    Ok(view)
}

fn view(context: &Context, changes: &Changes) -> Metadata {
    let fixed = fixed(context);
    Metadata { all: laid_over(fixed.clone(), changes), dynamic: changes.clone(), fixed }
}

fn fixed(context: &Context) -> BTreeMap<Text, Text> {
    context.config.meta.iter().map(|(key, value)| (Text::from(key), Text::from(value))).collect()
}

fn laid_over(mut meta: BTreeMap<Text, Text>, changes: &Changes) -> BTreeMap<Text, Text> {
    for (key, value) in changes {
        match value {
            Some(value) => meta.insert(key.clone(), value.clone()),
            None => meta.remove(key),
        };
    }
    meta
}

/// The changes after more of them. A key that only they had and that is taken away leaves nothing behind.
fn merged(changes: &Changes, wanted: Changes, fixed: &BTreeMap<Text, Text>) -> Changes {
    let mut next = changes.clone();
    next.extend(wanted);
    next.retain(|key, value| value.is_some() || fixed.contains_key(key));
    next
}

fn check(wanted: &Changes) -> Result<(), MetadataError> {
    if wanted.is_empty() {
        return Err(MetadataError::Nothing);
    }
    for key in wanted.keys() {
        if key.is_empty() {
            return Err(MetadataError::EmptyKey);
        }
        if !key.split('.').all(is_identifier) {
            return Err(MetadataError::Key(key.to_string()));
        }
    }
    Ok(())
}

/// Whether a word is an identifier of job files.
fn is_identifier(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(pairs: &[(&str, &str)]) -> BTreeMap<Text, Text> {
        pairs.iter().map(|(key, value)| (Text::from(*key), Text::from(*value))).collect()
    }

    fn changes(pairs: &[(&str, Option<&str>)]) -> Changes {
        pairs.iter().map(|(key, value)| (Text::from(*key), value.map(Text::from))).collect()
    }

    #[test]
    fn changes_lie_over_the_configuration_and_can_be_taken_back() {
        let fixed = meta(&[("rack", "r1"), ("zone", "a")]);
        let first = merged(&Changes::new(), changes(&[("rack", Some("r9")), ("tier", Some("gold"))]), &fixed);
        assert_eq!(laid_over(fixed.clone(), &first), meta(&[("rack", "r9"), ("tier", "gold"), ("zone", "a")]));
        let second = merged(&first, changes(&[("rack", None), ("tier", None)]), &fixed);
        assert_eq!(second, changes(&[("rack", None)]), "what only the changes had is forgotten");
        assert_eq!(laid_over(fixed.clone(), &second), meta(&[("zone", "a")]));
        let third = merged(&second, changes(&[("rack", Some("r1"))]), &fixed);
        assert_eq!(laid_over(fixed, &third), meta(&[("rack", "r1"), ("zone", "a")]));
    }

    #[test]
    fn keys_are_what_a_constraint_can_name() {
        for (key, fine) in
            [("rack", true), ("a.b-c._d", true), ("größe", true), ("1a", false), ("a b", false), ("a..b", false)]
        {
            assert_eq!(check(&changes(&[(key, None)])).is_ok(), fine, "{key}");
        }
        let text = |wanted: &[(&str, Option<&str>)]| check(&changes(wanted)).unwrap_err().to_string();
        assert_eq!(text(&[]), "missing required Meta object");
        assert_eq!(text(&[("", Some("x"))]), "metadata keys must not be empty");
        assert_eq!(text(&[("-", Some("x"))]), "\"-\" is invalid; metadata keys must be valid dotted hcl identifiers");
    }
}
