//! The state machine of one member: packets, answers and time in; packets, exchanges and warnings out. No socket, no clock.
//!
//! Foca finds failures among addresses; around it stand the list of names (`core/table.rs`), the checks of each packet, the
//! lists that are exchanged over TCP (`core/exchange.rs`, `core/merge.rs`) and a member's own life (`core/life.rs`).
//! `room.rs` runs it over sockets, `simulation.rs` over a made-up network.

mod exchange;
pub mod life;
mod merge;
pub mod news;
pub mod replay;
pub mod table;
pub mod timers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Codec as _, Foca, OwnedNotification, PeriodicParams};
use nomadd_model::{Text, Time};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

pub use self::exchange::{Answered, Why};
pub use self::life::check_tags;
use self::news::Inbox;
use self::replay::{Old, Replay};
use self::table::{Record, Table};
use self::timers::{Due, Timers};
use crate::codec::Codec;
use crate::config::Pace;
use crate::identity::Identity;
use crate::member::{Dropped, Status};
use crate::seal;
use crate::wire::{Request, Taken, Version, decode, encode};

/// The most bytes of a datagram; what every path on the way carries whole.
pub const PACKET_MOST: usize = 1400;
/// Kind and count before foca's bytes.
const ENVELOPE: usize = 9;
const FOCA: u8 = 1;
const TAKEN: u8 = 2;

/// Now, twice: for spans and for people.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since some moment; never jumps.
    pub at: Duration,
    /// The wall clock.
    pub wall: Time,
}

/// What is to be done outside.
#[derive(Debug)]
pub enum Action {
    /// Send a datagram (not sealed yet).
    Send { to: SocketAddr, packet: Vec<u8> },
    /// Ask over TCP and hand the answer to `answered`.
    Exchange { to: SocketAddr, why: Why, request: Request },
    /// Keep the generation: the next life must have a higher one.
    Keep { generation: u64 },
    /// Tell the operator.
    Warn(String),
}

/// What foca wants done in one step.
#[derive(Default)]
struct Effects {
    sends: Vec<(SocketAddr, Vec<u8>)>,
    timers: Vec<(foca::Timer<Identity>, Duration)>,
    notices: Vec<OwnedNotification<Identity>>,
}

impl foca::Runtime<Identity> for Effects {
    fn notify(&mut self, notification: foca::Notification<'_, Identity>) {
        self.notices.push(notification.to_owned());
    }
    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.sends.push((to.address, data.to_vec()));
    }
    fn submit_after(&mut self, event: foca::Timer<Identity>, after: Duration) {
        self.timers.push((event, after));
    }
}

/// In which part of its life a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    Leaving,
    Left,
}

/// One member.
pub struct Core {
    foca: Foca<Identity, Codec, SmallRng, Inbox>,
    foca_config: foca::Config,
    codec: Codec,
    inbox: Inbox,
    /// Tags of members that foca has not told of yet.
    early: BTreeMap<Text, (Version, BTreeMap<Text, Text>)>,
    identity: Identity,
    stage: Stage,
    table: Table,
    timers: Timers,
    replay: Replay,
    pace: Pace,
    rng: SmallRng,
    /// Counts the packets of this process.
    count: u64,
    actions: Vec<Action>,
    dropped: Dropped,
    suspicions: u64,
    conflict: Option<String>,
    /// When names were last told that they are taken.
    told: Option<Duration>,
}

impl Core {
    /// A member that knows nobody. `seed` decides its random choices.
    pub fn new(identity: Identity, tags: BTreeMap<Text, Text>, pace: Pace, seed: u64, now: Now) -> Self {
        let codec = Codec::default();
        let inbox = Inbox::new(pace.members);
        let foca_config = foca_config(&pace, 1);
        let foca = Foca::with_custom_broadcast(
            identity.clone(),
            foca_config.clone(),
            SmallRng::seed_from_u64(seed),
            codec.clone(),
            inbox.clone(),
        );
        let mut core = Self {
            foca,
            foca_config,
            codec,
            inbox,
            early: BTreeMap::new(),
            stage: Stage::Running,
            table: Table::default(),
            timers: Timers::default(),
            replay: Replay::new(pace.members.saturating_mul(2)),
            rng: SmallRng::seed_from_u64(seed ^ 0x6f73_7369_7067),
            count: 0,
            actions: Vec::new(),
            dropped: Dropped::default(),
            suspicions: 0,
            conflict: None,
            told: None,
            identity: identity.clone(),
            pace,
        };
        let version = (identity.generation, 0);
        core.table.put(Record { identity, status: Status::Alive, since: now.wall, version, tags, forced: None });
        for (due, pace) in [(Due::Sync, core.pace.sync), (Due::Reconnect, core.pace.reconnect)] {
            let after = core.jittered(pace);
            core.timers.push(now.at + after, due);
        }
        core.timers.push(now.at + HOUSE, Due::House);
        core
    }

    /// Who this is, in its present life.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
    /// The list.
    pub fn table(&self) -> &Table {
        &self.table
    }
    /// What was dropped here; what does not open is counted by the caller.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }
    /// Suspicions raised here.
    pub fn suspicions(&self) -> u64 {
        self.suspicions
    }
    /// The last conflict of names.
    pub fn conflict(&self) -> Option<&str> {
        self.conflict.as_deref()
    }
    /// What is to be done; empties the list.
    pub fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }
    /// When `tick` is to be called next.
    pub fn next(&self) -> Option<Duration> {
        self.timers.next().filter(|_| self.stage != Stage::Left)
    }

    /// Time has come to `now`.
    pub fn tick(&mut self, now: Now) {
        if self.stage == Stage::Left {
            return;
        }
        if let Some(lag) = self.timers.next().and_then(|due| now.at.checked_sub(due))
            && lag > self.pace.probe * 2
        {
            self.timers.postpone_suspicions(lag);
        }
        while let Some(due) = self.timers.pop(now.at) {
            match due {
                Due::Foca(timer) => {
                    // A probe that was cut short by a pause is an error to foca, and ends there.
                    self.foca_step(now, |foca, effects| foca.handle_timer(timer, effects));
                }
                Due::Sync => self.begin_sync(now),
                Due::Reconnect => self.begin_reconnect(now),
                Due::House => self.keep_house(now),
            }
        }
    }

    /// A datagram has come, opened. Whatever it is, it does no more than be counted.
    pub fn packet(&mut self, now: Now, packet: &[u8]) {
        if self.stage == Stage::Left {
            return;
        }
        match packet.split_first_chunk::<ENVELOPE>() {
            _ if packet.len() > PACKET_MOST - seal::OVERHEAD => self.dropped.oversized += 1,
            Some(([FOCA, count @ ..], data)) => self.foca_packet(now, u64::from_be_bytes(*count), data),
            Some(([TAKEN, ..], data)) => self.taken(now, data),
            _ => self.dropped.malformed += 1,
        }
    }

    fn foca_packet(&mut self, now: Now, count: u64, data: &[u8]) {
        let mut rest = data;
        let Ok(header) = self.codec.clone().decode_header(&mut rest) else {
            self.dropped.malformed += 1;
            return;
        };
        let sender = header.src;
        // Joining is done over TCP, where names are checked: foca's own way in stays shut.
        if matches!(header.message, foca::Message::Announce | foca::Message::Feed) {
            self.dropped.malformed += 1;
            return;
        }
        if sender.address == self.identity.address || header.dst.address != self.identity.address {
            self.dropped.stale += 1;
            return;
        }
        if let Some(holder) = self.holder_against(&sender) {
            self.dropped.conflict += 1;
            self.tell_taken(now, &sender, holder);
            return;
        }
        if header.dst != self.identity {
            self.dropped.stale += 1;
            return;
        }
        match self.replay.check(&sender, count) {
            Err(Old::Replayed) => {
                self.dropped.replayed += 1;
                return;
            }
            Err(Old::Stale) => {
                self.dropped.stale += 1;
                return;
            }
            Ok(()) => {}
        }
        // A packet names at most some sixty members; near the bound only those that are known may speak.
        if self.table.len() + 64 > self.pace.members && self.table.get(&sender.name).is_none() {
            self.dropped.overload += 1;
            return;
        }
        self.make_way(now, &sender);
        self.foca_step(now, |foca, effects| foca.handle_data(data, effects));
    }

    /// Runs one step of foca and everything that follows from it.
    fn foca_step(
        &mut self,
        now: Now,
        step: impl FnOnce(&mut Foca<Identity, Codec, SmallRng, Inbox>, &mut Effects) -> Result<(), foca::Error>,
    ) {
        let mut effects = Effects::default();
        match step(&mut self.foca, &mut effects) {
            Err(
                foca::Error::Decode(_)
                | foca::Error::MalformedPacket
                | foca::Error::IndirectForOurselves
                | foca::Error::CustomBroadcast(_),
            ) => self.dropped.malformed += 1,
            Err(foca::Error::DataTooBig) => self.dropped.oversized += 1,
            Err(foca::Error::DataFromOurselves) => self.dropped.stale += 1,
            _ => {}
        }
        self.absorb(now, effects);
    }

    fn absorb(&mut self, now: Now, effects: Effects) {
        let Effects { sends, timers, notices } = effects;
        for (to, data) in sends {
            self.send(to, FOCA, &data);
        }
        for (timer, after) in timers {
            if let foca::Timer::ChangeSuspectToDown { member_id, incarnation, .. } = &timer {
                self.suspicions += 1;
                self.confirm(member_id.clone(), *incarnation);
            }
            self.timers.push(now.at + after, Due::Foca(timer));
        }
        for notice in notices {
            self.noticed(now, notice);
        }
        for news in self.inbox.take() {
            self.heard(now, news);
        }
        self.fit_to_size();
    }

    fn send(&mut self, to: SocketAddr, kind: u8, data: &[u8]) {
        self.count += 1;
        let mut packet = Vec::with_capacity(ENVELOPE + data.len());
        packet.push(kind);
        packet.extend_from_slice(&self.count.to_be_bytes());
        packet.extend_from_slice(data);
        self.actions.push(Action::Send { to, packet });
    }

    /// The address of a present member that has this name, if it is another address.
    fn held(&self, identity: &Identity) -> Option<SocketAddr> {
        let record = self.table.get(&identity.name)?;
        let other = record.identity.address != identity.address && record.status.is_present();
        other.then_some(record.identity.address)
    }

    /// The address of the member that has this name and keeps it from another: it was there before.
    fn holder_against(&self, speaker: &Identity) -> Option<SocketAddr> {
        let record = self.table.get(&speaker.name)?;
        let keeps = record.identity.name == self.identity.name || record.identity.generation <= speaker.generation;
        self.held(speaker).filter(|_| keeps)
    }

    fn tell_taken(&mut self, now: Now, sender: &Identity, holder: SocketAddr) {
        if self.told.is_some_and(|told| now.at < told + Duration::from_secs(1)) {
            return;
        }
        self.told = Some(now.at);
        self.note_conflict(&sender.name, holder, sender.address);
        let taken = Taken { name: sender.name.clone(), holder, own: sender.address };
        if let Some(bytes) = encode(&taken) {
            self.send(sender.address, TAKEN, &bytes);
        }
    }

    fn taken(&mut self, now: Now, data: &[u8]) {
        match decode::<Taken>(data) {
            Some(Taken { name, holder, own }) if name == self.identity.name && own == self.identity.address => {
                if self.told.is_none_or(|told| now.at >= told + Duration::from_secs(1)) {
                    self.told = Some(now.at);
                    self.note_conflict(&name, holder, own);
                }
            }
            Some(_) => self.dropped.stale += 1,
            None => self.dropped.malformed += 1,
        }
    }

    fn note_conflict(&mut self, name: &str, holder: SocketAddr, newcomer: SocketAddr) {
        let sentence = format!(
            "two agents have the name {name}: {holder}, which keeps it, and {newcomer}, which is not taken as a member; change `name` of one of the two"
        );
        if self.conflict.as_ref() != Some(&sentence) {
            // A list made of conflicts does not fill the operator's log.
            if self.actions.iter().filter(|action| matches!(action, Action::Warn(_))).count() < 3 {
                self.actions.push(Action::Warn(sentence.clone()));
            }
            self.conflict = Some(sentence);
        }
    }

    /// News are sent more often and suspects have longer where there are more members.
    fn fit_to_size(&mut self) {
        let members = self.foca.num_members() + 1;
        let (transmissions, suspicion) = (self.pace.transmissions(members), self.pace.suspicion_of(members));
        if self.foca_config.max_transmissions.get() != transmissions
            || self.foca_config.suspect_to_down_after != suspicion
        {
            self.foca_config = foca_config(&self.pace, members);
            // Refused only for settings that are not touched here.
            let _ = self.foca.set_config(self.foca_config.clone());
        }
    }
}

const HOUSE: Duration = Duration::from_secs(10);

fn foca_config(pace: &Pace, members: usize) -> foca::Config {
    let least = |count: usize| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
    foca::Config {
        probe_period: pace.probe,
        probe_rtt: pace.round_trip,
        num_indirect_probes: least(pace.indirect),
        max_transmissions: NonZeroU8::new(pace.transmissions(members)).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: pace.suspicion_of(members),
        remove_down_after: Some(pace.reap),
        max_packet_size: least(PACKET_MOST - seal::OVERHEAD - ENVELOPE),
        notify_down_members: true,
        // The exchange of whole lists does both, and better.
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(PeriodicParams { frequency: pace.gossip, num_members: least(pace.indirect) }),
    }
}
