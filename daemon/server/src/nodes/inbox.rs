//! Which of a node's allocations servers changed, by id: brought to the node's subscription, so that a wake costs as much as
//! what changed and not as much as what the node has.
//!
//! Filled by one task per server from what `apply` says it changed; what nodes report themselves is not among that, and wakes
//! nobody. Bounded: a subscription that is behind looks through everything once instead. Also says how long a message waits
//! for more while thousands of allocations are placed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nomadd_model::{AllocationId, NodeId, Time};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::subscription::jobs::EncodedJobs;
use crate::server::Server;

/// More changes than this are not told one by one.
const MOST: usize = 4096;
/// So many messages in a second go at once. When there are more, thousands of tasks are being started, and each costs its
/// nodes and servers less when it goes with others.
const AT_ONCE: u64 = 500;
/// How long changes are collected then.
const COLLECT: Duration = Duration::from_millis(750);

/// The inboxes of the subscriptions of a server.
#[derive(Debug)]
pub(crate) struct Inboxes {
    all: Mutex<BTreeMap<NodeId, Vec<Arc<Inbox>>>>,
    rate: Mutex<Rate>,
    next: AtomicU64,
    jobs: EncodedJobs,
    looks: Semaphore,
}

impl Default for Inboxes {
    fn default() -> Self {
        // Thousands of nodes that subscribe anew at once leave the other half of the threads to those who ask.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            all: Mutex::default(),
            rate: Mutex::default(),
            next: AtomicU64::default(),
            jobs: EncodedJobs::default(),
            looks: Semaphore::new((cores / 2).max(1)),
        }
    }
}

/// How many messages were made in a second and in the one before.
#[derive(Debug, Default)]
struct Rate {
    second: i64,
    count: u64,
    before: u64,
}

/// What a subscription has not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    number: u64,
    changed: Mutex<Changed>,
    wake: Notify,
}

/// Some allocations, or more than can be told.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) ids: Vec<AllocationId>,
    pub(crate) everything: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, ids: impl Iterator<Item = AllocationId>) {
        let mut changed = self.lock();
        if !changed.everything {
            changed.ids.extend(ids);
            if changed.ids.len() > MOST {
                *changed = Changed { ids: Vec::new(), everything: true };
            }
        }
        drop(changed);
        self.wake.notify_one();
    }

    fn put_everything(&self) {
        *self.lock() = Changed { ids: Vec::new(), everything: true };
        self.wake.notify_one();
    }

    /// Resolves when something was put since this last resolved; perhaps once without.
    pub(crate) async fn filled(&self) {
        self.wake.notified().await;
    }

    /// What changed since this was last asked, each allocation once.
    pub(crate) fn take(&self) -> Changed {
        let mut changed = std::mem::take(&mut *self.lock());
        changed.ids.sort_unstable();
        changed.ids.dedup();
        changed
    }
}

impl Inboxes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Vec<Arc<Inbox>>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new inbox of a node. Open it first, then look at the state: no change is missed.
    pub(crate) fn open(&self, node: NodeId) -> Arc<Inbox> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let inbox = Arc::new(Inbox { number, ..Inbox::default() });
        self.lock().entry(node).or_default().push(Arc::clone(&inbox));
        inbox
    }

    /// The jobs that go with the messages.
    pub(crate) fn jobs(&self) -> &EncodedJobs {
        &self.jobs
    }

    /// Waits for one's turn to look at everything that a node has; the turn is over when what is returned is dropped.
    pub(crate) async fn look(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.looks.acquire().await.ok()
    }

    /// The subscription is over.
    pub(crate) fn close(&self, node: NodeId, inbox: &Inbox) {
        let mut all = self.lock();
        let Some(of_node) = all.get_mut(&node) else { return };
        of_node.retain(|open| open.number != inbox.number);
        if of_node.is_empty() {
            all.remove(&node);
        }
    }

    /// Brings what changed to the inboxes of its nodes.
    fn put(&self, assigned: &[(NodeId, AllocationId)]) {
        let all = self.lock();
        for of_node in assigned.chunk_by(|a, b| a.0 == b.0) {
            let Some((node, _)) = of_node.first() else { continue };
            for inbox in all.get(node).into_iter().flatten() {
                inbox.put(of_node.iter().map(|(_, id)| *id));
            }
        }
    }

    fn put_everything(&self) {
        self.lock().values().flatten().for_each(|inbox| inbox.put_everything());
    }

    /// How long a message that is about to be made should wait for more.
    pub(crate) fn patience(&self, now: Time) -> Duration {
        let second = now.unix_nanos() / 1_000_000_000;
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if rate.second != second {
            let before = if second == rate.second + 1 { rate.count } else { 0 };
            *rate = Rate { second, count: 0, before };
        }
        rate.count += 1;
        if rate.count.max(rate.before) > AT_ONCE { COLLECT } else { Duration::ZERO }
    }
}

/// Fills the inboxes, for ever.
pub(crate) async fn fill(server: Server) {
    let mut events = server.raft().events();
    loop {
        match events.recv().await {
            Ok(batch) if batch.replaced => server.inboxes().put_everything(),
            Ok(batch) => server.inboxes().put(&batch.assigned),
            Err(RecvError::Lagged(_)) => server.inboxes().put_everything(),
            Err(RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([1; 16]);
    const ONE: AllocationId = AllocationId([5; 16]);

    #[test]
    fn changes_reach_every_inbox_of_their_node_and_no_other() {
        let inboxes = Inboxes::default();
        let (one, two, other) = (inboxes.open(NODE), inboxes.open(NODE), inboxes.open(NodeId([2; 16])));
        inboxes.put(&[(NODE, ONE), (NODE, AllocationId([6; 16])), (NodeId([3; 16]), ONE)]);
        assert_eq!((one.take().ids.len(), two.take().ids.len(), other.take().ids.len()), (2, 2, 0));
        inboxes.close(NODE, &one);
        inboxes.put(&[(NODE, ONE)]);
        inboxes.put(&[(NODE, ONE)]);
        assert_eq!((one.take().ids.len(), two.take().ids.len()), (0, 1), "and each is told once");
    }

    #[test]
    fn an_inbox_that_is_behind_says_that_everything_has_to_be_looked_at() {
        let inboxes = Inboxes::default();
        let inbox = inboxes.open(NODE);
        (0..=MOST).for_each(|_| inboxes.put(&[(NODE, ONE)]));
        let changed = inbox.take();
        assert!(changed.everything && changed.ids.is_empty());
        assert!(!inbox.take().everything);
        inboxes.put(&[(NODE, ONE)]);
        inboxes.put_everything();
        assert!(inbox.take().everything, "another state is in the place of the one before");
    }

    #[test]
    fn messages_go_at_once_until_there_are_many_in_a_second() {
        let inboxes = Inboxes::default();
        let at = |second: i64| Time(second * 1_000_000_000);
        assert!((0..AT_ONCE).all(|_| inboxes.patience(at(7)) == Duration::ZERO));
        assert_eq!(inboxes.patience(at(7)), COLLECT);
        assert_eq!(inboxes.patience(at(8)), COLLECT, "and in the second after that");
        assert_eq!(inboxes.patience(at(9)), Duration::ZERO);
    }
}
