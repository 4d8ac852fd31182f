//! A member's own life and what it hears of others': foca's notices, news, leaving, tags, being declared dead by mistake.

use std::collections::BTreeMap;
use std::time::Duration;

use foca::OwnedNotification;
use nomadd_model::{Text, Time};
use rand::RngExt as _;

use super::table::Record;
use super::timers::Due;
use super::{Action, Core, HOUSE, Now, Stage};
use crate::error::{ForceLeaveError, TagsError};
use crate::identity::Identity;
use crate::member::{Prune, Status};
use crate::wire::{Entry, News, Request, State, TAGS_MOST, Version, What, encode, tags_length};

/// Tags of names that foca has not told of yet: at most this many.
const EARLY_MOST: usize = 1000;
/// How many members are told of a leave one by one.
const TOLD_MOST: usize = 5;

impl Core {
    /// Foca says something.
    pub(super) fn noticed(&mut self, now: Now, notice: OwnedNotification<Identity>) {
        match notice {
            OwnedNotification::MemberUp(identity) => self.up(now, identity),
            OwnedNotification::MemberDown(identity) => self.down(now, &identity),
            OwnedNotification::Rename(old, new) => self.renamed(now, &old, new),
            // Somebody answers: say what we are; a life that begins anew says it again.
            OwnedNotification::Active => self.spread_own_tags(),
            OwnedNotification::Defunct if self.stage == Stage::Running => {
                self.renew(now, self.identity.generation + 1);
            }
            _ => {}
        }
    }

    fn up(&mut self, now: Now, identity: Identity) {
        if let Some(holder) = self.holder_against(&identity) {
            // Foca forgets it without telling anyone.
            self.dropped.conflict += 1;
            self.note_conflict(&identity.name, holder, identity.address);
            self.forget_in_foca(now, identity);
            return;
        }
        self.make_way(now, &identity);
        if self.table.tomb(&identity.name).is_some_and(|tomb| tomb.identity.generation >= identity.generation) {
            self.forget_in_foca(now, identity);
            return;
        }
        let (mut version, mut tags) = Default::default();
        let mut since = now.wall;
        if let Some(known) = self.table.get(&identity.name) {
            // What a younger one of the same name said of itself is not this one's.
            if known.identity.generation <= identity.generation {
                (version, tags) = (known.version, known.tags.clone());
            }
            if known.status == Status::Alive {
                since = known.since;
                if known.identity == identity {
                    return;
                }
            }
        }
        if let Some((newer, of)) = self.early.remove(&identity.name)
            && newer > version
            && newer.0 <= identity.generation
        {
            (version, tags) = (newer, of);
        }
        self.table.put(Record { identity, status: Status::Alive, since, version, tags, forced: None });
    }

    fn down(&mut self, now: Now, identity: &Identity) {
        let Some(record) = self.table.get(&identity.name).filter(|record| record.identity == *identity) else { return };
        match (record.forced, record.status) {
            (Some(Prune::Remove), _) => self.table.prune(identity.clone(), now.wall),
            (Some(Prune::Keep), _) | (None, Status::Leaving | Status::Left) => {
                self.table.set_status(&identity.name, Status::Left, now.wall);
            }
            (None, _) => self.table.set_status(&identity.name, Status::Failed, now.wall),
        }
    }

    /// Another life, or another name, is at an address now.
    fn renamed(&mut self, now: Now, old: &Identity, new: Identity) {
        if old.name != new.name && self.table.get(&old.name).is_some_and(|record| record.identity == *old) {
            self.table.set_status(&old.name, Status::Failed, now.wall);
        }
        let is_active = self.foca.iter_members().any(|member| *member.id() == new);
        if is_active {
            self.up(now, new);
        } else if let Some(record) = self.table.get(&new.name)
            && record.identity.address == new.address
            && record.identity.generation <= new.generation
        {
            let name = new.name.clone();
            self.table.change(&name, |record| record.identity = new.clone());
            self.down(now, &new);
        }
    }

    /// Foca takes it as down and tells nobody.
    pub(super) fn forget_in_foca(&mut self, now: Now, identity: Identity) {
        self.foca_step(now, |foca, effects| {
            foca.apply_many(std::iter::once(foca::Member::down(identity)), false, effects)
        });
    }

    /// Makes way for a member that has its name from before the one in the list. True when there was one.
    pub(super) fn make_way(&mut self, now: Now, older: &Identity) -> bool {
        let Some(record) = self.table.get(&older.name) else { return false };
        if self.held(older).is_none() || record.identity.name == self.identity.name {
            return false;
        }
        let newer = record.identity.clone();
        self.note_conflict(&older.name, older.address, newer.address);
        self.table.set_status(&older.name, Status::Failed, now.wall);
        self.forget_in_foca(now, newer);
        true
    }

    /// Begins another life: the others took this one for dead, or remember a later one.
    pub(super) fn renew(&mut self, now: Now, generation: u64) {
        // No more than needed: among two of one name the lower generation is the older, and a mistake makes nobody younger.
        let generation = generation.max(self.identity.generation + 1);
        if generation == u64::MAX {
            return;
        }
        self.identity.generation = generation;
        self.actions.push(Action::Keep { generation });
        let identity = self.identity.clone();
        let name = identity.name.clone();
        self.table.change(&name, |record| {
            record.identity = identity.clone();
            record.version = (generation, 0);
        });
        self.foca_step(now, |foca, effects| {
            foca.change_identity(identity, &mut *effects)?;
            // Foca waits for a packet before it probes again; whoever it knows is enough.
            foca.apply_many(std::iter::empty(), false, effects)
        });
    }

    /// A piece of news that is new here.
    pub(super) fn heard(&mut self, now: Now, news: News) {
        let News { name, generation, what } = news;
        let own = name == self.identity.name;
        match what {
            What::Tags { version, tags } if own => self.own_tags_heard(version, &tags),
            What::Tags { version, tags } => match self.table.get(&name) {
                Some(record) if version <= record.version => {}
                Some(record) if version.0 <= record.identity.generation => self.table.change(&name, |record| {
                    record.version = version;
                    record.tags = tags;
                }),
                // Of a life that foca has not told of yet, or of a name that it has not.
                _ if self.early.len() < EARLY_MOST => {
                    self.early.insert(name, (version, tags));
                }
                _ => {}
            },
            What::Leaving {} if own => {}
            What::Leaving {} => {
                let Some(record) = self.table.get(&name).filter(|record| record.identity.generation == generation)
                else {
                    return;
                };
                match record.status {
                    Status::Alive => self.table.set_status(&name, Status::Leaving, now.wall),
                    Status::Failed => self.table.set_status(&name, Status::Left, now.wall),
                    Status::Leaving | Status::Left => {}
                }
            }
            What::Forced { .. } if own => {}
            What::Forced { prune } => {
                let prune = if prune { Prune::Remove } else { Prune::Keep };
                self.forced(now, &name, generation, prune);
            }
        }
    }

    fn forced(&mut self, now: Now, name: &Text, generation: u64, prune: Prune) {
        let Some(record) = self.table.get(name).filter(|record| record.identity.generation <= generation) else {
            return;
        };
        match (record.status.is_present(), prune) {
            // It may be dead and nobody has noticed yet; a living one does not become down.
            (true, _) => self.table.change(name, |record| record.forced = Some(prune)),
            (false, Prune::Remove) => {
                let identity = record.identity.clone();
                self.table.prune(identity, now.wall);
            }
            (false, Prune::Keep) => self.table.set_status(name, Status::Left, now.wall),
        }
    }

    /// Others say something of this life that it did not say: say more. What another life, or another of the same name, said
    /// is no matter of tags.
    fn own_tags_heard(&mut self, version: Version, tags: &BTreeMap<Text, Text>) {
        let Some(own) = self.table.get(&self.identity.name) else { return };
        let known = version < own.version || (version == own.version && *tags == own.tags);
        if known || version.0 != self.identity.generation {
            return;
        }
        let name = self.identity.name.clone();
        self.table.change(&name, |record| record.version = (version.0, version.1.saturating_add(1)));
        self.spread_own_tags();
    }

    /// Tells everyone the own tags in their present version.
    pub(super) fn spread_own_tags(&mut self) {
        let Some(own) = self.table.get(&self.identity.name) else { return };
        let what = What::Tags { version: own.version, tags: own.tags.clone() };
        self.spread(&News { name: self.identity.name.clone(), generation: self.identity.generation, what });
    }

    pub(super) fn spread(&mut self, news: &News) {
        if let Some(bytes) = encode(news) {
            // Too big or known already: neither is spread.
            let _ = self.foca.add_broadcast(&bytes);
        }
    }

    /// Changes what is said of this agent.
    pub fn set_tags(&mut self, now: Now, tags: BTreeMap<Text, Text>) -> Result<(), TagsError> {
        check_tags(&tags)?;
        let name = self.identity.name.clone();
        if self.table.get(&name).is_some_and(|own| own.tags == tags) {
            return Ok(());
        }
        self.table.change(&name, |record| {
            record.version.1 += 1;
            record.tags = tags;
        });
        self.spread_own_tags();
        self.foca_step(now, |foca, effects| foca.gossip(effects));
        Ok(())
    }

    /// Makes a member that is down leave the lists of all; one that lives is only marked, should it fall.
    pub fn force_leave(&mut self, now: Now, name: &Text, prune: Prune) -> Result<(), ForceLeaveError> {
        if *name == self.identity.name {
            return Err(ForceLeaveError::Own(name.clone()));
        }
        let Some(record) = self.table.get(name) else {
            return match self.table.tomb(name) {
                Some(_) => Ok(()),
                None => Err(ForceLeaveError::Unknown(name.clone())),
            };
        };
        let (generation, what) = (record.identity.generation, What::Forced { prune: prune == Prune::Remove });
        self.spread(&News { name: name.clone(), generation, what });
        // Foca may have known this piece of news already, from an earlier try.
        self.forced(now, name, generation, prune);
        self.foca_step(now, |foca, effects| foca.gossip(effects));
        Ok(())
    }

    /// Says that this member is about to leave. False when there is nobody to tell.
    pub fn begin_leave(&mut self, now: Now) -> bool {
        if self.stage == Stage::Running {
            self.stage = Stage::Leaving;
            let name = self.identity.name.clone();
            self.table.set_status(&name, Status::Leaving, now.wall);
            self.spread(&News { name, generation: self.identity.generation, what: What::Leaving {} });
            self.foca_step(now, |foca, effects| foca.gossip(effects));
        }
        self.foca.num_members() > 0
    }

    /// Whether the news of leaving have been sent as often as they should.
    pub fn is_told(&self) -> bool {
        self.foca.custom_broadcast_backlog() == 0
    }

    /// Leaves. What is returned is to be asked of those members, so that at least they know for certain.
    pub fn end_leave(&mut self, now: Now) -> Vec<(Identity, Request)> {
        if self.stage == Stage::Left {
            return Vec::new();
        }
        self.stage = Stage::Leaving;
        self.foca_step(now, |foca, effects| foca.leave_cluster(effects));
        for _ in 0..3 {
            self.foca_step(now, |foca, effects| foca.gossip(effects));
        }
        self.stage = Stage::Left;
        let name = self.identity.name.clone();
        self.table.set_status(&name, Status::Left, now.wall);
        let own = self.own_entry();
        let mut others = self.present();
        let mut told = Vec::new();
        while told.len() < TOLD_MOST && !others.is_empty() {
            let other = others.swap_remove(self.rng.random_range(0..others.len()));
            let entries = vec![Entry { state: State::Left, ..own.clone() }];
            told.push((other, Request::Entries { from: self.identity.clone(), entries }));
        }
        told
    }

    /// Whether this member has left.
    pub fn has_left(&self) -> bool {
        self.stage == Stage::Left
    }

    /// Begins a life with a generation far ahead, as a clock that is wrong would.
    #[cfg(test)]
    pub fn begin_ahead_for_test(&mut self, now: Now, generation: u64) {
        self.renew(now, generation);
    }

    pub(super) fn keep_house(&mut self, now: Now) {
        let reap = i64::try_from(self.pace.reap.as_nanos()).unwrap_or(i64::MAX);
        self.table.reap(Time(now.wall.0.saturating_sub(reap)), self.pace.members);
        let (table, early) = (&self.table, &mut self.early);
        self.inbox.retain(|name| table.get(name).is_some() || table.tomb(name).is_some());
        early.clear();
        self.timers.push(now.at + HOUSE, Due::House);
    }

    /// Between four and six fifths of a span.
    pub(super) fn jittered(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.rng.random_range(0.8..1.2))
    }
}

/// Whether tags fit into a packet.
pub fn check_tags(tags: &BTreeMap<Text, Text>) -> Result<(), TagsError> {
    match tags_length(tags) {
        size if size > TAGS_MOST => Err(TagsError::TooLarge { size, most: TAGS_MOST }),
        _ => Ok(()),
    }
}
