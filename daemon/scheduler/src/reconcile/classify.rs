//! Sorting the allocations of a group by what has become of them and of their nodes (facts 3.3).

use std::sync::Arc;

use nomadd_model::{
    AllocState, Allocation, ClientStatus, DesiredStatus, DisconnectStrategy, Duration, NodeStatus, TaskGroup, Time,
};

use crate::reconcile::{Set, Situation};

/// The allocations of a group, sorted.
#[derive(Debug, Default)]
pub struct Classes {
    /// Nothing has happened to them (terminal ones are here too).
    pub untainted: Set,
    /// They shall move.
    pub migrate: Set,
    /// Their node is down or gone.
    pub lost: Set,
    /// Their node is out of contact and they may come back.
    pub disconnecting: Set,
    /// They have come back.
    pub reconnecting: Set,
    /// They count for nothing.
    pub ignore: Set,
}

/// How a group behaves out of contact, from its block or the older fields.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disconnect {
    /// How long an allocation may be unknown.
    pub lost_after: Option<Duration>,
    /// Whether a replacement is placed meanwhile.
    pub replace: bool,
    /// After how long a client stops its allocations itself.
    pub stop_after: Option<Duration>,
}

impl Disconnect {
    /// Reads a group.
    pub fn of(group: Option<&TaskGroup>) -> Self {
        let positive = |span: Option<Duration>| span.filter(|span| span.0 > 0);
        let Some(group) = group else { return Self { replace: true, ..Self::default() } };
        match &group.disconnect {
            Some(DisconnectStrategy { lost_after, reconcile: _, replace, stop_on_client_after }) => Self {
                lost_after: positive(*lost_after),
                replace: *replace,
                stop_after: positive(*stop_on_client_after),
            },
            None => Self {
                lost_after: positive(group.max_client_disconnect),
                replace: !group.prevent_reschedule_on_lost,
                stop_after: positive(group.stop_after_client_disconnect),
            },
        }
    }
}

/// Whether the last that servers noted of an allocation's status is that it is unknown.
pub fn needs_reconnect(allocation: &Allocation) -> bool {
    last_noted(allocation).is_some_and(|state| state.value == ClientStatus::Unknown.as_str())
}

fn last_noted(allocation: &Allocation) -> Option<&AllocState> {
    allocation.alloc_states.last()
}

/// When an allocation became unknown.
pub fn unknown_since(allocation: &Allocation) -> Time {
    match last_noted(allocation) {
        Some(state) if state.value == ClientStatus::Unknown.as_str() => state.time,
        _ => Time(allocation.modify_time),
    }
}

/// When an allocation was first lost.
pub fn lost_since(allocation: &Allocation) -> Option<Time> {
    let noted = allocation.alloc_states.iter().find(|state| state.value == ClientStatus::Lost.as_str());
    noted.map(|state| state.time)
}

/// Whether an allocation is over, as servers or its client say.
pub fn is_terminal(allocation: &Allocation) -> bool {
    allocation.desired_status.is_terminal() || allocation.client_status.is_terminal()
}

impl Classes {
    /// Sorts the allocations of a group.
    pub fn new(situation: &Situation<'_>, allocations: impl Iterator<Item = Arc<Allocation>>) -> Self {
        let mut classes = Self::default();
        for allocation in allocations {
            let set = classes.set_for(situation, &allocation);
            set.insert(allocation.id, allocation);
        }
        classes
    }

    fn set_for(&mut self, situation: &Situation<'_>, allocation: &Allocation) -> &mut Set {
        let made_from = (situation.job_of)(allocation);
        let group = made_from.as_deref().and_then(|job| job.group(&allocation.task_group));
        let disconnect = Disconnect::of(group);
        let supports = disconnect.lost_after.is_some();
        let status = allocation.client_status;
        let reconnect = supports
            && matches!(status, ClientStatus::Unknown | ClientStatus::Running | ClientStatus::Failed)
            && needs_reconnect(allocation);
        if reconnect && allocation.desired_status == DesiredStatus::Run && status == ClientStatus::Failed {
            return &mut self.reconnecting;
        }
        if is_terminal(allocation) && !reconnect {
            return &mut self.untainted;
        }
        let expired = supports
            && status == ClientStatus::Unknown
            && situation.now >= unknown_since(allocation).plus(disconnect.lost_after.unwrap_or_default());
        let node = (situation.node)(allocation.node_id);
        let node_status = node.as_ref().map(|node| node.status);
        if expired {
            return &mut self.lost;
        }
        if node_status == Some(NodeStatus::Disconnected) {
            return match status {
                ClientStatus::Unknown => &mut self.untainted,
                ClientStatus::Pending => &mut self.lost,
                _ if !supports => &mut self.lost,
                _ => &mut self.disconnecting,
            };
        }
        if allocation.desired_transition.migrate == Some(true) && !allocation.desired_status.is_terminal() {
            return &mut self.migrate;
        }
        match node_status {
            Some(NodeStatus::Ready | NodeStatus::Initializing | NodeStatus::Disconnected) => {
                if reconnect && status == ClientStatus::Failed {
                    &mut self.ignore
                } else if reconnect && node_status == Some(NodeStatus::Ready) && status == ClientStatus::Running {
                    &mut self.reconnecting
                } else {
                    // An unknown one waits for its client's first word after the reconnect.
                    &mut self.untainted
                }
            }
            None => &mut self.lost,
            Some(NodeStatus::Down) => match (disconnect.replace, status) {
                (false, ClientStatus::Unknown) => &mut self.untainted,
                (false, ClientStatus::Running) => &mut self.disconnecting,
                _ => &mut self.lost,
            },
        }
    }
}
