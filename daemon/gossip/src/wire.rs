//! What members say to each other over TCP, and the news that travel with foca's packets: named MessagePack.
//!
//! Unknown fields are ignored and absent ones are zero, so that the previous and the next release read it; a request that is
//! not known is refused by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use nomadd_model::Text;
use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::key::GossipKey;

/// The most that the tags of one member take, encoded: header and news share a packet.
pub const TAGS_MOST: usize = 600;

/// Orders what one member said of itself: its generation then, and a count.
pub type Version = (u64, u64);

/// How a member is in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum State {
    Alive,
    Suspect,
    Leaving,
    Left,
    Failed,
    /// Taken off the lists; a note so that it does not come back from a list that has not heard.
    Pruned,
    /// Of a later release.
    Unknown,
}

impl From<u8> for State {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::Alive,
            2 => Self::Suspect,
            3 => Self::Leaving,
            4 => Self::Left,
            5 => Self::Failed,
            6 => Self::Pruned,
            _ => Self::Unknown,
        }
    }
}
impl From<State> for u8 {
    fn from(state: State) -> Self {
        match state {
            State::Alive => 1,
            State::Suspect => 2,
            State::Leaving => 3,
            State::Left => 4,
            State::Failed => 5,
            State::Pruned => 6,
            State::Unknown => 0,
        }
    }
}

/// One line of a member list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(rename = "id")]
    pub identity: Identity,
    #[serde(rename = "i", default)]
    pub incarnation: u16,
    #[serde(rename = "s")]
    pub state: State,
    /// Unix nanoseconds.
    #[serde(rename = "t", default)]
    pub since: i64,
    #[serde(rename = "v", default)]
    pub version: Version,
    #[serde(rename = "g", default)]
    pub tags: BTreeMap<Text, Text>,
}

/// A piece of news beside foca's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// About whom.
    #[serde(rename = "n")]
    pub name: Text,
    /// In which of its lives.
    #[serde(rename = "g")]
    pub generation: u64,
    #[serde(rename = "w")]
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Its tags are these now.
    #[serde(rename = "t")]
    Tags { version: Version, tags: BTreeMap<Text, Text> },
    /// It is about to leave.
    #[serde(rename = "l")]
    Leaving {},
    /// An operator made it leave; it may be taken off the lists, too.
    #[serde(rename = "f")]
    Forced { prune: bool },
}

/// What is asked over TCP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// A newcomer's list; answered with the whole list.
    Join { from: Identity, entries: Vec<Entry> },
    /// A digest of each bucket; answered with the buckets that differ.
    Digest { from: Identity, buckets: Vec<u64> },
    /// Some lines; answered with the line of the one asked.
    Entries { from: Identity, entries: Vec<Entry> },
    /// A command for the keyring.
    Keyring { from: Identity, operation: KeyOperation },
}

impl Request {
    pub fn from(&self) -> &Identity {
        match self {
            Self::Join { from, .. }
            | Self::Digest { from, .. }
            | Self::Entries { from, .. }
            | Self::Keyring { from, .. } => from,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum KeyOperation {
    List {},
    Install { key: WireKey },
    Use { key: WireKey },
    Remove { key: WireKey },
}

/// A key as base64 inside a sealed frame; prints nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WireKey(pub String);

impl std::fmt::Debug for WireKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WireKey")
    }
}
impl From<&GossipKey> for WireKey {
    fn from(key: &GossipKey) -> Self {
        Self(key.to_base64())
    }
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    /// Lines; everything after a join.
    Entries { entries: Vec<Entry> },
    /// The buckets that differ, by number, and all lines of them.
    Differs { buckets: Vec<u16>, entries: Vec<Entry> },
    /// The keys, primary first, or why not.
    Keyring { keys: Vec<WireKey>, error: Option<String> },
    /// The name is another member's.
    Conflict { name: Text, holder: SocketAddr, own: SocketAddr },
    /// Not done, and why.
    Refused { reason: String },
}

/// Tells a member by datagram that its name is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    #[serde(rename = "n")]
    pub name: Text,
    #[serde(rename = "h")]
    pub holder: SocketAddr,
    #[serde(rename = "o")]
    pub own: SocketAddr,
}

/// Encodes; none only when memory fails.
pub fn encode<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    rmp_serde::to_vec_named(value).ok()
}

/// Decodes; none when it is malformed or nested too deeply.
pub fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
    decoder.set_max_depth(32);
    T::deserialize(&mut decoder).ok()
}

/// Bytes that tags take in a packet.
pub fn tags_length(tags: &BTreeMap<Text, Text>) -> usize {
    tags.iter().map(|(key, value)| key.len() + value.len() + 4).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_another_release_are_read() {
        #[derive(Serialize)]
        struct Later {
            id: Identity,
            s: u8,
            colour: &'static str,
        }
        let identity = Identity { name: "a".into(), address: "[::1]:4648".parse().unwrap(), generation: 5 };
        let later = rmp_serde::to_vec_named(&Later { id: identity.clone(), s: 200, colour: "blue" }).unwrap();
        let read: Entry = decode(&later).unwrap();
        assert_eq!(read.identity, identity);
        assert_eq!(read.state, State::Unknown);
        assert_eq!(read.version, (0, 0));
    }

    #[test]
    fn keys_do_not_show_in_debug() {
        let text = crate::key::generate_key().unwrap();
        let request = KeyOperation::Install { key: WireKey(text.clone()) };
        assert!(!format!("{request:?}").contains(&text));
    }
}
