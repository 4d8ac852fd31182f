//! Many who wait for changes of lists: they are answered in rounds, so that a list that changes all the time costs a bounded
//! share of the processor however many look at it. A few are answered at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// As many are answered at once, always.
const FEW: usize = 64;
/// What each who waits adds to the time between two rounds: about 5,000 answers a second in all.
const EACH: Duration = Duration::from_micros(200);
/// The longest time between two rounds.
const LONGEST: Duration = Duration::from_secs(3);

/// Who waits.
#[derive(Debug, Default)]
pub struct Crowd {
    waiting: AtomicUsize,
    round: Mutex<Option<Round>>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    began: Instant,
    next: Instant,
}

/// One who waits; counts as long as it lives.
#[derive(Debug)]
pub struct Place<'a> {
    crowd: &'a Crowd,
    since: Instant,
}

impl Crowd {
    /// Begins to wait.
    pub fn join(&self) -> Place<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Place { crowd: self, since: Instant::now() }
    }
}

impl Place<'_> {
    /// Something has changed: when to answer; `None` is now.
    pub fn when(&self) -> Option<Instant> {
        let waiting = self.crowd.waiting.load(Ordering::Relaxed);
        if waiting <= FEW {
            return None;
        }
        let now = Instant::now();
        let mut round = self.crowd.round.lock().unwrap_or_else(PoisonError::into_inner);
        match *round {
            // It belongs to the round that is being answered.
            Some(Round { began, .. }) if self.since < began => None,
            Some(Round { next, .. }) if now < next => Some(next),
            _ => {
                let pause = EACH.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX)).min(LONGEST);
                *round = Some(Round { began: now, next: now + pause });
                None
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.crowd.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_are_answered_at_once_and_many_in_rounds() {
        let crowd = Crowd::default();
        let few: Vec<_> = (0..FEW).map(|_| crowd.join()).collect();
        assert!(few.iter().all(|place| place.when().is_none()));
        let many: Vec<_> = (0..1000).map(|_| crowd.join()).collect();
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(many.iter().all(|place| place.when().is_none()), "all of one round are answered together");
        let again = crowd.join();
        let next = again.when();
        assert!(next.is_some_and(|next| next > Instant::now() + Duration::from_millis(200)), "{next:?}");
        tokio::time::advance(LONGEST).await;
        assert!(again.when().is_none(), "then comes the next round");
    }
}
