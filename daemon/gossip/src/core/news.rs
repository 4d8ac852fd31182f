//! News beside foca's own: tags, leaving, being made to leave. Travels as foca's custom broadcasts.
//!
//! Foca asks here whether a piece of news is new; what is goes to a queue that the core empties after each of foca's steps.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use nomadd_model::Text;

use crate::identity::{Identity, NAME_MOST};
use crate::wire::{News, TAGS_MOST, Version, What, decode, tags_length};

/// What a piece of news is about: later news of a kind make earlier ones worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Tags,
    Leaving,
    Forced,
}

/// Name, kind and version of a piece of news.
#[derive(Clone, Debug)]
pub struct Key {
    name: Text,
    kind: Kind,
    version: Version,
}

impl foca::Invalidates for Key {
    fn invalidates(&self, other: &Self) -> bool {
        self.name == other.name && self.kind == other.kind && self.version >= other.version
    }
}

#[derive(Debug, Default)]
struct Heard {
    versions: BTreeMap<(Text, Kind), Version>,
    queue: Vec<News>,
}

/// What was heard; a clone is the same.
#[derive(Clone, Debug)]
pub struct Inbox {
    heard: Arc<Mutex<Heard>>,
    most: usize,
}

impl Inbox {
    /// Remembers the versions of at most `most` names.
    pub fn new(most: usize) -> Self {
        Self { heard: Arc::default(), most: most.saturating_mul(3) }
    }
    /// Takes what is new.
    pub fn take(&self) -> Vec<News> {
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner).queue)
    }
    /// Forgets the names that `keep` does not want.
    pub fn retain(&self, keep: impl Fn(&Text) -> bool) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.versions.retain(|(name, _), _| keep(name));
    }
}

impl foca::BroadcastHandler<Identity> for Inbox {
    type Key = Key;
    type Error = Infallible;

    fn receive_item(&mut self, data: &[u8], _sender: Option<&Identity>) -> Result<Option<Key>, Infallible> {
        // News of a later release are not passed on; they are no error either.
        let Some(news) = decode::<News>(data) else { return Ok(None) };
        if news.name.is_empty() || news.name.len() > NAME_MOST {
            return Ok(None);
        }
        let (kind, version) = match &news.what {
            What::Tags { version, tags } if tags_length(tags) <= TAGS_MOST => (Kind::Tags, *version),
            What::Tags { .. } => return Ok(None),
            What::Leaving {} => (Kind::Leaving, (news.generation, 0)),
            What::Forced { prune } => (Kind::Forced, (news.generation, u64::from(*prune))),
        };
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let of = (news.name.clone(), kind);
        match heard.versions.get(&of) {
            Some(known) if *known >= version => return Ok(None),
            None if heard.versions.len() >= self.most => return Ok(None),
            _ => {}
        }
        heard.versions.insert(of, version);
        let key = Key { name: news.name.clone(), kind, version };
        heard.queue.push(news);
        Ok(Some(key))
    }
}

#[cfg(test)]
mod tests {
    use foca::BroadcastHandler as _;

    use super::*;
    use crate::wire::encode;

    fn tags(name: &str, version: Version) -> Vec<u8> {
        let what = What::Tags { version, tags: BTreeMap::from([("role".into(), "server".into())]) };
        encode(&News { name: name.into(), generation: version.0, what }).unwrap()
    }

    #[test]
    fn only_newer_versions_are_news() {
        let mut inbox = Inbox::new(2);
        assert!(inbox.receive_item(&tags("a", (1, 1)), None).unwrap().is_some());
        assert!(inbox.receive_item(&tags("a", (1, 1)), None).unwrap().is_none());
        assert!(inbox.receive_item(&tags("a", (1, 2)), None).unwrap().is_some());
        assert!(inbox.receive_item(&tags("a", (1, 1)), None).unwrap().is_none());
        assert!(inbox.receive_item(&tags("a", (2, 0)), None).unwrap().is_some());
        assert_eq!(inbox.take().len(), 3);
        assert!(inbox.take().is_empty());
        assert!(inbox.receive_item(b"junk", None).unwrap().is_none());
    }

    #[test]
    fn made_up_names_do_not_fill_the_memory() {
        let mut inbox = Inbox::new(10);
        for count in 0..1000 {
            let _ = inbox.receive_item(&tags(&count.to_string(), (1, 1)), None);
        }
        assert_eq!(inbox.take().len(), 30);
        inbox.retain(|name| name == "7");
        assert!(inbox.receive_item(&tags("900", (1, 1)), None).unwrap().is_some());
    }
}
