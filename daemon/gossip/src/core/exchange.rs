//! What members ask each other over TCP: join, comparison of lists, confirmation of suspicions.
//!
//! Pure: builds requests, answers them and takes answers; `room/dial.rs` and `room/listen.rs` carry them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use foca::State as FocaState;
use rand::RngExt as _;

use super::table::{BUCKETS, Record, bucket};
use super::timers::Due;
use super::{Action, Core, Now, Stage};
use crate::identity::Identity;
use crate::member::Status;
use crate::wire::{Entry, Request, Response, State};

/// Why another member is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// To become a member.
    Join,
    /// To compare lists.
    Sync,
    /// Perhaps a failed one is back.
    Reconnect,
    /// A suspect: does it answer by TCP?
    Confirm,
}

/// What an answer leads to.
#[derive(Debug)]
pub enum Answered {
    /// All is said.
    Done,
    /// Ask this, too, over the same connection.
    Ask(Request),
    /// It was this agent itself.
    Own,
    /// The name is another's.
    Conflict { holder: SocketAddr },
    /// It said no.
    Refused(String),
}

impl Core {
    /// A newcomer's request: everything that is known here.
    pub fn join(&self) -> Request {
        Request::Join { from: self.identity.clone(), entries: self.entries(|_| true) }
    }

    /// Answers a request. Keyring commands are not for the core.
    pub fn asked(&mut self, now: Now, request: Request) -> Response {
        let from = request.from().clone();
        if self.stage == Stage::Left {
            return Response::Refused { reason: "this agent has left the pool".into() };
        }
        if !from.is_sound() {
            self.dropped.malformed += 1;
            return Response::Refused { reason: "name, address or generation do not do".into() };
        }
        if from == self.identity {
            return Response::Entries { entries: vec![self.own_entry()] };
        }
        if from.address == self.identity.address {
            self.dropped.conflict += 1;
            let reason = format!("both agents advertise {}: set `advertise.serf` of one of them", from.address);
            return Response::Refused { reason };
        }
        if let Some(holder) = self.holder_of(&from, &request) {
            self.dropped.conflict += 1;
            self.note_conflict(&from.name, holder, from.address);
            return Response::Conflict { name: from.name.clone(), holder, own: from.address };
        }
        if self.table.len() >= self.pace.members && self.table.get(&from.name).is_none() {
            self.dropped.overload += 1;
            return Response::Refused { reason: format!("the pool has {} members already", self.table.len()) };
        }
        match request {
            Request::Join { entries, .. } => {
                self.merge(now, entries, Some(&from));
                Response::Entries { entries: self.entries(|_| true) }
            }
            Request::Digest { buckets, .. } => {
                let own = self.table.digest();
                let differ: Vec<u16> = if buckets.len() == BUCKETS {
                    (0..)
                        .zip(own.iter().zip(&buckets))
                        .filter(|(_, (own, other))| own != other)
                        .map(|(at, _)| at)
                        .collect()
                } else {
                    (0..).take(BUCKETS).collect()
                };
                let entries = self.entries(|name| differ.iter().any(|at| usize::from(*at) == bucket(name)));
                Response::Differs { buckets: differ, entries }
            }
            Request::Entries { entries, .. } => {
                self.merge(now, entries, Some(&from));
                Response::Entries { entries: vec![self.own_entry()] }
            }
            Request::Keyring { .. } => Response::Refused { reason: "no keyring here".into() },
        }
    }

    /// A newcomer never takes the name of one that is there; a member that was there before takes it back.
    fn holder_of(&self, from: &Identity, request: &Request) -> Option<SocketAddr> {
        let record = self.table.get(&from.name)?;
        let taken = record.identity.address != from.address && record.status.is_present();
        match request {
            Request::Join { .. } => taken.then_some(record.identity.address),
            _ => self.holder_against(from),
        }
    }

    /// Takes an answer.
    pub fn answered(&mut self, now: Now, why: Why, response: Response) -> Answered {
        if self.stage == Stage::Left {
            return Answered::Done;
        }
        match response {
            Response::Entries { entries } => {
                if let [only] = &entries[..]
                    && only.identity == self.identity
                {
                    return Answered::Own;
                }
                self.merge(now, entries, None);
                Answered::Done
            }
            Response::Differs { mut buckets, entries } => {
                buckets.truncate(BUCKETS);
                self.merge(now, entries, None);
                if buckets.is_empty() {
                    return Answered::Done;
                }
                let entries = self.entries(|name| buckets.iter().any(|at| usize::from(*at) == bucket(name)));
                Answered::Ask(Request::Entries { from: self.identity.clone(), entries })
            }
            Response::Conflict { name, holder, own } if name == self.identity.name && own == self.identity.address => {
                self.note_conflict(&name, holder, own);
                Answered::Conflict { holder }
            }
            Response::Conflict { .. } | Response::Keyring { .. } => {
                Answered::Refused("it answered something else than was asked".into())
            }
            Response::Refused { reason } => {
                tracing::debug!(?why, reason, "a member refused an exchange");
                Answered::Refused(reason)
            }
        }
    }

    pub(super) fn begin_sync(&mut self, now: Now) {
        let present = self.present();
        if !present.is_empty() {
            let to = present[self.rng.random_range(0..present.len())].address;
            self.actions.push(Action::Exchange { to, why: Why::Sync, request: self.digest() });
        }
        let after = self.jittered(self.pace.sync);
        self.timers.push(now.at + after, Due::Sync);
    }

    pub(super) fn begin_reconnect(&mut self, now: Now) {
        let failed: Vec<_> = self
            .table
            .records()
            .filter(|record| record.status == Status::Failed)
            .map(|record| record.identity.address)
            .collect();
        if !failed.is_empty() {
            let to = failed[self.rng.random_range(0..failed.len())];
            self.actions.push(Action::Exchange { to, why: Why::Reconnect, request: self.digest() });
        }
        let after = self.jittered(self.pace.reconnect);
        self.timers.push(now.at + after, Due::Reconnect);
    }

    /// Asks a suspect by TCP: where UDP is lost or filtered it can still say that it lives.
    pub(super) fn confirm(&mut self, suspect: Identity, incarnation: u16) {
        let to = suspect.address;
        let Some(record) = self.table.get(&suspect.name) else { return };
        let entry = Entry {
            identity: suspect,
            incarnation,
            state: State::Suspect,
            since: record.since.0,
            version: record.version,
            tags: BTreeMap::new(),
        };
        let request = Request::Entries { from: self.identity.clone(), entries: vec![entry] };
        self.actions.push(Action::Exchange { to, why: Why::Confirm, request });
    }

    fn digest(&self) -> Request {
        Request::Digest { from: self.identity.clone(), buckets: self.table.digest() }
    }

    /// Members that take part, without this one.
    pub fn present(&self) -> Vec<Identity> {
        let own = &self.identity.name;
        let others = self.table.records().filter(|record| record.status.is_present() && record.identity.name != *own);
        others.map(|record| record.identity.clone()).collect()
    }

    pub(super) fn own_entry(&self) -> Entry {
        let own = self.table.get(&self.identity.name);
        Entry {
            identity: self.identity.clone(),
            incarnation: self.codec.incarnation(),
            state: match self.stage {
                Stage::Running => State::Alive,
                Stage::Leaving => State::Leaving,
                Stage::Left => State::Left,
            },
            since: own.map_or(0, |own| own.since.0),
            version: own.map_or((self.identity.generation, 0), |own| own.version),
            tags: own.map(|own| own.tags.clone()).unwrap_or_default(),
        }
    }

    fn entries(&self, wanted: impl Fn(&str) -> bool) -> Vec<Entry> {
        // One pass over foca's list instead of a search for each name.
        let states: BTreeMap<&Identity, (u16, FocaState)> =
            self.foca.iter_membership_state().map(|m| (m.id(), (m.incarnation(), m.state()))).collect();
        let entry = |record: &Record| {
            if record.identity.name == self.identity.name {
                return self.own_entry();
            }
            let (incarnation, state) = states.get(&record.identity).copied().unwrap_or((0, FocaState::Down));
            Entry {
                identity: record.identity.clone(),
                incarnation,
                state: match (record.status, state) {
                    (Status::Alive, FocaState::Suspect) => State::Suspect,
                    (Status::Alive, _) => State::Alive,
                    (Status::Leaving, _) => State::Leaving,
                    (Status::Left, _) => State::Left,
                    (Status::Failed, _) => State::Failed,
                },
                since: record.since.0,
                version: record.version,
                tags: record.tags.clone(),
            }
        };
        let listed = self.table.records().filter(|record| wanted(&record.identity.name)).map(entry);
        let pruned = self.table.tombs().filter(|tomb| wanted(&tomb.identity.name)).map(|tomb| Entry {
            identity: tomb.identity.clone(),
            incarnation: 0,
            state: State::Pruned,
            since: tomb.since.0,
            version: (0, 0),
            tags: BTreeMap::new(),
        });
        listed.chain(pruned).collect()
    }
}
