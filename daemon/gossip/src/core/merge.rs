//! Takes another member's list into the own one.
//!
//! The higher generation is the later life. Within one life, who left or failed does not come back, but "failed" from a list
//! is only a suspicion here: the member may answer it. Names that a present member has are not given to another.

use nomadd_model::Time;

use super::table::Record;
use super::{Core, Now};
use crate::identity::Identity;
use crate::member::Status;
use crate::wire::{Entry, News, State, TAGS_MOST, What, tags_length};

impl Core {
    /// Takes a list. `from` is who speaks, when it speaks for itself: that it lives is proven.
    pub(super) fn merge(&mut self, now: Now, entries: Vec<Entry>, from: Option<&Identity>) {
        // A newcomer that learns the whole list has nobody to tell; members that meet another pool do.
        let tell = self.foca.num_members() > 0 || from.is_some();
        for entry in entries {
            if !entry.identity.is_sound() || tags_length(&entry.tags) > TAGS_MOST {
                self.dropped.malformed += 1;
                continue;
            }
            if entry.identity.name == self.identity.name || entry.identity.address == self.identity.address {
                self.merge_own(now, &entry);
                continue;
            }
            let speaks = from == Some(&entry.identity);
            self.merge_entry(now, entry, speaks, tell);
        }
    }

    /// What others say of this agent.
    fn merge_own(&mut self, now: Now, entry: &Entry) {
        let Entry { identity, incarnation, state, since: _, version: _, tags: _ } = entry;
        if identity.name != self.identity.name || identity.address != self.identity.address {
            // An earlier owner of the address, or of the name; one that lives is told by its own packets.
            return;
        }
        if identity.generation > self.identity.generation {
            self.renew(now, identity.generation.saturating_add(1));
            return;
        }
        if identity.generation < self.identity.generation {
            return;
        }
        let (identity, incarnation) = (identity.clone(), *incarnation);
        let said = match state {
            State::Suspect => foca::State::Suspect,
            State::Failed | State::Left | State::Pruned if self.stage == super::Stage::Running => foca::State::Down,
            _ => return,
        };
        let member = foca::Member::new(identity, incarnation, said);
        self.foca_step(now, |foca, effects| foca.apply_many(std::iter::once(member), true, effects));
    }

    fn merge_entry(&mut self, now: Now, entry: Entry, speaks: bool, tell: bool) {
        let name = entry.identity.name.clone();
        let present = matches!(entry.state, State::Alive | State::Suspect | State::Leaving);
        let mut older = false;
        if self.table.tomb(&name).is_some_and(|tomb| tomb.identity.generation >= entry.identity.generation) {
            return;
        }
        if present {
            if let Some(holder) = self.holder_against(&entry.identity) {
                self.dropped.conflict += 1;
                self.note_conflict(&name, holder, entry.identity.address);
                return;
            }
            older = self.make_way(now, &entry.identity);
        } else if entry.since <= now.wall.0.saturating_sub(i64::try_from(self.pace.reap.as_nanos()).unwrap_or(i64::MAX))
        {
            // Others would bring back for ever what each of them is about to forget.
            return;
        }
        match self.table.get(&name) {
            None if self.table.len() >= self.pace.members => {
                self.dropped.overload += 1;
                return;
            }
            None => self.merge_unknown(now, &entry, tell),
            Some(known) => {
                let known = known.clone();
                self.merge_known(now, &entry, &known, older, tell);
            }
        }
        self.merge_tags(entry, speaks);
    }

    fn merge_unknown(&mut self, now: Now, entry: &Entry, tell: bool) {
        match entry.state {
            State::Alive | State::Suspect => self.tell_foca(now, entry, tell),
            State::Leaving => {
                self.tell_foca(now, entry, tell);
                self.table.set_status(&entry.identity.name, Status::Leaving, now.wall);
            }
            State::Left => self.put_down(entry, Status::Left),
            State::Failed => self.put_down(entry, Status::Failed),
            State::Pruned => self.table.prune(entry.identity.clone(), Time(entry.since)),
            State::Unknown => {}
        }
    }

    fn merge_known(&mut self, now: Now, entry: &Entry, known: &Record, older: bool, tell: bool) {
        let Entry { identity, state, .. } = entry;
        let (name, present) = (&identity.name, known.status.is_present());
        let later = identity.generation > known.identity.generation;
        if identity.generation < known.identity.generation && !older {
            return;
        }
        if identity.address != known.identity.address && present && !is_present(*state) {
            // The end of another life, at another address, while this one is well.
            return;
        }
        match state {
            State::Alive | State::Suspect => self.tell_foca(now, entry, tell),
            State::Leaving => {
                self.tell_foca(now, entry, tell);
                if self.table.get(name).is_some_and(|now| now.identity == *identity && now.status == Status::Alive) {
                    self.table.set_status(name, Status::Leaving, now.wall);
                }
            }
            // As a suspect: if it lives it says so, if not the probes find out.
            State::Failed if present => self.tell_foca(now, entry, tell),
            State::Failed if later => self.put_down(entry, Status::Failed),
            State::Failed => {}
            State::Left => {
                if present {
                    // What foca then takes for down has left, not failed.
                    self.table.set_status(name, Status::Leaving, now.wall);
                    self.tell_foca(now, entry, tell);
                }
                if later || known.status != Status::Left {
                    self.put_down(entry, Status::Left);
                }
            }
            // It lives here: the one that pruned it will hear so.
            State::Pruned if present && !later => {}
            State::Pruned => {
                if present {
                    self.tell_foca(now, entry, tell);
                }
                self.table.prune(identity.clone(), Time(entry.since));
            }
            State::Unknown => {}
        }
    }

    /// Foca decides by its rules and tells what came of it.
    fn tell_foca(&mut self, now: Now, entry: &Entry, tell: bool) {
        let state = match entry.state {
            State::Alive | State::Leaving => foca::State::Alive,
            State::Suspect | State::Failed => foca::State::Suspect,
            State::Left | State::Pruned | State::Unknown => foca::State::Down,
        };
        let member = foca::Member::new(entry.identity.clone(), entry.incarnation, state);
        self.foca_step(now, |foca, effects| foca.apply_many(std::iter::once(member), tell, effects));
    }

    fn put_down(&mut self, entry: &Entry, status: Status) {
        let Entry { identity, since, version, tags, .. } = entry.clone();
        self.table.put(Record { identity, status, since: Time(since), version, tags, forced: None });
    }

    fn merge_tags(&mut self, entry: Entry, speaks: bool) {
        let Entry { identity, version, tags, .. } = entry;
        let Some(known) = self.table.get(&identity.name) else { return };
        if known.version >= version || version.0 > known.identity.generation {
            return;
        }
        self.table.change(&identity.name, |record| {
            record.version = version;
            record.tags.clone_from(&tags);
        });
        if speaks {
            let what = What::Tags { version, tags };
            self.spread(&News { name: identity.name, generation: identity.generation, what });
        }
    }
}

fn is_present(state: State) -> bool {
    matches!(state, State::Alive | State::Suspect | State::Leaving)
}
