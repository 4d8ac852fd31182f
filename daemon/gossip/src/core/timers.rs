//! What is due when: foca's timers and the core's own, in one heap.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::identity::Identity;

/// What is due.
#[derive(Debug)]
pub enum Due {
    /// One of foca's.
    Foca(foca::Timer<Identity>),
    /// Compare lists with another member.
    Sync,
    /// Dial a failed member.
    Reconnect,
    /// Forget what is old.
    House,
}

#[derive(Debug)]
struct Timer {
    at: Duration,
    /// Keeps the order of equal times.
    count: u64,
    due: Due,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Timer {}
impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.count).cmp(&(other.at, other.count))
    }
}

/// The heap.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    count: u64,
}

impl Timers {
    pub fn push(&mut self, at: Duration, due: Due) {
        self.count += 1;
        self.heap.push(Reverse(Timer { at, count: self.count, due }));
    }
    /// When the next one is due.
    pub fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse(timer)| timer.at)
    }
    /// Takes the next one if it is due.
    pub fn pop(&mut self, now: Duration) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(timer)| timer.due)
    }
    /// Gives every suspect `lag` more time: this process stood still and has not heard it answer.
    pub fn postpone_suspicions(&mut self, lag: Duration) {
        let mut timers = std::mem::take(&mut self.heap).into_vec();
        for Reverse(timer) in &mut timers {
            if matches!(timer.due, Due::Foca(foca::Timer::ChangeSuspectToDown { .. })) {
                timer.at += lag;
            }
        }
        self.heap = timers.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_suspicions_can_wait_longer() {
        let mut timers = Timers::default();
        let second = Duration::from_secs(1);
        timers.push(3 * second, Due::House);
        timers.push(second, Due::Sync);
        let member_id = Identity { name: "a".into(), address: "127.0.0.1:1".parse().unwrap(), generation: 1 };
        let suspicion = foca::Timer::ChangeSuspectToDown { member_id, incarnation: 0, token: 0 };
        timers.push(2 * second, Due::Foca(suspicion));
        assert_eq!(timers.next(), Some(second));
        assert!(timers.pop(Duration::ZERO).is_none());
        timers.postpone_suspicions(5 * second);
        assert!(matches!(timers.pop(9 * second), Some(Due::Sync)));
        assert!(matches!(timers.pop(9 * second), Some(Due::House)));
        assert_eq!(timers.next(), Some(7 * second));
    }
}
