//! The leader's queue of work: broker and blocked evaluations behind one lock, and who waits for them.
//!
//! Performs the actions of the two state machines: wakes workers, carries evaluations from one to the other, and collects in
//! the outbox what has to be written (`duty::outbox` writes it). Fed by `duty::feeder` with what was applied.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nomadd_model::{Evaluation, EvaluationId, EvaluationStatus, NodeId, Text, Time};
use nomadd_runtime::Clock;
use tokio::sync::Notify;

use crate::blocked::{self, Blocked};
use crate::broker::{self, Broker, Delivery, Limits, StaleDelivery, Token, key_of};

/// Something to be written, found while evaluations were moved about.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// A newer evaluation of the job was processed.
    Superseded(EvaluationId),
    /// Another evaluation blocks for the same job.
    Duplicate(Arc<Evaluation>),
    /// It was delivered too often.
    GaveUp(Arc<Evaluation>),
}

/// More workers than all servers of a cluster have.
const MOST_WORKERS: usize = 1024;

/// How much waits where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// In the broker.
    pub broker: broker::Stats,
    /// Blocked.
    pub blocked: blocked::Stats,
    /// To be written as ended.
    pub cancelable: usize,
}

#[derive(Debug)]
struct Inner {
    leading: bool,
    paused: bool,
    broker: Broker,
    blocked: Blocked,
    outbox: Vec<Ended>,
    /// What workers on other servers were given last.
    given: BTreeMap<u64, (EvaluationId, Token)>,
    /// When `keep_time` looks again; never, when nothing is due.
    planned: Option<Time>,
}

/// The queue; handed out as a borrow by the server.
#[derive(Debug)]
pub struct Queue {
    clock: Clock,
    inner: Mutex<Inner>,
    ready: Notify,
    outbox: Notify,
    due: Notify,
}

impl Queue {
    /// An empty queue of a server that does not lead.
    pub fn new(limits: Limits, clock: Clock) -> Self {
        let inner = Inner {
            leading: false,
            paused: false,
            broker: Broker::new(limits),
            blocked: Blocked::default(),
            outbox: Vec::new(),
            given: BTreeMap::new(),
            planned: None,
        };
        Self { clock, inner: Mutex::new(inner), ready: Notify::new(), outbox: Notify::new(), due: Notify::new() }
    }

    /// Begins anew with the open evaluations of the state (a new leader, or after a restore). Blocked ones go on at once when
    /// one of these nodes, each with its class and the index of its change, has changed since they were worked on.
    pub fn restore<'a>(
        &self,
        open: impl Iterator<Item = &'a Arc<Evaluation>>,
        helpful: &[(NodeId, Text, u64)],
        paused: Paused,
    ) {
        let mut inner = self.lock();
        inner.leading = true;
        inner.paused = paused == Paused::Yes;
        inner.broker.begin_anew();
        inner.blocked = Blocked::default();
        inner.outbox.clear();
        inner.given.clear();
        for (node, class, index) in helpful {
            // Nothing waits yet: this is remembered for those that come now.
            inner.blocked.unblock(*node, class, *index, self.clock.now());
        }
        // In the order in which they came, as if there had been no restart.
        let mut open: Vec<_> = open.collect();
        open.sort_unstable_by_key(|evaluation| (evaluation.create_index, evaluation.id));
        for evaluation in open {
            self.route(&mut inner, Arc::clone(evaluation));
        }
    }

    /// Forgets everything: this server no longer leads.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.leading = false;
        inner.broker.begin_anew();
        inner.blocked = Blocked::default();
        inner.outbox.clear();
        inner.given.clear();
    }

    /// Lets evaluations wait, or be worked on again; what is with a worker stays there.
    pub fn set_paused(&self, paused: Paused) {
        let mut inner = self.lock();
        inner.paused = paused == Paused::Yes;
        if paused == Paused::No {
            self.ready.notify_waiters();
            self.ready.notify_one();
        }
    }

    /// Forgets evaluations that were deleted.
    pub fn forget(&self, ids: &[EvaluationId]) {
        let mut inner = self.lock();
        inner.blocked.forget(ids);
        let actions = inner.broker.forget(ids);
        self.perform_broker(&mut inner, actions);
    }

    /// Takes in what was written about an evaluation.
    pub fn feed(&self, evaluation: Arc<Evaluation>) {
        let mut inner = self.lock();
        if inner.leading {
            self.route(&mut inner, evaluation);
        }
    }

    /// A node came, became ready or has room again.
    pub fn unblock(&self, node: NodeId, class: &Text, index: u64) {
        let mut inner = self.lock();
        let actions = inner.blocked.unblock(node, class, index, self.clock.now());
        self.perform_blocked(&mut inner, actions);
    }

    /// Evaluations whose plans were refused too often are tried again when they have waited.
    pub fn unblock_conflicts(&self) {
        let mut inner = self.lock();
        let actions = inner.blocked.unblock_conflicts(self.clock.now());
        self.perform_blocked(&mut inner, actions);
    }

    /// The next evaluation; waits for one.
    pub async fn take(&self) -> Delivery {
        loop {
            let ready = self.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            {
                let mut inner = self.lock();
                if inner.leading
                    && !inner.paused
                    && let Some(delivery) = inner.broker.dequeue(self.clock.now())
                {
                    self.plan(&inner);
                    return delivery;
                }
            }
            ready.await;
        }
    }

    /// The next evaluation for a worker on another server, by its number. It asks for one at a time: what it was given
    /// before and has not settled was lost on the way, there or back, and comes again without waiting for its time to be over.
    pub async fn take_for(&self, worker: u64) -> Delivery {
        let before = self.lock().given.remove(&worker);
        if let Some((id, token)) = before
            && self.refuse(id, token).is_ok()
        {
            tracing::debug!(evaluation = %id, "a worker lost an evaluation on the way; it will be tried again");
        }
        let delivery = self.take().await;
        let mut inner = self.lock();
        if inner.given.len() >= MOST_WORKERS {
            inner.given.clear();
        }
        inner.given.insert(worker, (delivery.evaluation.id, delivery.token));
        delivery
    }

    /// The worker is done with it.
    pub fn acknowledge(&self, id: EvaluationId, token: Token) -> Result<(), StaleDelivery> {
        let mut inner = self.lock();
        let actions = inner.broker.acknowledge(id, token, self.clock.now())?;
        self.perform_broker(&mut inner, actions);
        Ok(())
    }

    /// The worker could not finish it.
    pub fn refuse(&self, id: EvaluationId, token: Token) -> Result<(), StaleDelivery> {
        let mut inner = self.lock();
        let actions = inner.broker.refuse(id, token, self.clock.now())?;
        self.perform_broker(&mut inner, actions);
        self.plan(&inner);
        Ok(())
    }

    /// The worker waits for its plan: that time is not its own.
    pub fn pause(&self, id: EvaluationId, token: Token) -> Result<(), StaleDelivery> {
        self.lock().broker.pause(id, token)
    }

    /// Pauses a delivery until the guard is let go, also by a call that is given up in the middle.
    pub fn pausing(&self, id: EvaluationId, token: Token) -> Result<Pausing<'_>, StaleDelivery> {
        self.pause(id, token)?;
        Ok(Pausing { queue: self, id, token, over: false })
    }

    /// The worker goes on.
    pub fn resume(&self, id: EvaluationId, token: Token) -> Result<(), StaleDelivery> {
        self.lock().broker.resume(id, token, self.clock.now())
    }

    /// What has to be written; waits for something.
    pub async fn ended(&self) -> Vec<Ended> {
        loop {
            let notified = self.outbox.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let ended = std::mem::take(&mut self.lock().outbox);
            if !ended.is_empty() {
                return ended;
            }
            notified.await;
        }
    }

    /// Lets time pass for delayed evaluations and silent workers, for ever.
    pub async fn keep_time(&self) {
        loop {
            let due = self.due.notified();
            tokio::pin!(due);
            due.as_mut().enable();
            let next = {
                let mut inner = self.lock();
                let now = self.clock.now();
                let actions = inner.broker.tick(now);
                self.perform_broker(&mut inner, actions);
                inner.planned = inner.broker.next_due();
                inner.planned.map(|next| next.since(now).to_std())
            };
            match next {
                // At least a millisecond: the clock of the system may run a little behind the timer.
                Some(wait) => {
                    tokio::select! {
                        () = tokio::time::sleep(wait.max(std::time::Duration::from_millis(1))) => {}
                        () = due => {}
                    }
                }
                None => due.await,
            }
        }
    }

    /// Whether it is with a worker at the moment.
    pub fn is_in_flight(&self, id: EvaluationId) -> bool {
        self.lock().broker.is_in_flight(id)
    }

    /// How much waits where.
    pub fn stats(&self) -> Stats {
        let inner = self.lock();
        Stats { broker: inner.broker.stats(), blocked: inner.blocked.stats(), cancelable: inner.outbox.len() }
    }

    /// Ready evaluations by type of scheduler.
    pub fn ready_by_kind(&self) -> BTreeMap<Text, usize> {
        self.lock().broker.ready_by_kind()
    }

    fn route(&self, inner: &mut Inner, evaluation: Arc<Evaluation>) {
        match evaluation.status {
            EvaluationStatus::Pending => {
                inner.blocked.forget(&[evaluation.id]);
                let actions = inner.broker.enqueue(evaluation, self.clock.now());
                self.perform_broker(inner, actions);
                self.plan(inner);
            }
            EvaluationStatus::Blocked => {
                let actions = inner.blocked.block(evaluation, self.clock.now());
                self.perform_blocked(inner, actions);
            }
            EvaluationStatus::Complete | EvaluationStatus::Failed | EvaluationStatus::Canceled => {
                inner.blocked.forget(&[evaluation.id]);
                if evaluation.status == EvaluationStatus::Complete && evaluation.failed_tg_allocs.is_empty() {
                    // Everything is placed: what waited for room has nothing to wait for. Its record is written by apply.
                    inner.blocked.untrack(&key_of(&evaluation));
                }
                // A worker's own result comes by here, too, before it is acknowledged: that delivery stays.
                if !inner.broker.is_in_flight(evaluation.id) {
                    let actions = inner.broker.forget(&[evaluation.id]);
                    self.perform_broker(inner, actions);
                }
            }
        }
    }

    fn perform_broker(&self, inner: &mut Inner, actions: Vec<broker::Action>) {
        for action in actions {
            match action {
                broker::Action::Wake => self.ready.notify_one(),
                broker::Action::Cancel(ids) => self.put_out(inner, ids.into_iter().map(Ended::Superseded)),
                broker::Action::GiveUp(evaluation) => self.put_out(inner, [Ended::GaveUp(evaluation)]),
            }
        }
    }

    fn perform_blocked(&self, inner: &mut Inner, actions: Vec<blocked::Action>) {
        for action in actions {
            match action {
                blocked::Action::Enqueue(evaluation) => {
                    let actions = inner.broker.enqueue(evaluation, self.clock.now());
                    self.perform_broker(inner, actions);
                    self.plan(inner);
                }
                blocked::Action::Cancel(evaluation) => self.put_out(inner, [Ended::Duplicate(evaluation)]),
            }
        }
    }

    /// Wakes `keep_time` when something is due before it would look by itself; what is due later than planned it finds then.
    fn plan(&self, inner: &Inner) {
        if let Some(next) = inner.broker.next_due()
            && inner.planned.is_none_or(|planned| next < planned)
        {
            self.due.notify_one();
        }
    }

    fn put_out(&self, inner: &mut Inner, ended: impl IntoIterator<Item = Ended>) {
        inner.outbox.extend(ended);
        self.outbox.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery whose time stands still.
#[derive(Debug)]
pub struct Pausing<'q> {
    queue: &'q Queue,
    id: EvaluationId,
    token: Token,
    over: bool,
}

impl Pausing<'_> {
    /// The worker goes on; refused when the delivery is in other hands by now.
    pub fn end(mut self) -> Result<(), StaleDelivery> {
        self.over = true;
        self.queue.resume(self.id, self.token)
    }
}

impl Drop for Pausing<'_> {
    fn drop(&mut self) {
        if !self.over {
            // A stale delivery is in somebody else's hands already.
            let _ = self.queue.resume(self.id, self.token);
        }
    }
}

/// Whether the operator has paused the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// Evaluations wait.
    Yes,
    /// Evaluations are worked on.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> (Queue, EvaluationId) {
        let queue = Queue::new(Limits { first_delay: nomadd_model::Duration(0), ..Limits::default() }, Clock::system());
        let id = EvaluationId([7; 16]);
        let evaluation = Evaluation { id, kind: "service".into(), job_id: "j".into(), ..Evaluation::default() };
        queue.restore([Arc::new(evaluation)].iter(), &[], Paused::No);
        (queue, id)
    }

    #[tokio::test]
    async fn what_was_lost_on_the_way_to_a_worker_comes_again_when_it_asks() {
        let (queue, id) = queue();
        let lost = queue.take_for(5).await;
        assert_eq!(lost.evaluation.id, id);
        let timely = tokio::time::timeout(std::time::Duration::from_secs(60), async {
            tokio::select! {
                again = queue.take_for(5) => again,
                () = queue.keep_time() => unreachable!("it keeps time for ever"),
            }
        });
        let again = timely.await.expect("it comes before the time of a delivery is over");
        assert_eq!(again.evaluation.id, id);
        assert!(queue.acknowledge(id, lost.token).is_err(), "the first one does not count any more");
        queue.acknowledge(id, again.token).unwrap();
    }

    #[tokio::test]
    async fn the_time_of_a_delivery_goes_on_when_a_call_is_given_up() {
        let (queue, id) = queue();
        let delivery = queue.take().await;
        let due = |queue: &Queue| queue.lock().broker.next_due();
        let before = due(&queue);
        let pausing = queue.pausing(id, delivery.token).unwrap();
        assert!(before.is_some() && due(&queue).is_none());
        drop(pausing);
        assert!(due(&queue).is_some());
        queue.pausing(id, delivery.token).unwrap().end().unwrap();
        queue.acknowledge(id, delivery.token).unwrap();
    }
}
