//! What servers have to be told of allocations: the newest state of each, in the order in which they changed, kept until a
//! server has acknowledged it.
//!
//! A change of status or health goes at once, and with it all that waits; what is only told (task events) waits up to a
//! second. What changes while a batch is under way makes the next batch. Bounded by the number of allocations. Filled by the
//! runners, sent by `server`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nomadd_model::{AllocationId, Time};
use nomadd_rpc::AllocationUpdate;
use tokio::sync::Notify;

/// The most updates in one batch.
const BATCH: usize = 1024;

/// How long an update waits that changes nothing that servers act on.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// How soon servers have to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// They act on it.
    Now,
    /// People read it.
    Soon,
}

/// The updates that wait.
#[derive(Debug, Default)]
pub struct Updates {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// The number of the newest batch.
    number: u64,
    urgent: bool,
    order: BTreeSet<(u64, AllocationId)>,
    updates: BTreeMap<AllocationId, (u64, AllocationUpdate)>,
}

/// Updates that are under way, and what identifies them when they are acknowledged.
#[derive(Debug)]
pub struct Batch {
    /// The updates in order.
    pub updates: Vec<AllocationUpdate>,
    numbers: Vec<(u64, AllocationId)>,
}

impl Updates {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the newest state of an allocation.
    pub fn put(&self, update: AllocationUpdate, urgency: Urgency) {
        let mut waiting = self.lock();
        let (id, number) = (update.id, waiting.next);
        waiting.next += 1;
        if let Some((earlier, _)) = waiting.updates.insert(id, (number, update)) {
            waiting.order.remove(&(earlier, id));
        }
        waiting.order.insert((number, id));
        waiting.urgent |= urgency == Urgency::Now;
        drop(waiting);
        self.changed.notify_one();
    }

    /// Forgets an allocation that servers no longer have.
    pub fn forget(&self, id: AllocationId) {
        let mut waiting = self.lock();
        if let Some((number, _)) = waiting.updates.remove(&id) {
            waiting.order.remove(&(number, id));
        }
    }

    /// Waits until there is something to send.
    pub async fn next(&self) -> Batch {
        let mut patience = None;
        loop {
            let changed = self.changed.notified();
            let (waiting, urgent) = {
                let waiting = self.lock();
                (!waiting.order.is_empty(), waiting.urgent)
            };
            if waiting && !urgent && patience.is_none() {
                patience = Some(tokio::time::Instant::now() + PATIENCE);
            }
            let over = patience.is_some_and(|end| end <= tokio::time::Instant::now());
            if (urgent || over)
                && let Some(batch) = self.batch()
            {
                return batch;
            }
            match patience {
                Some(end) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(end) => {}
                },
                None => changed.await,
            }
        }
    }

    fn batch(&self) -> Option<Batch> {
        let mut waiting = self.lock();
        waiting.urgent = waiting.order.len() > BATCH;
        let numbers: Vec<_> = waiting.order.iter().take(BATCH).copied().collect();
        let updates = numbers.iter().filter_map(|(_, id)| Some(waiting.updates.get(id)?.1.clone())).collect();
        (!numbers.is_empty()).then_some(Batch { updates, numbers })
    }

    /// Servers have a batch of this node with this number: the next ones are above it.
    pub fn numbered(&self, number: u64) {
        let mut waiting = self.lock();
        waiting.number = waiting.number.max(number);
    }

    /// The number of the batch that is sent now: higher than any before. The time keeps those of two lives of this agent apart.
    pub fn number(&self, now: Time) -> u64 {
        let mut waiting = self.lock();
        waiting.number = u64::try_from(now.0).unwrap_or(0).max(waiting.number + 1);
        waiting.number
    }

    /// Puts a batch that did not arrive back in line: it is due at once.
    pub fn retry(&self) {
        self.lock().urgent = true;
    }

    /// Takes out what a server has acknowledged; what changed since stays.
    pub fn acknowledge(&self, batch: &Batch) {
        let mut waiting = self.lock();
        for (number, id) in &batch.numbers {
            if waiting.order.remove(&(*number, *id)) {
                waiting.updates.remove(id);
            }
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.lock().updates.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nomadd_model::ClientStatus;

    fn update(id: u8, client_status: ClientStatus) -> AllocationUpdate {
        AllocationUpdate { id: AllocationId::from_random([id; 16]), client_status, ..AllocationUpdate::default() }
    }

    #[tokio::test]
    async fn the_newest_state_wins_and_nothing_is_lost_before_it_is_acknowledged() {
        let updates = Updates::default();
        updates.put(update(1, ClientStatus::Pending), Urgency::Now);
        updates.put(update(2, ClientStatus::Pending), Urgency::Now);
        let first = updates.next().await;
        assert_eq!(first.updates.len(), 2);
        updates.put(update(1, ClientStatus::Running), Urgency::Now);
        // The first batch fails: everything is still there, in the order of the last change.
        let again = updates.next().await;
        let seen: Vec<_> = again.updates.iter().map(|update| (update.id, update.client_status)).collect();
        let id = |id| AllocationId::from_random([id; 16]);
        assert_eq!(seen, [(id(2), ClientStatus::Pending), (id(1), ClientStatus::Running)]);
        // The first batch had arrived after all: what changed since still has to go.
        updates.acknowledge(&first);
        updates.retry();
        assert_eq!(updates.next().await.updates, [update(1, ClientStatus::Running)]);
        updates.acknowledge(&again);
        assert_eq!(updates.waiting(), 0);
    }

    #[test]
    fn batches_are_numbered_upwards_whatever_the_clock_does() {
        let updates = Updates::default();
        assert_eq!(updates.number(Time(1000)), 1000);
        assert_eq!(updates.number(Time(10)), 1001, "the clock was set back");
        updates.numbered(5000);
        updates.numbered(4000);
        assert_eq!(updates.number(Time(2000)), 5001, "servers have had more before this agent was restarted");
        assert_eq!(updates.number(Time(9000)), 9000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_acts_on_waits_for_a_second_or_for_what_is_urgent() {
        let updates = Updates::default();
        let begun = tokio::time::Instant::now();
        updates.put(update(1, ClientStatus::Pending), Urgency::Soon);
        let batch = updates.next().await;
        assert_eq!((batch.updates.len(), begun.elapsed()), (1, PATIENCE));
        updates.acknowledge(&batch);
        updates.put(update(1, ClientStatus::Pending), Urgency::Soon);
        updates.put(update(2, ClientStatus::Running), Urgency::Now);
        assert_eq!((updates.next().await.updates.len(), begun.elapsed()), (2, PATIENCE));
    }
}
