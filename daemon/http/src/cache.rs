//! Answers that many ask for: kept as bytes until what they show has another index, and made once for all who ask at that moment.
//!
//! Bounded in count and in bytes; a stale or foreign answer is impossible because the index is part of the match.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::crowd::Crowd;

/// How many answers are kept.
const MOST: usize = 128;
/// The largest answer that is kept, and the most of all together, in bytes.
const LARGEST: usize = 4 << 20;
const TOGETHER: usize = 16 << 20;

/// An answer: its bytes, and where the next page begins.
#[derive(Clone, Debug)]
pub struct Made {
    /// The JSON.
    pub bytes: Bytes,
    /// The token of the next page.
    pub next: Option<String>,
}

/// One answer; its lock is held while it is made, so that others who want the same wait for it.
type Slot = Arc<Mutex<Option<(u64, Made)>>>;

/// The kept answers, and who waits for new ones.
#[derive(Debug, Default)]
pub struct Cache {
    slots: Mutex<BTreeMap<String, Slot>>,
    /// Who waits for changes of lists.
    pub(crate) crowd: Crowd,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// The answer to `key` as of `index`; made by `make` when it is not there.
    pub fn get<E>(&self, key: &str, index: u64, make: impl FnOnce() -> Result<Made, E>) -> Result<Made, E> {
        if key.len() > 512 {
            return make();
        }
        let slot = self.slot(key);
        let mut kept = lock(&slot);
        match &*kept {
            Some((of, made)) if *of == index => return Ok(made.clone()),
            // A newer one is there: who is late is served apart.
            Some((of, _)) if *of > index => return make(),
            _ => {}
        }
        let made = make()?;
        // A slot that is let go of frees its bytes with the last who reads them.
        *kept = Some((index, made.clone())).filter(|(_, made)| made.bytes.len() <= LARGEST);
        drop(kept);
        self.trim(made.bytes.len());
        Ok(made)
    }

    fn slot(&self, key: &str) -> Slot {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        if slots.len() >= MOST {
            slots.clear();
        }
        Arc::clone(slots.entry(key.to_owned()).or_default())
    }

    /// Lets go of everything when it is too much; a small answer changes nothing worth counting.
    fn trim(&self, added: usize) {
        if added <= TOGETHER / MOST {
            return;
        }
        let mut slots = lock(&self.slots);
        let size =
            |slot: &Slot| slot.try_lock().map_or(0, |kept| kept.as_ref().map_or(0, |(_, made)| made.bytes.len()));
        if slots.values().map(size).sum::<usize>() > TOGETHER {
            slots.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn made(text: &str) -> Result<Made, Infallible> {
        Ok(Made { bytes: Bytes::copy_from_slice(text.as_bytes()), next: None })
    }

    #[test]
    fn many_who_ask_at_once_share_one_serialisation() {
        let (cache, count) = (Cache::default(), AtomicUsize::new(0));
        let barrier = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    let make = || {
                        count.fetch_add(1, Ordering::Relaxed);
                        made("[]")
                    };
                    assert_eq!(cache.get("jobs", 7, make).unwrap().bytes, "[]");
                });
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_answer_of_another_index_is_never_given() {
        let cache = Cache::default();
        assert_eq!(cache.get("jobs", 7, || made("seven")).unwrap().bytes, "seven");
        assert_eq!(cache.get("jobs", 8, || made("eight")).unwrap().bytes, "eight");
        assert_eq!(cache.get("jobs", 7, || made("again")).unwrap().bytes, "again");
        assert_eq!(cache.get("jobs", 8, || made("wrong")).unwrap().bytes, "eight");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let cache = Cache::default();
        let large = "x".repeat(3 << 20);
        for number in 0..20 {
            cache.get(&format!("list {number}"), 1, || made(&large)).unwrap();
        }
        let kept: usize =
            lock(&cache.slots).values().map(|slot| lock(slot).as_ref().map_or(0, |(_, made)| made.bytes.len())).sum();
        assert!(kept <= TOGETHER, "{kept} bytes");
    }
}
