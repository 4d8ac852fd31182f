//! What the room tells others: members, their status, counters and reports.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use nomadd_model::{Text, Time};

use crate::error::JoinError;
use crate::key::GossipKey;

/// How a member is, as this agent sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It answers, or is not yet known not to.
    Alive,
    /// It said that it is about to leave.
    Leaving,
    /// It left in order, or was made to.
    Left,
    /// It stopped answering.
    Failed,
}

impl Status {
    /// Nomad's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }
    /// Whether it takes part.
    pub const fn is_present(self) -> bool {
        matches!(self, Self::Alive | Self::Leaving)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A member of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Unique in the pool.
    pub name: Text,
    /// Where its gossip is reached.
    pub address: SocketAddr,
    /// What it says of itself.
    pub tags: BTreeMap<Text, Text>,
    /// How it is.
    pub status: Status,
    /// Higher in each of its lives.
    pub generation: u64,
    /// Since when it is so, by this agent's clock.
    pub since: Time,
}

/// Whether a member that is made to leave also vanishes from the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// It stays as `left` until it is reaped.
    Keep,
    /// It vanishes everywhere at once.
    Remove,
}

/// What came of a join.
#[derive(Clone, Debug, Default)]
pub struct JoinReport {
    /// How many addresses answered; the own one does not count.
    pub joined: usize,
    /// The texts that led nowhere, and why.
    pub errors: Vec<(String, JoinError)>,
}

/// What the members answered to a keyring command. Its `Debug` shows no key.
#[derive(Clone, Debug, Default)]
pub struct KeyringReport {
    /// Members that were asked, this one included.
    pub nodes: usize,
    /// Members that answered, with a yes or a no.
    pub responses: usize,
    /// What went wrong, by member.
    pub errors: BTreeMap<Text, String>,
    /// How many members hold each key.
    pub keys: BTreeMap<GossipKey, usize>,
    /// How many members have each key as primary.
    pub primary: BTreeMap<GossipKey, usize>,
}

/// Packets and connections that were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Not of this protocol or version.
    pub foreign: u64,
    /// Sealed with a key that is not in the ring, or changed on the way.
    pub wrong_key: u64,
    /// In clear, but gossip is encrypted here.
    pub unencrypted: u64,
    /// Sealed, but there is no key here.
    pub encrypted: u64,
    /// Understood as sealed, not as a message.
    pub malformed: u64,
    /// Seen before.
    pub replayed: u64,
    /// Larger than any of this protocol.
    pub oversized: u64,
    /// For or from another life of a member.
    pub stale: u64,
    /// From a member whose name another one has.
    pub conflict: u64,
    /// More than this agent takes at a time: connections, members, packets to send.
    pub overload: u64,
}

impl Dropped {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.foreign
            + self.wrong_key
            + self.unencrypted
            + self.encrypted
            + self.malformed
            + self.replayed
            + self.oversized
            + self.stale
            + self.conflict
            + self.overload
    }
}

/// Counters of the room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets taken.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// What was dropped.
    pub dropped: Dropped,
    /// Members by status.
    pub members: BTreeMap<Status, usize>,
    /// Suspicions that were raised here.
    pub suspicions: u64,
    /// The last conflict of names that was seen here, as a sentence.
    pub conflict: Option<String>,
}
