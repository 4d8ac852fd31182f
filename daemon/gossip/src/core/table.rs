//! The member list: what is known about each name, and digests of it.
//!
//! Foca knows addresses and who answers; this knows names, tags, who left and who was taken off. Ordered by name, so that what
//! it shows and sums does not depend on chance.

use std::collections::BTreeMap;

use nomadd_model::{Text, Time};

use crate::identity::Identity;
use crate::member::{Member, Prune, Status};
use crate::wire::Version;

/// In how many parts lists are compared.
pub const BUCKETS: usize = 64;

/// What is known about a name.
#[derive(Clone, Debug)]
pub struct Record {
    pub identity: Identity,
    pub status: Status,
    pub since: Time,
    pub version: Version,
    pub tags: BTreeMap<Text, Text>,
    /// An operator wants it gone as soon as it is down.
    pub forced: Option<Prune>,
}

/// A name that was taken off the list.
#[derive(Clone, Debug)]
pub struct Tomb {
    pub identity: Identity,
    pub since: Time,
}

/// The list.
#[derive(Debug, Default)]
pub struct Table {
    records: BTreeMap<Text, Record>,
    tombs: BTreeMap<Text, Tomb>,
    revision: u64,
}

impl Table {
    /// Counts what changed for those who look at the list.
    pub fn revision(&self) -> u64 {
        self.revision
    }
    pub fn get(&self, name: &str) -> Option<&Record> {
        self.records.get(name)
    }
    pub fn tomb(&self, name: &str) -> Option<&Tomb> {
        self.tombs.get(name)
    }
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }
    pub fn tombs(&self) -> impl Iterator<Item = &Tomb> {
        self.tombs.values()
    }
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Puts a record in its place; the name is no longer one that was taken off.
    pub fn put(&mut self, record: Record) {
        self.revision += 1;
        self.tombs.remove(&record.identity.name);
        self.records.insert(record.identity.name.clone(), record);
    }
    /// Changes a record.
    pub fn change(&mut self, name: &str, how: impl FnOnce(&mut Record)) {
        if let Some(record) = self.records.get_mut(name) {
            how(record);
            self.revision += 1;
        }
    }
    /// Changes status and, with it, since when.
    pub fn set_status(&mut self, name: &str, status: Status, since: Time) {
        if self.records.get(name).is_some_and(|record| record.status != status) {
            self.change(name, |record| {
                record.status = status;
                record.since = since;
            });
        }
    }
    /// Takes a name off the list and remembers that.
    pub fn prune(&mut self, identity: Identity, since: Time) {
        self.revision += 1;
        self.records.remove(&identity.name);
        self.tombs.insert(identity.name.clone(), Tomb { identity, since });
    }
    /// Forgets what is down or taken off since before `since`. Bounded by `most` tombs.
    pub fn reap(&mut self, since: Time, most: usize) {
        let before = self.records.len();
        self.records.retain(|_, record| record.status.is_present() || record.since > since);
        if self.records.len() != before {
            self.revision += 1;
        }
        self.tombs.retain(|_, tomb| tomb.since > since);
        while self.tombs.len() > most {
            self.tombs.pop_first();
        }
    }

    /// As others see it.
    pub fn members(&self) -> Vec<Member> {
        let shown = |record: &Record| Member {
            name: record.identity.name.clone(),
            address: record.identity.address,
            tags: record.tags.clone(),
            status: record.status,
            generation: record.identity.generation,
            since: record.since,
        };
        self.records.values().map(shown).collect()
    }

    /// One sum for each bucket; equal lists have equal sums whatever their order.
    pub fn digest(&self) -> Vec<u64> {
        let mut sums = vec![0_u64; BUCKETS];
        let mut add = |identity: &Identity, status: u64, version: Version| {
            let mut sum = Fnv::new();
            sum.bytes(identity.name.as_bytes());
            sum.bytes(identity.address.to_string().as_bytes());
            for number in [identity.generation, status, version.0, version.1] {
                sum.bytes(&number.to_be_bytes());
            }
            if let Some(slot) = sums.get_mut(bucket(&identity.name)) {
                *slot = slot.wrapping_add(sum.0);
            }
        };
        for record in self.records.values() {
            let status = match record.status {
                Status::Alive => 1,
                Status::Leaving => 2,
                Status::Left => 3,
                Status::Failed => 4,
            };
            add(&record.identity, status, record.version);
        }
        for tomb in self.tombs.values() {
            add(&tomb.identity, 5, (0, 0));
        }
        sums
    }
}

/// The bucket of a name; the same at every member and in every release.
pub fn bucket(name: &str) -> usize {
    let mut sum = Fnv::new();
    sum.bytes(name.as_bytes());
    (sum.0 % BUCKETS as u64) as usize
}

/// FNV-1a with a final mix: small, and the same everywhere.
struct Fnv(u64);
impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.0 ^= self.0 >> 29;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, generation: u64, status: Status) -> Record {
        let identity = Identity { name: name.into(), address: "127.0.0.1:1".parse().unwrap(), generation };
        Record { identity, status, since: Time(10), version: (generation, 0), tags: BTreeMap::new(), forced: None }
    }

    #[test]
    fn digests_differ_exactly_where_lists_do() {
        let (mut a, mut b) = (Table::default(), Table::default());
        for name in ["x", "y", "z"] {
            a.put(record(name, 1, Status::Alive));
        }
        for name in ["z", "x", "y"] {
            b.put(Record { since: Time(99), ..record(name, 1, Status::Alive) });
        }
        assert_eq!(a.digest(), b.digest(), "since when is each one's own view");
        b.set_status("y", Status::Failed, Time(5));
        let differing: Vec<_> = (0..BUCKETS).filter(|at| a.digest()[*at] != b.digest()[*at]).collect();
        assert_eq!(differing, [bucket("y")]);
    }

    #[test]
    fn what_is_down_long_enough_is_reaped() {
        let mut table = Table::default();
        table.put(record("alive", 1, Status::Alive));
        table.put(record("failed", 1, Status::Failed));
        let gone = record("pruned", 1, Status::Left);
        table.put(gone.clone());
        table.prune(gone.identity, Time(10));
        assert!(table.tomb("pruned").is_some());
        table.reap(Time(9), 10);
        assert_eq!(table.len(), 2);
        table.reap(Time(10), 10);
        assert_eq!(table.members().iter().map(|member| &*member.name).collect::<Vec<_>>(), ["alive"]);
        assert!(table.tomb("pruned").is_none());
    }
}
