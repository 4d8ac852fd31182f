//! Counters of what the sockets see; what the core drops it counts itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::member::Dropped;
use crate::seal::Shut;

/// Counters; only ever go up.
#[derive(Debug, Default)]
pub struct Counters {
    pub received: AtomicU64,
    pub sent: AtomicU64,
    foreign: AtomicU64,
    wrong_key: AtomicU64,
    unencrypted: AtomicU64,
    encrypted: AtomicU64,
    oversized: AtomicU64,
    malformed: AtomicU64,
    overload: AtomicU64,
}

fn more(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub fn received(&self) {
        more(&self.received);
    }
    pub fn sent(&self) {
        more(&self.sent);
    }
    pub fn shut(&self, why: Shut) {
        more(match why {
            Shut::Foreign => &self.foreign,
            Shut::WrongKey => &self.wrong_key,
            Shut::Unencrypted => &self.unencrypted,
            Shut::Encrypted => &self.encrypted,
        });
    }
    pub fn oversized(&self) {
        more(&self.oversized);
    }
    pub fn malformed(&self) {
        more(&self.malformed);
    }
    pub fn overload(&self) {
        more(&self.overload);
    }

    /// Together with what the core dropped.
    pub fn dropped(&self, core: Dropped) -> Dropped {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Dropped {
            foreign: core.foreign + of(&self.foreign),
            wrong_key: core.wrong_key + of(&self.wrong_key),
            unencrypted: core.unencrypted + of(&self.unencrypted),
            encrypted: core.encrypted + of(&self.encrypted),
            malformed: core.malformed + of(&self.malformed),
            oversized: core.oversized + of(&self.oversized),
            overload: core.overload + of(&self.overload),
            replayed: core.replayed,
            stale: core.stale,
            conflict: core.conflict,
        }
    }
}
