//! Who waits for what: watchers of keys, spread over shards by the key's hash, so that a change wakes exactly those who
//! asked for it and costs nothing for the rest. The apply thread wakes; blocking queries and leader duties watch.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nomadd_state::WatchKey;
use tokio::sync::Notify;

const SHARDS: usize = 4096;

#[derive(Debug)]
struct Waiting {
    key: WatchKey,
    wake: Arc<Notify>,
}

/// The watchers of this server's state.
#[derive(Debug)]
pub(crate) struct Watchers {
    shards: Box<[Mutex<BTreeMap<u64, Waiting>>]>,
    next: AtomicU64,
}

fn shard(key: &WatchKey) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() as usize % SHARDS
}

impl Default for Watchers {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), next: AtomicU64::new(0) }
    }
}

impl Watchers {
    fn shard(&self, index: usize) -> MutexGuard<'_, BTreeMap<u64, Waiting>> {
        self.shards[index % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watch(self: &Arc<Self>, keys: impl IntoIterator<Item = WatchKey>) -> Watcher {
        let wake = Arc::new(Notify::new());
        let mut places = Vec::new();
        for key in keys {
            let (id, place) = (self.next.fetch_add(1, Ordering::Relaxed), shard(&key));
            self.shard(place).insert(id, Waiting { key, wake: Arc::clone(&wake) });
            places.push((place, id));
        }
        Watcher { watchers: Arc::clone(self), places, wake }
    }

    /// Wakes the watchers of a key.
    pub(crate) fn wake(&self, key: &WatchKey) {
        for waiting in self.shard(shard(key)).values().filter(|waiting| waiting.key == *key) {
            waiting.wake.notify_one();
        }
    }

    /// Wakes everybody: the whole state was replaced, or the room is going down.
    pub(crate) fn wake_all(&self) {
        for index in 0..SHARDS {
            self.shard(index).values().for_each(|waiting| waiting.wake.notify_one());
        }
    }
}

/// Waits for changes of some keys, from the moment it was made. Make it first, then look at the state, then wait: no change
/// is missed. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watcher {
    watchers: Arc<Watchers>,
    places: Vec<(usize, u64)>,
    wake: Arc<Notify>,
}

impl Watcher {
    /// Resolves when one of the keys has changed since the watcher was made, or since this last resolved. It may resolve once
    /// without a change; look at the state again.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        for (place, id) in &self.places {
            self.watchers.shard(*place).remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use nomadd_model::NodeId;
    use nomadd_state::Table;

    use super::*;

    fn woken(watcher: &Watcher) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(watcher.changed()).poll(&mut context).is_ready()
    }

    #[test]
    fn a_change_wakes_exactly_those_who_watch_its_key() {
        let watchers = Arc::new(Watchers::default());
        let jobs = watchers.watch([WatchKey::Table(Table::Jobs)]);
        let node = watchers.watch([WatchKey::Node(NodeId([1; 16])), WatchKey::Table(Table::Jobs)]);
        let other = watchers.watch([WatchKey::Node(NodeId([2; 16]))]);
        watchers.wake(&WatchKey::Node(NodeId([1; 16])));
        assert!(!woken(&jobs));
        assert!(woken(&node));
        assert!(!woken(&node), "only once");
        watchers.wake(&WatchKey::Table(Table::Jobs));
        assert!(woken(&jobs));
        assert!(woken(&node));
        assert!(!woken(&other));
        watchers.wake_all();
        assert!(woken(&other));
    }

    #[test]
    fn a_dropped_watcher_leaves_nothing_behind() {
        let watchers = Arc::new(Watchers::default());
        drop(watchers.watch([WatchKey::Table(Table::Nodes), WatchKey::Table(Table::Jobs)]));
        assert!((0..SHARDS).all(|index| watchers.shard(index).is_empty()));
    }
}
