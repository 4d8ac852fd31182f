//! Autopilot's decisions: whom the leader takes in, whom it lets vote, whom it removes.
//!
//! Pure: what gossip says, the raft configuration, how well each server follows and the time go in, actions come out.
//! `cluster` is the loop around it.

use std::collections::BTreeMap;

use nomadd_model::{AutopilotConfiguration, Duration, Time};
use nomadd_raft::{Server, ServerId};

/// How servers take care of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether dead servers are removed.
    pub cleanup_dead_servers: bool,
    /// How long a server may be without contact and healthy.
    pub last_contact_threshold: Duration,
    /// How many entries a healthy server may be behind.
    pub max_trailing_logs: u64,
    /// How many voters are kept, whatever happens.
    pub min_quorum: u64,
    /// How long a new server must be healthy before it votes.
    pub server_stabilization_time: Duration,
}

impl From<&AutopilotConfiguration> for Settings {
    fn from(config: &AutopilotConfiguration) -> Self {
        let AutopilotConfiguration {
            cleanup_dead_servers,
            last_contact_threshold,
            max_trailing_logs,
            min_quorum,
            server_stabilization_time,
            create_index: _,
            modify_index: _,
        } = *config;
        Self { cleanup_dead_servers, last_contact_threshold, max_trailing_logs, min_quorum, server_stabilization_time }
    }
}

impl From<Settings> for AutopilotConfiguration {
    fn from(settings: Settings) -> Self {
        let Settings {
            cleanup_dead_servers,
            last_contact_threshold,
            max_trailing_logs,
            min_quorum,
            server_stabilization_time,
        } = settings;
        Self {
            cleanup_dead_servers,
            last_contact_threshold,
            max_trailing_logs,
            min_quorum,
            server_stabilization_time,
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cleanup_dead_servers: true,
            last_contact_threshold: Duration(200_000_000),
            max_trailing_logs: 250,
            min_quorum: 0,
            server_stabilization_time: Duration::from_secs(10),
        }
    }
}

/// How gossip sees a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Alive,
    /// It stopped answering, since then.
    Failed(Time),
    /// It left in order, or was made to.
    Left,
}

/// A server, from all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Name and address as gossip tells them, or else as the raft configuration does.
    pub server: Server,
    /// How gossip sees it; `None` where gossip does not know it.
    pub presence: Option<Presence>,
    /// Its place in the raft configuration, when it has one.
    pub seat: Option<Seat>,
}

/// A place in the raft configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Name and address there.
    pub server: Server,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it is the leader that decides.
    pub leader: bool,
    /// When it was last heard; `None` never.
    pub last_contact: Option<std::time::Duration>,
    /// How many entries it is behind.
    pub lag: u64,
}

/// What the leader does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Takes a server in; it does not vote yet.
    Add(ServerId, Server),
    /// Notes a new address.
    Move(ServerId, Server),
    /// Lets a server vote.
    Promote(ServerId),
    /// Removes a server.
    Remove(ServerId, &'static str),
}

/// What the leader remembers from one look to the next: since when each server is healthy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory(pub BTreeMap<ServerId, Time>);

/// Whether a server keeps up.
pub fn healthy(known: &Known, settings: &Settings) -> bool {
    let Some(seat) = &known.seat else { return false };
    if matches!(known.presence, Some(Presence::Failed(_) | Presence::Left)) {
        return false;
    }
    let heard = seat.leader
        || seat.last_contact.is_some_and(|since| since <= settings.last_contact_threshold.to_std().max(LEAST_CONTACT));
    heard && seat.lag <= settings.max_trailing_logs
}

/// Heartbeats are rarer than the threshold may be: contact this recent always counts.
const LEAST_CONTACT: std::time::Duration = std::time::Duration::from_millis(200);

/// Looks at all servers and says what to do next. One change of the voters at a time.
pub fn decide(known: &BTreeMap<ServerId, Known>, settings: &Settings, memory: &mut Memory, now: Time) -> Vec<Action> {
    memory.0.retain(|id, _| known.get(id).is_some_and(|known| healthy(known, settings)));
    for (id, _) in known.iter().filter(|(_, known)| healthy(known, settings)) {
        memory.0.entry(*id).or_insert(now);
    }
    let mut actions = Vec::new();
    for (id, server) in known {
        match (&server.seat, server.presence) {
            (None, Some(Presence::Alive)) => actions.push(Action::Add(*id, server.server.clone())),
            (Some(seat), Some(Presence::Alive)) if seat.server != server.server && !seat.leader => {
                actions.push(Action::Move(*id, server.server.clone()));
            }
            _ => {}
        }
    }
    if let Some(action) = voters(known, settings, memory, now) {
        actions.push(action);
    }
    actions
}

fn voters(known: &BTreeMap<ServerId, Known>, settings: &Settings, memory: &Memory, now: Time) -> Option<Action> {
    let seated = || known.iter().filter_map(|(id, known)| known.seat.as_ref().map(|seat| (*id, known, seat)));
    let voting = seated().filter(|(_, _, seat)| seat.voter).count();
    // Who left is removed at once: it said so.
    for (id, server, seat) in seated().filter(|(_, _, seat)| !seat.leader) {
        let left = server.presence == Some(Presence::Left);
        if left && (!seat.voter || voting > 1) {
            return Some(Action::Remove(id, "it left"));
        }
    }
    let promoted = seated().find(|(id, server, seat)| {
        let since = memory.0.get(id).map(|since| now.since(*since));
        !seat.voter
            && server.presence == Some(Presence::Alive)
            && since.is_some_and(|since| since >= settings.server_stabilization_time)
    });
    if let Some((id, ..)) = promoted {
        return Some(Action::Promote(id));
    }
    if !settings.cleanup_dead_servers {
        return None;
    }
    let long = settings.server_stabilization_time;
    let dead = |server: &Known, seat: &Seat| match server.presence {
        // Not at once: it may only be restarting. And not one that still takes entries from the leader: after a broken
        // link gossip may be the last to notice that it is back.
        Some(Presence::Failed(since)) => {
            now.since(since) >= long && seat.last_contact.is_none_or(|silent| silent >= long.to_std())
        }
        _ => false,
    };
    let gone = seated().filter(|(_, server, seat)| seat.voter && !healthy(server, settings)).count();
    // The rest must be a majority of those there are now, and as many as the operator wants kept.
    let enough = |left: usize| left as u64 >= settings.min_quorum && left >= 2 && (voting - gone) * 2 > voting;
    seated()
        .find(|(_, server, seat)| dead(server, seat) && !seat.leader && (!seat.voter || enough(voting - 1)))
        .map(|(id, ..)| Action::Remove(id, "it is dead, and autopilot cleans up dead servers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ServerId {
        ServerId(nomadd_model::NodeId([number; 16]))
    }
    fn server(number: u8) -> Server {
        Server { name: format!("s{number}.global"), address: format!("10.0.0.{number}:4647") }
    }
    fn seated(number: u8, voter: bool) -> Known {
        let contact = Some(std::time::Duration::from_millis(20));
        let seat = Seat { server: server(number), voter, leader: number == 1, last_contact: contact, lag: 0 };
        Known { server: server(number), presence: Some(Presence::Alive), seat: Some(seat) }
    }
    fn at(seconds: i64) -> Time {
        Time(seconds * 1_000_000_000)
    }
    fn look(known: &BTreeMap<ServerId, Known>, memory: &mut Memory, seconds: i64) -> Vec<Action> {
        decide(known, &Settings::default(), memory, at(seconds))
    }

    #[test]
    fn a_newcomer_is_taken_in_and_votes_once_it_was_healthy_for_a_while() {
        let mut known = BTreeMap::from([(id(1), seated(1, true))]);
        known.insert(id(2), Known { server: server(2), presence: Some(Presence::Alive), seat: None });
        let mut memory = Memory::default();
        assert_eq!(look(&known, &mut memory, 0), [Action::Add(id(2), server(2))]);
        known.insert(id(2), seated(2, false));
        assert_eq!(look(&known, &mut memory, 1), []);
        assert_eq!(look(&known, &mut memory, 10), []);
        let mut behind = known.clone();
        if let Some(seat) = behind.get_mut(&id(2)).and_then(|known| known.seat.as_mut()) {
            seat.lag = 1000;
        }
        assert_eq!(look(&behind, &mut memory, 11), [], "it has to begin again");
        assert_eq!(look(&known, &mut memory, 12), []);
        assert_eq!(look(&known, &mut memory, 22), [Action::Promote(id(2))]);
    }

    #[test]
    fn a_dead_server_goes_after_a_while_but_never_the_majority() {
        let mut known: BTreeMap<_, _> = (1..=3).map(|number| (id(number), seated(number, true))).collect();
        let fail = |known: &mut BTreeMap<ServerId, Known>, number| {
            if let Some(known) = known.get_mut(&id(number)) {
                known.presence = Some(Presence::Failed(at(100)));
            }
        };
        fail(&mut known, 3);
        let mut memory = Memory::default();
        assert_eq!(look(&known, &mut memory, 200), [], "gossip lost it, but it answers the leader");
        if let Some(seat) = known.get_mut(&id(3)).and_then(|known| known.seat.as_mut()) {
            seat.last_contact = Some(std::time::Duration::from_secs(10));
        }
        assert_eq!(look(&known, &mut memory, 101), [], "it may be restarting");
        assert!(matches!(look(&known, &mut memory, 110)[..], [Action::Remove(gone, _)] if gone == id(3)));
        let careful = Settings { min_quorum: 3, ..Settings::default() };
        assert_eq!(decide(&known, &careful, &mut memory, at(110)), []);
        fail(&mut known, 2);
        assert_eq!(look(&known, &mut memory, 200), [], "two of three are gone: nothing is removed");
    }

    #[test]
    fn who_left_is_removed_and_a_new_address_is_noted() {
        let mut known: BTreeMap<_, _> = (1..=3).map(|number| (id(number), seated(number, true))).collect();
        if let Some(known) = known.get_mut(&id(2)) {
            known.presence = Some(Presence::Left);
        }
        if let Some(known) = known.get_mut(&id(3)) {
            known.server.address = "10.0.0.9:4647".into();
        }
        let actions = look(&known, &mut Memory::default(), 5);
        assert!(
            matches!(&actions[..], [Action::Move(moved, _), Action::Remove(gone, _)] if (*moved, *gone) == (id(3), id(2)))
        );
    }
}
