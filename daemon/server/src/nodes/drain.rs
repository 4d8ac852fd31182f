//! Operators begin, change and cancel the drain of a node. What then happens to its allocations is `duty::drain`'s.

use nomadd_model::{
    DrainMetadata, DrainSpec, DrainStrategy, Eligibility, Node, NodeDrainUpdateResponse, NodeId,
    NodeUpdateDrainRequest, Time,
};
use nomadd_state::{Command, NodeDrainSet};

use super::{event, find, ids_of};
use crate::caller::Caller;
use crate::error::Answer;
use crate::evaluation;
use crate::server::Server;

/// Who asked, while everybody may.
const ANYBODY: &str = "token:acls-disabled";

/// How a drain ended, or that it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It goes on.
    Draining,
    /// Everything has left the node.
    Complete,
    /// Somebody ended it before that.
    Canceled,
}

impl Stage {
    const fn word(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Complete => "complete",
            Self::Canceled => "canceled",
        }
    }
}

/// Begins or changes (`DrainSpec`), or ends (none) the drain of a node.
pub async fn drain(
    server: &Server,
    caller: &Caller,
    id: NodeId,
    request: NodeUpdateDrainRequest,
) -> Answer<(u64, NodeDrainUpdateResponse)> {
    caller.resolve()?;
    // The path says which node; what the body says of that is not looked at, as in Nomad.
    let NodeUpdateDrainRequest { drain_spec, mark_eligible, meta, node_id: _ } = request;
    let state = server.state();
    let node = find(&state, id)?;
    let now = server.now();
    let strategy = drain_spec.map(|spec| strategy(node.drain_strategy.as_ref(), &spec, now));
    let message = match (&node.drain_strategy, &strategy) {
        (None, Some(_)) => Some("Node drain strategy set"),
        (Some(_), Some(_)) => Some("Node drain strategy updated"),
        (Some(_), None) => Some("Node drain disabled"),
        (None, None) => None,
    };
    let stage = if strategy.is_some() { Stage::Draining } else { Stage::Canceled };
    let last_drain = message.map(|_| told(node, strategy.as_ref(), stage, now)).map(|told| DrainMetadata {
        accessor_id: ANYBODY.to_owned(),
        meta: if meta.is_empty() { told.meta.clone() } else { meta },
        ..told
    });
    // A node that takes allocations again may be what something waits for, above all system jobs.
    let back = mark_eligible && strategy.is_none() && node.scheduling_eligibility == Eligibility::Ineligible;
    let evaluations = if back { evaluation::of_node(&state, node, &server.runtime().seeds) } else { Vec::new() };
    let eval_ids = ids_of(&evaluations);
    let set = NodeDrainSet {
        id,
        strategy,
        mark_eligible,
        of: None,
        last_drain,
        event: message.map(|message| event(server, "Drain", message)),
        evaluations,
    };
    let index = server.commit(Command::NodeDrain(set)).await?.index;
    let eval_create_index = if eval_ids.is_empty() { 0 } else { index };
    Ok((index, NodeDrainUpdateResponse { eval_create_index, eval_ids, node_modify_index: index }))
}

/// The drain that is meant. One that is changed began when it began, but its deadline counts from now.
fn strategy(old: Option<&DrainStrategy>, spec: &DrainSpec, now: Time) -> DrainStrategy {
    let DrainSpec { deadline, ignore_system_jobs } = *spec;
    DrainStrategy {
        deadline,
        ignore_system_jobs,
        started_at: old.map_or(now, |old| old.started_at),
        force_deadline: if deadline.0 > 0 { now.plus(deadline) } else { Time::default() },
    }
}

/// What a node tells of its last drain when that is now at a stage. Whole seconds, as Nomad tells them.
pub(crate) fn told(node: &Node, strategy: Option<&DrainStrategy>, stage: Stage, now: Time) -> DrainMetadata {
    let second = |time: Time| Time(time.0 - time.0.rem_euclid(1_000_000_000));
    let goes_on = node.drain_strategy.as_ref().and(node.last_drain.clone());
    let begun = node.drain_strategy.as_ref().or(strategy).map_or(now, |strategy| strategy.started_at);
    let last = goes_on.unwrap_or_else(|| DrainMetadata { started_at: second(begun), ..DrainMetadata::default() });
    DrainMetadata { updated_at: second(now), status: stage.word().to_owned(), ..last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nomadd_model::Duration;

    fn at(seconds: i64) -> Time {
        Time(seconds * 1_000_000_000 + 5)
    }

    #[test]
    fn a_changed_drain_keeps_its_beginning_and_gets_a_new_deadline() {
        let minute = DrainSpec { deadline: Duration::from_secs(60), ignore_system_jobs: false };
        let first = strategy(None, &minute, at(100));
        assert_eq!((first.started_at, first.force_deadline), (at(100), at(160)));
        let second = strategy(Some(&first), &minute, at(130));
        assert_eq!((second.started_at, second.force_deadline), (at(100), at(190)));
        for deadline in [Duration(0), Duration(-1)] {
            let spec = DrainSpec { deadline, ignore_system_jobs: true };
            assert_eq!(strategy(None, &spec, at(1)).force_deadline, Time::default(), "{deadline:?}");
        }
    }

    #[test]
    fn what_is_told_of_a_drain_goes_on_until_it_ends_and_begins_anew_with_the_next() {
        let strategy = DrainStrategy { started_at: at(100), ..DrainStrategy::default() };
        let mut node = Node::default();
        let begun = told(&node, Some(&strategy), Stage::Draining, at(100));
        assert_eq!((begun.started_at.0, begun.status.as_str()), (100_000_000_000, "draining"));
        node.last_drain = Some(DrainMetadata { meta: [("who".into(), "me".into())].into(), ..begun });
        node.drain_strategy = Some(strategy);
        let over = told(&node, None, Stage::Complete, at(130));
        assert_eq!((over.started_at.0, over.updated_at.0), (100_000_000_000, 130_000_000_000));
        assert_eq!((over.status.as_str(), over.meta.len()), ("complete", 1));
        node.drain_strategy = None;
        node.last_drain = Some(over);
        let again = DrainStrategy { started_at: at(200), ..DrainStrategy::default() };
        let next = told(&node, Some(&again), Stage::Draining, at(200));
        assert_eq!((next.started_at.0, next.meta.len()), (200_000_000_000, 0));
    }
}
