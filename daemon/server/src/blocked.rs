//! Blocked evaluations: those that found no place and wait until something changes that could help.
//!
//! A pure state machine: evaluations and changes of nodes go in, actions come out. Remembers recent changes so that an
//! evaluation that was worked on while they happened does not wait for them in vain. `queue` is the shell around it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nomadd_model::{Duration, Evaluation, EvaluationId, NodeId, Text, Time, Trigger};
use nomadd_state::JobKey;

use crate::broker::key_of;

/// How long a change is remembered.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
/// How long an evaluation waits whose plans were refused too often, the first time; twice as long each time after. Who took
/// the room is done after a moment, mostly; and who always loses shall not keep the servers busy.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often old changes are forgotten.
const LOOK_THROUGH: Duration = Duration::from_secs(60);

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Give it to the broker again.
    Enqueue(Arc<Evaluation>),
    /// Another one blocks for the same job: write it as cancelled.
    Cancel(Arc<Evaluation>),
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// All that wait.
    pub blocked: usize,
    /// Of them, those that any node could help.
    pub escaped: usize,
}

/// A job whose plans others' plans got in the way of.
#[derive(Clone, Copy, Debug)]
struct Conflict {
    /// How long it waits this time.
    wait: Duration,
    /// Until when.
    due: Time,
}

/// The blocked evaluations.
#[derive(Debug, Default)]
pub struct Blocked {
    captured: BTreeMap<EvaluationId, Arc<Evaluation>>,
    by_job: BTreeMap<(JobKey, NodeId), EvaluationId>,
    escaped: BTreeSet<EvaluationId>,
    classes: BTreeMap<Text, (u64, Time)>,
    nodes: BTreeMap<NodeId, (u64, Time)>,
    conflicts: BTreeMap<JobKey, Conflict>,
    looked_through: Time,
}

impl Blocked {
    /// Takes a blocked evaluation in; it goes on at once if it missed a change that could help.
    pub fn block(&mut self, evaluation: Arc<Evaluation>, now: Time) -> Vec<Action> {
        if self.captured.contains_key(&evaluation.id) {
            self.remove(evaluation.id);
        }
        if self.missed_a_change(&evaluation) {
            return vec![Action::Enqueue(evaluation)];
        }
        let mut actions = Vec::new();
        // An evaluation of a system job is about one node; others are about the job as a whole.
        let key = (key_of(&evaluation), evaluation.node_id);
        if let Some(existing) = self.by_job.get(&key).and_then(|id| self.captured.get(id)).cloned() {
            if newness(&existing) > newness(&evaluation) {
                return vec![Action::Cancel(evaluation)];
            }
            self.remove(existing.id);
            actions.push(Action::Cancel(existing));
        }
        if evaluation.escaped_computed_class {
            self.escaped.insert(evaluation.id);
        }
        if evaluation.triggered_by == Trigger::MaxPlans {
            let before = self.conflicts.get(&key.0).map(|conflict| conflict.wait.0.saturating_mul(2));
            let wait = Duration(before.map_or(FIRST_WAIT.0, |twice| twice.min(LONGEST_WAIT.0)));
            self.conflicts.insert(key.0.clone(), Conflict { wait, due: now.plus(wait) });
        }
        self.by_job.insert(key, evaluation.id);
        self.captured.insert(evaluation.id, evaluation);
        actions
    }

    /// A node of this class came, became ready or has room again, by the change at `index`.
    pub fn unblock(&mut self, node: NodeId, class: &Text, index: u64, now: Time) -> Vec<Action> {
        self.forget_old(now);
        remember(&mut self.classes, class.clone(), index, now);
        remember(&mut self.nodes, node, index, now);
        if self.captured.is_empty() {
            return Vec::new();
        }
        let helped = self.captured.values().filter(|evaluation| {
            if evaluation.node_id.is_some() {
                return evaluation.node_id == node;
            }
            evaluation.escaped_computed_class
                || evaluation.class_eligibility.get(class.as_str()).copied().unwrap_or(true)
        });
        let helped: Vec<_> = helped.map(|evaluation| evaluation.id).collect();
        self.release(&helped)
    }

    /// Evaluations whose plans were refused too often are tried again when they have waited.
    pub fn unblock_conflicts(&mut self, now: Time) -> Vec<Action> {
        self.forget_old(now);
        if self.conflicts.is_empty() {
            return Vec::new();
        }
        let failed = self.captured.values().filter(|evaluation| {
            evaluation.triggered_by == Trigger::MaxPlans
                && self.conflicts.get(&key_of(evaluation)).is_none_or(|conflict| conflict.due <= now)
        });
        let failed: Vec<_> = failed.map(|evaluation| evaluation.id).collect();
        self.release(&failed)
    }

    /// The job is satisfied, stopped or gone: nothing of it waits any more. Returns what waited.
    pub fn untrack(&mut self, key: &JobKey) -> Vec<Arc<Evaluation>> {
        self.conflicts.remove(key);
        let from = (key.clone(), NodeId::NONE);
        let ids: Vec<_> = self.by_job.range(from..).take_while(|((job, _), _)| job == key).map(|(_, id)| *id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Forgets evaluations that no longer exist.
    pub fn forget(&mut self, ids: &[EvaluationId]) {
        for &id in ids {
            self.remove(id);
        }
    }

    /// Whether it waits here.
    pub fn contains(&self, id: EvaluationId) -> bool {
        self.captured.contains_key(&id)
    }

    /// How much waits.
    pub fn stats(&self) -> Stats {
        Stats { blocked: self.captured.len(), escaped: self.escaped.len() }
    }

    fn release(&mut self, ids: &[EvaluationId]) -> Vec<Action> {
        ids.iter().filter_map(|&id| self.remove(id)).map(Action::Enqueue).collect()
    }

    fn remove(&mut self, id: EvaluationId) -> Option<Arc<Evaluation>> {
        let evaluation = self.captured.remove(&id)?;
        self.escaped.remove(&id);
        let key = (key_of(&evaluation), evaluation.node_id);
        if self.by_job.get(&key) == Some(&id) {
            self.by_job.remove(&key);
        }
        Some(evaluation)
    }

    fn missed_a_change(&self, evaluation: &Evaluation) -> bool {
        let seen = evaluation.snapshot_index;
        if evaluation.node_id.is_some() {
            return self.nodes.get(&evaluation.node_id).is_some_and(|(index, _)| *index > seen);
        }
        self.classes.iter().any(|(class, (index, _))| {
            *index > seen
                && (evaluation.escaped_computed_class
                    || evaluation.class_eligibility.get(class.as_str()).copied().unwrap_or(true))
        })
    }

    fn forget_old(&mut self, now: Time) {
        // Many nodes change all the time: looked through only now and then.
        if now.since(self.looked_through) < LOOK_THROUGH {
            return;
        }
        self.looked_through = now;
        let oldest = Time(now.0.saturating_sub(REMEMBERED.0));
        self.classes.retain(|_, (_, time)| *time >= oldest);
        self.nodes.retain(|_, (_, time)| *time >= oldest);
        self.conflicts.retain(|_, conflict| conflict.due >= oldest);
    }
}

/// The newest change counts, in whatever order they are told.
fn remember<K: Ord>(changes: &mut BTreeMap<K, (u64, Time)>, key: K, index: u64, now: Time) {
    let change = changes.entry(key).or_insert((index, now));
    *change = (change.0.max(index), now);
}

/// How recent the state is that an evaluation has seen.
fn newness(evaluation: &Evaluation) -> u64 {
    evaluation.create_index.max(evaluation.snapshot_index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(number: u8, job: &str, seen: u64) -> Evaluation {
        Evaluation {
            id: EvaluationId([number; 16]),
            namespace: "default".into(),
            job_id: job.into(),
            create_index: seen,
            snapshot_index: seen,
            ..Evaluation::default()
        }
    }
    fn with_class(mut evaluation: Evaluation, class: &str, eligible: bool) -> Arc<Evaluation> {
        evaluation.class_eligibility.insert(class.to_owned(), eligible);
        Arc::new(evaluation)
    }
    const NODE: NodeId = NodeId([9; 16]);

    #[test]
    fn a_change_of_an_eligible_or_new_class_unblocks_and_an_ineligible_does_not() {
        let mut blocked = Blocked::default();
        let a = with_class(evaluation(1, "a", 5), "v1:x", true);
        let b = with_class(evaluation(2, "b", 5), "v1:x", false);
        assert_eq!(blocked.block(Arc::clone(&a), Time(1)), []);
        assert_eq!(blocked.block(Arc::clone(&b), Time(1)), []);
        assert_eq!(blocked.unblock(NODE, &"v1:x".into(), 6, Time(1)), [Action::Enqueue(a)]);
        assert_eq!(blocked.unblock(NODE, &"v1:new".into(), 7, Time(1)), [Action::Enqueue(b)]);
        assert_eq!(blocked.stats(), Stats::default());
    }

    #[test]
    fn an_escaped_evaluation_is_helped_by_any_node() {
        let mut blocked = Blocked::default();
        let mut a = evaluation(1, "a", 5);
        a.escaped_computed_class = true;
        let a = with_class(a, "v1:x", false);
        blocked.block(Arc::clone(&a), Time(1));
        assert_eq!(blocked.stats().escaped, 1);
        assert_eq!(blocked.unblock(NODE, &"v1:x".into(), 6, Time(1)), [Action::Enqueue(a)]);
    }

    #[test]
    fn an_evaluation_that_missed_a_change_goes_on_at_once() {
        let mut blocked = Blocked::default();
        blocked.unblock(NODE, &"v1:x".into(), 10, Time(1));
        let early = with_class(evaluation(1, "a", 9), "v1:x", true);
        assert_eq!(blocked.block(Arc::clone(&early), Time(1)), [Action::Enqueue(early)]);
        assert_eq!(blocked.block(with_class(evaluation(2, "a", 10), "v1:x", true), Time(1)), []);
        assert_eq!(blocked.block(with_class(evaluation(3, "b", 9), "v1:x", false), Time(1)), []);
        // An older change that is told later takes nothing back.
        blocked.unblock(NodeId([8; 16]), &"v1:x".into(), 4, Time(2));
        let early = with_class(evaluation(4, "c", 9), "v1:x", true);
        assert_eq!(blocked.block(Arc::clone(&early), Time(1)), [Action::Enqueue(early)]);
    }

    #[test]
    fn changes_are_forgotten_after_a_quarter_of_an_hour() {
        let mut blocked = Blocked::default();
        blocked.unblock(NODE, &"v1:x".into(), 10, Time(1));
        blocked.unblock(NODE, &"v1:y".into(), 3, Time(1).plus(Duration::from_secs(16 * 60)));
        assert_eq!(blocked.block(with_class(evaluation(1, "a", 9), "v1:x", true), Time(1)), []);
    }

    #[test]
    fn of_two_for_a_job_the_one_that_saw_more_stays() {
        let mut blocked = Blocked::default();
        let old = Arc::new(evaluation(1, "a", 5));
        let new = Arc::new(evaluation(2, "a", 8));
        blocked.block(Arc::clone(&old), Time(1));
        assert_eq!(blocked.block(Arc::clone(&new), Time(1)), [Action::Cancel(Arc::clone(&old))]);
        assert_eq!(blocked.block(Arc::clone(&old), Time(1)), [Action::Cancel(old)]);
        assert!(blocked.contains(new.id));
    }

    #[test]
    fn evaluations_of_a_system_job_wait_for_their_own_node() {
        let mut blocked = Blocked::default();
        let here = Arc::new(Evaluation { node_id: NODE, ..evaluation(1, "a", 5) });
        let there = Arc::new(Evaluation { node_id: NodeId([8; 16]), ..evaluation(2, "a", 5) });
        assert_eq!(blocked.block(Arc::clone(&here), Time(1)), []);
        assert_eq!(blocked.block(Arc::clone(&there), Time(1)), []);
        assert_eq!(blocked.unblock(NODE, &"v1:x".into(), 6, Time(1)), [Action::Enqueue(here)]);
        assert_eq!(blocked.untrack(&JobKey::new(&"default".into(), &"a".into())), [there]);
    }

    #[test]
    fn refused_plans_are_tried_again_after_a_while_that_doubles_until_the_job_is_satisfied() {
        let mut blocked = Blocked::default();
        let conflict = Arc::new(Evaluation { triggered_by: Trigger::MaxPlans, ..evaluation(1, "a", 5) });
        let mut now = Time(1);
        blocked.block(Arc::new(evaluation(2, "b", 5)), now);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            blocked.block(Arc::clone(&conflict), now);
            now = now.plus(Duration::from_secs(seconds));
            assert_eq!(blocked.unblock_conflicts(Time(now.0 - 1)), [], "after less than {seconds} s");
            assert_eq!(blocked.unblock_conflicts(now), [Action::Enqueue(Arc::clone(&conflict))]);
        }
        blocked.untrack(&key_of(&conflict));
        blocked.block(Arc::clone(&conflict), now);
        assert_eq!(blocked.unblock_conflicts(now.plus(FIRST_WAIT)), [Action::Enqueue(conflict)]);
        assert_eq!(blocked.stats().blocked, 1, "what waits for room does so still");
    }
}
