//! Who is still there: when each node's next heartbeat is due, and what its silence means.
//!
//! A pure state machine: heartbeats, what servers say of silent nodes, and the time go in; nodes that are gone come out.
//! `duty::heartbeats` is the loop around it.

mod suspects;

use std::collections::{BTreeMap, BTreeSet};

use nomadd_model::{ClientStatus, DesiredStatus, Duration, Node, NodeId, NodeStatus, Time};
use nomadd_rpc::AGENT_STOPS;
use nomadd_state::State;

use crate::config::Heartbeats;
pub use suspects::{Contact, Report, Suspects, Verdict};

/// The event of a node that was missed.
pub const MISSED: &str = "Node heartbeat missed";

/// Downs within this time belong together: the node flaps.
const FLAPS_WITHIN: Duration = Duration::from_secs(600);
/// How long a node is held back after its second down in a row; twice as long after each further one.
const HOLD: Duration = Duration::from_secs(10);
/// The longest that a node is held back.
const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// The timers of the nodes, and those that somebody misses.
#[derive(Debug, Default)]
pub struct Liveness {
    due: BTreeMap<NodeId, Time>,
    order: BTreeSet<(Time, NodeId)>,
    suspects: Suspects,
}

impl Liveness {
    /// A new leader gives every node that is not down, and that it has not heard of itself, the failover time.
    pub fn restore(&mut self, state: &State, config: &Heartbeats, now: Time) {
        for node in state.nodes().filter(|node| node.status != NodeStatus::Down) {
            if !self.due.contains_key(&node.id) {
                self.set(node.id, now.plus(config.failover_ttl));
            }
        }
    }

    /// This server no longer leads: others are told of heartbeats now.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// A node was heard of. Returns how long until it should be heard of again; `jitter` is between 0 and 1.
    pub fn heard(&mut self, id: NodeId, config: &Heartbeats, jitter: f64, now: Time) -> Duration {
        let ttl = self.ttl(config, jitter);
        self.set(id, now.plus(ttl).plus(config.grace));
        self.suspects.heard(id);
        ttl
    }

    /// The nodes that somebody misses.
    pub fn suspects(&mut self) -> &mut Suspects {
        &mut self.suspects
    }

    /// Moves every time: the clock was set, or this process stood still and could hear nobody.
    pub fn shift(&mut self, by: Duration) {
        for (id, due) in std::mem::take(&mut self.due) {
            self.due.insert(id, due.plus(by));
        }
        self.order = self.due.iter().map(|(id, due)| (*due, *id)).collect();
        self.suspects.shift(by);
    }

    /// Looks at a node again after `span`, whatever is heard of it until then.
    pub fn look_again(&mut self, id: NodeId, span: Duration, now: Time) {
        self.set(id, now.plus(span));
    }

    /// A node is gone for good, or known to be down: nobody waits for it.
    pub fn forget(&mut self, id: NodeId) {
        if let Some(due) = self.due.remove(&id) {
            self.order.remove(&(due, id));
        }
        self.suspects.heard(id);
    }

    /// The nodes whose heartbeats are missing for too long; each is told once.
    pub fn silent(&mut self, now: Time) -> Vec<NodeId> {
        let mut silent = Vec::new();
        while let Some(&(due, id)) = self.order.first() {
            if due > now {
                break;
            }
            self.order.pop_first();
            self.due.remove(&id);
            silent.push(id);
        }
        silent
    }

    /// When the next node is too late.
    pub fn next_due(&self) -> Option<Time> {
        self.order.first().map(|(due, _)| *due)
    }

    /// How many nodes are waited for.
    pub fn active(&self) -> usize {
        self.due.len()
    }

    /// The more nodes, the rarer their heartbeats; spread, so that they do not come at once.
    fn ttl(&self, config: &Heartbeats, jitter: f64) -> Duration {
        let nodes = self.due.len() as f64;
        let spread = if config.max_per_second > 0.0 { nodes / config.max_per_second } else { 0.0 };
        let base = config.min_ttl.0.max((spread * 1e9) as i64);
        Duration(base.saturating_add((base as f64 * jitter.clamp(0.0, 1.0)) as i64))
    }

    fn set(&mut self, id: NodeId, due: Time) {
        if let Some(old) = self.due.insert(id, due) {
            self.order.remove(&(old, id));
        }
        self.order.insert((due, id));
    }
}

/// Until when a node that is down stays so although it is heard of again: one that flaps is held back, each time longer.
pub fn held_until(node: &Node) -> Option<Time> {
    let downs: Vec<Time> =
        node.events.iter().filter(|event| event.message == MISSED).map(|event| event.timestamp).collect();
    let last = *downs.last()?;
    let in_a_row = downs.iter().filter(|at| at.plus(FLAPS_WITHIN) > last).count();
    let doublings = u32::try_from(in_a_row.checked_sub(2)?).unwrap_or(u32::MAX).min(16);
    let hold = Duration(HOLD.0.saturating_mul(1 << doublings)).min(LONGEST_HOLD);
    Some(last.plus(hold))
}

/// How long a node whose agent may be restarting is waited for: the grace, and after a stop that was announced the time
/// between two heartbeats as well.
pub fn patience(node: &Node, config: &Heartbeats, now: Time) -> Duration {
    let announced = node.events.iter().rev().find(|event| event.message == AGENT_STOPS).map(|event| event.timestamp);
    let until = announced.map(|at| at.plus(config.min_ttl).plus(config.grace));
    until.map_or(config.grace, |until| until.since(now).max(config.grace))
}

/// Whether a node's agent announced its stop so short a while ago that even its silence is no sign.
pub fn is_announced(node: &Node, config: &Heartbeats, now: Time) -> bool {
    let announced = node.events.last().filter(|event| event.message == AGENT_STOPS).map(|event| event.timestamp);
    announced.is_some_and(|at| at.plus(config.min_ttl).plus(config.grace) > now)
}

/// What a node is that was not heard of: `disconnected` while one of its allocations may outlast that, else `down`.
pub fn status_of_silent(state: &State, id: NodeId, now: Time) -> NodeStatus {
    let waits = state.allocations_by_node(id).any(|allocation| {
        if allocation.desired_status != DesiredStatus::Run || allocation.client_status.is_terminal() {
            return false;
        }
        let job = state.job_of(allocation);
        let group = job.and_then(|job| job.task_groups.iter().find(|group| group.name == allocation.task_group));
        let lost_after = group.and_then(|group| {
            group.disconnect.as_ref().and_then(|block| block.lost_after).or(group.max_client_disconnect)
        });
        let Some(lost_after) = lost_after.filter(|span| span.0 > 0) else { return false };
        if allocation.client_status != ClientStatus::Unknown {
            return true;
        }
        let since = allocation.alloc_states.iter().rev().find(|state| state.value == "unknown").map(|state| state.time);
        since.is_none_or(|since| since.plus(lost_after) > now)
    });
    if waits { NodeStatus::Disconnected } else { NodeStatus::Down }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 16]);
    const B: NodeId = NodeId([2; 16]);

    fn at(seconds: i64) -> Time {
        Time(seconds * 1_000_000_000)
    }

    #[test]
    fn a_node_is_silent_after_its_time_and_the_grace_and_is_told_once() {
        let config = Heartbeats::default();
        let mut liveness = Liveness::default();
        assert_eq!(liveness.heard(A, &config, 0.0, at(100)), Duration::from_secs(10));
        liveness.heard(B, &config, 0.0, at(105));
        assert_eq!(liveness.next_due(), Some(at(120)));
        assert_eq!(liveness.silent(at(119)), []);
        assert_eq!(liveness.silent(at(120)), [A]);
        assert_eq!(liveness.silent(at(121)), []);
        assert_eq!(liveness.active(), 1);
    }

    #[test]
    fn a_heartbeat_moves_the_time_on() {
        let config = Heartbeats::default();
        let mut liveness = Liveness::default();
        liveness.heard(A, &config, 0.5, at(100));
        assert_eq!(liveness.next_due(), Some(at(125)), "10 s, half of it again, and the grace");
        liveness.heard(A, &config, 0.0, at(110));
        assert_eq!(liveness.next_due(), Some(at(130)));
        liveness.forget(A);
        assert_eq!((liveness.next_due(), liveness.active()), (None, 0));
    }

    #[test]
    fn a_clock_that_is_set_and_a_process_that_stood_still_make_nobody_late() {
        let config = Heartbeats::default();
        let mut liveness = Liveness::default();
        liveness.heard(A, &config, 0.0, at(100));
        liveness.shift(Duration::from_secs(3600));
        assert_eq!(liveness.silent(at(3719)), []);
        assert_eq!(liveness.silent(at(3720)), [A]);
    }

    #[test]
    fn a_node_that_flaps_is_held_back_each_time_longer() {
        let down = |seconds| nomadd_model::NodeEvent {
            message: MISSED.to_owned(),
            timestamp: at(seconds),
            ..nomadd_model::NodeEvent::default()
        };
        let of =
            |downs: &[i64]| Node { events: downs.iter().map(|seconds| down(*seconds)).collect(), ..Node::default() };
        let check = |downs: &[i64], until: Option<i64>| assert_eq!(held_until(&of(downs)), until.map(at), "{downs:?}");
        check(&[], None);
        check(&[100], None);
        check(&[100, 160], Some(170));
        check(&[100, 160, 200], Some(220));
        check(&[0, 10, 20, 30, 40, 50, 60, 70, 80], Some(380));
        check(&[100, 2_000], None);
        check(&[100, 2_000, 2_100], Some(2_110));
    }

    #[test]
    fn an_announced_stop_is_waited_for() {
        let config = Heartbeats::default();
        let stops = nomadd_model::NodeEvent {
            message: AGENT_STOPS.to_owned(),
            timestamp: at(100),
            ..nomadd_model::NodeEvent::default()
        };
        let node = Node { events: vec![stops], ..Node::default() };
        assert!(is_announced(&node, &config, at(119)) && !is_announced(&node, &config, at(120)));
        assert_eq!(patience(&node, &config, at(105)), Duration::from_secs(15));
        assert_eq!(patience(&node, &config, at(500)), config.grace);
        assert_eq!(patience(&Node::default(), &config, at(500)), config.grace);
    }

    #[test]
    fn many_nodes_are_asked_less_often() {
        let config = Heartbeats::default();
        let mut liveness = Liveness::default();
        for number in 0..1000_u16 {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            id[15] = 1;
            liveness.heard(NodeId(id), &config, 0.0, at(0));
        }
        assert_eq!(liveness.heard(NodeId([7; 16]), &config, 0.0, at(0)), Duration::from_secs(20));
    }
}
