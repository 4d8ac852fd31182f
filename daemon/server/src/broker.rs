//! The evaluation broker: which evaluation is worked on next.
//!
//! A pure state machine: evaluations, acknowledgements and the time go in, actions come out. Priority order, one evaluation
//! per job in flight, delayed evaluations, redelivery with delays up to a limit, cancelling what is superseded. Does no
//! I/O and keeps nothing over a change of leader; `queue` is the shell around it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nomadd_model::{Duration, Evaluation, EvaluationId, Text, Time};
use nomadd_state::JobKey;

/// How long and how often an evaluation is delivered.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A worker that is silent for so long has lost the evaluation.
    pub nack_timeout: Duration,
    /// After so many deliveries the evaluation has failed.
    pub delivery_limit: u32,
    /// The wait after the first failed delivery.
    pub first_delay: Duration,
    /// The wait after each later one, times the number of failed deliveries but one.
    pub later_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nack_timeout: Duration::from_secs(60),
            delivery_limit: 3,
            first_delay: Duration::from_secs(1),
            later_delay: Duration::from_secs(20),
        }
    }
}

/// Proof of one delivery: an acknowledgement of an earlier delivery does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub(crate) u64);

/// An evaluation handed to a worker.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What to work on.
    pub evaluation: Arc<Evaluation>,
    /// What to acknowledge with.
    pub token: Token,
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// An evaluation became ready: wake a worker.
    Wake,
    /// These were superseded by a newer evaluation of their job: write them as cancelled.
    Cancel(Vec<EvaluationId>),
    /// It was delivered too often: write it as failed and follow up later.
    GiveUp(Arc<Evaluation>),
}

/// The acknowledgement is of a delivery that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the evaluation was not delivered with this token, or its time has run out")]
pub struct StaleDelivery;

/// How much waits where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Ready for a worker.
    pub ready: usize,
    /// With a worker.
    pub in_flight: usize,
    /// Waiting for another evaluation of their job.
    pub pending: usize,
    /// Waiting for their time.
    pub delayed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Delayed(Time),
    Pending,
    Ready,
    /// With its delivery and the time at which that runs out (`None`: not at the moment).
    InFlight(Token, Option<Time>),
}

#[derive(Debug)]
struct Known {
    evaluation: Arc<Evaluation>,
    deliveries: u32,
    place: Place,
    /// It came in again while a worker had it.
    again: Option<Arc<Evaluation>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// The evaluation that is ready, in flight or waiting for its redelivery.
    current: Option<EvaluationId>,
    /// By priority, then by how new they are.
    pending: BTreeSet<(i64, u64, EvaluationId)>,
}

type ReadyKey = (Reverse<i64>, u64, EvaluationId);

/// The broker.
#[derive(Debug)]
pub struct Broker {
    limits: Limits,
    known: BTreeMap<EvaluationId, Known>,
    jobs: BTreeMap<JobKey, Slot>,
    ready: BTreeSet<ReadyKey>,
    delayed: BTreeSet<(Time, EvaluationId)>,
    timeouts: BTreeSet<(Time, EvaluationId)>,
    pending: usize,
    in_flight: usize,
    last_token: u64,
}

impl Broker {
    /// An empty broker.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            known: BTreeMap::new(),
            jobs: BTreeMap::new(),
            ready: BTreeSet::new(),
            delayed: BTreeSet::new(),
            timeouts: BTreeSet::new(),
            pending: 0,
            in_flight: 0,
            last_token: 0,
        }
    }

    /// Forgets everything but which tokens it gave: a worker of before must not hold one that is given again, also when this server
    /// has lost a majority for a while and leads on in the same term.
    pub fn begin_anew(&mut self) {
        *self = Self { last_token: self.last_token, ..Self::new(self.limits) };
    }

    /// Takes an evaluation in. One that a worker has at the moment comes back once that is acknowledged.
    pub fn enqueue(&mut self, evaluation: Arc<Evaluation>, now: Time) -> Vec<Action> {
        let id = evaluation.id;
        if let Some(known) = self.known.get_mut(&id) {
            if matches!(known.place, Place::InFlight(..)) {
                known.again = Some(evaluation);
            }
            return Vec::new();
        }
        let until = match (evaluation.wait_until, evaluation.wait) {
            (until, _) if until > now => Some(until),
            (Time(0), wait) if wait.0 > 0 => Some(now.plus(wait)),
            _ => None,
        };
        let place = until.map_or(Place::Pending, Place::Delayed);
        self.known.insert(id, Known { evaluation, deliveries: 0, place, again: None });
        match until {
            Some(until) => {
                self.delayed.insert((until, id));
                Vec::new()
            }
            None => self.admit(id),
        }
    }

    /// The next evaluation for a worker.
    pub fn dequeue(&mut self, now: Time) -> Option<Delivery> {
        let (_, _, id) = self.ready.pop_first()?;
        self.last_token += 1;
        let token = Token(self.last_token);
        let deadline = now.plus(self.limits.nack_timeout);
        let known = self.known.get_mut(&id)?;
        known.deliveries += 1;
        known.place = Place::InFlight(token, Some(deadline));
        self.timeouts.insert((deadline, id));
        self.in_flight += 1;
        Some(Delivery { evaluation: Arc::clone(&known.evaluation), token })
    }

    /// The worker is done with it. The newest of what waits for this job goes on, the rest is superseded.
    pub fn acknowledge(&mut self, id: EvaluationId, token: Token, now: Time) -> Result<Vec<Action>, StaleDelivery> {
        self.end_flight(id, token)?;
        let Some(known) = self.known.remove(&id) else { return Ok(Vec::new()) };
        let mut actions = self.release(id, &key_of(&known.evaluation));
        if let Some(again) = known.again {
            actions.extend(self.enqueue(again, now));
        }
        Ok(actions)
    }

    /// The worker could not finish it: it comes again later, or has failed for good.
    pub fn refuse(&mut self, id: EvaluationId, token: Token, now: Time) -> Result<Vec<Action>, StaleDelivery> {
        self.end_flight(id, token)?;
        Ok(self.redeliver(id, now))
    }

    /// Stops the clock of a delivery while the worker waits for something that is not its own (a plan being written).
    pub fn pause(&mut self, id: EvaluationId, token: Token) -> Result<(), StaleDelivery> {
        let known = self.known.get_mut(&id).ok_or(StaleDelivery)?;
        match known.place {
            Place::InFlight(held, deadline) if held == token => {
                known.place = Place::InFlight(token, None);
                if let Some(deadline) = deadline {
                    self.timeouts.remove(&(deadline, id));
                }
                Ok(())
            }
            _ => Err(StaleDelivery),
        }
    }

    /// Starts the clock of a delivery again, from the beginning.
    pub fn resume(&mut self, id: EvaluationId, token: Token, now: Time) -> Result<(), StaleDelivery> {
        self.pause(id, token)?;
        let deadline = now.plus(self.limits.nack_timeout);
        if let Some(known) = self.known.get_mut(&id) {
            known.place = Place::InFlight(token, Some(deadline));
            self.timeouts.insert((deadline, id));
        }
        Ok(())
    }

    /// Time passes: delayed evaluations become ready, silent workers lose theirs.
    pub fn tick(&mut self, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(&(deadline, id)) = self.timeouts.first() {
            if deadline > now {
                break;
            }
            self.timeouts.pop_first();
            if let Some(Known { place: Place::InFlight(token, _), .. }) = self.known.get(&id) {
                let token = *token;
                if self.end_flight(id, token).is_ok() {
                    actions.extend(self.redeliver(id, now));
                }
            }
        }
        while let Some(&(until, id)) = self.delayed.first() {
            if until > now {
                break;
            }
            self.delayed.pop_first();
            actions.extend(self.admit(id));
        }
        actions
    }

    /// When `tick` has something to do next.
    pub fn next_due(&self) -> Option<Time> {
        let first = |set: &BTreeSet<(Time, EvaluationId)>| set.first().map(|(time, _)| *time);
        [first(&self.delayed), first(&self.timeouts)].into_iter().flatten().min()
    }

    /// Forgets evaluations that no longer exist or were ended by somebody else.
    pub fn forget(&mut self, ids: &[EvaluationId]) -> Vec<Action> {
        let mut actions = Vec::new();
        for &id in ids {
            let Some(known) = self.known.remove(&id) else { continue };
            let key = key_of(&known.evaluation);
            match known.place {
                Place::Delayed(until) => {
                    self.delayed.remove(&(until, id));
                }
                Place::Ready => {
                    self.ready.remove(&ready_key(&known.evaluation));
                }
                Place::Pending => {
                    if let Some(slot) = self.jobs.get_mut(&key)
                        && slot.pending.remove(&pending_key(&known.evaluation))
                    {
                        self.pending -= 1;
                    }
                }
                Place::InFlight(_, deadline) => {
                    self.in_flight -= 1;
                    if let Some(deadline) = deadline {
                        self.timeouts.remove(&(deadline, id));
                    }
                }
            }
            actions.extend(self.release(id, &key));
        }
        actions
    }

    /// Whether it is with a worker now.
    pub fn is_in_flight(&self, id: EvaluationId) -> bool {
        matches!(self.known.get(&id), Some(Known { place: Place::InFlight(..), .. }))
    }

    /// How much waits where.
    pub fn stats(&self) -> Stats {
        Stats { ready: self.ready.len(), in_flight: self.in_flight, pending: self.pending, delayed: self.delayed.len() }
    }

    /// Ready evaluations by type of scheduler.
    pub fn ready_by_kind(&self) -> BTreeMap<Text, usize> {
        let mut counts = BTreeMap::new();
        for (_, _, id) in &self.ready {
            if let Some(known) = self.known.get(id) {
                *counts.entry(known.evaluation.kind.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// Puts an evaluation that waits for nothing into the queue, or behind the one of its job that is there already.
    fn admit(&mut self, id: EvaluationId) -> Vec<Action> {
        let Some(known) = self.known.get_mut(&id) else { return Vec::new() };
        let slot = self.jobs.entry(key_of(&known.evaluation)).or_default();
        match slot.current {
            Some(current) if current != id => {
                known.place = Place::Pending;
                if slot.pending.insert(pending_key(&known.evaluation)) {
                    self.pending += 1;
                }
                Vec::new()
            }
            _ => {
                slot.current = Some(id);
                known.place = Place::Ready;
                self.ready.insert(ready_key(&known.evaluation));
                vec![Action::Wake]
            }
        }
    }

    fn end_flight(&mut self, id: EvaluationId, token: Token) -> Result<(), StaleDelivery> {
        match self.known.get(&id) {
            Some(Known { place: Place::InFlight(held, deadline), .. }) if *held == token => {
                if let Some(deadline) = deadline {
                    self.timeouts.remove(&(*deadline, id));
                }
                self.in_flight -= 1;
                Ok(())
            }
            _ => Err(StaleDelivery),
        }
    }

    fn redeliver(&mut self, id: EvaluationId, now: Time) -> Vec<Action> {
        let Some(known) = self.known.get_mut(&id) else { return Vec::new() };
        if known.deliveries >= self.limits.delivery_limit {
            let evaluation = Arc::clone(&known.evaluation);
            self.known.remove(&id);
            let mut actions = vec![Action::GiveUp(Arc::clone(&evaluation))];
            actions.extend(self.release(id, &key_of(&evaluation)));
            return actions;
        }
        if let Some(again) = known.again.take() {
            known.evaluation = again;
        }
        let delay = match known.deliveries {
            0 | 1 => self.limits.first_delay,
            more => Duration(self.limits.later_delay.0.saturating_mul(i64::from(more - 1))),
        };
        let until = now.plus(delay);
        known.place = Place::Delayed(until);
        self.delayed.insert((until, id));
        Vec::new()
    }

    /// The job's place is free again if `id` held it.
    fn release(&mut self, id: EvaluationId, key: &JobKey) -> Vec<Action> {
        let Some(slot) = self.jobs.get_mut(key) else { return Vec::new() };
        if slot.current != Some(id) {
            if slot.current.is_none() && slot.pending.is_empty() {
                self.jobs.remove(key);
            }
            return Vec::new();
        }
        slot.current = None;
        let next = slot.pending.pop_last();
        let superseded: Vec<_> = std::mem::take(&mut slot.pending).into_iter().map(|(_, _, id)| id).collect();
        self.pending -= superseded.len() + usize::from(next.is_some());
        for id in &superseded {
            self.known.remove(id);
        }
        let mut actions = Vec::new();
        if !superseded.is_empty() {
            actions.push(Action::Cancel(superseded));
        }
        match next {
            Some((_, _, next)) => actions.extend(self.admit(next)),
            None => {
                self.jobs.remove(key);
            }
        }
        actions
    }
}

/// The job that an evaluation is about.
pub fn key_of(evaluation: &Evaluation) -> JobKey {
    JobKey::new(&evaluation.namespace, &evaluation.job_id)
}
fn ready_key(evaluation: &Evaluation) -> ReadyKey {
    (Reverse(evaluation.priority), evaluation.create_index, evaluation.id)
}
fn pending_key(evaluation: &Evaluation) -> (i64, u64, EvaluationId) {
    (evaluation.priority, evaluation.modify_index, evaluation.id)
}

#[cfg(test)]
#[path = "broker/tests.rs"]
mod tests;
