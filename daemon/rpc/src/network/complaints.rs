//! Warnings about peers, at most one per address and reason in a while: a hostile or misconfigured peer fills no log.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// One warning per address and reason within this time.
const PAUSE: Duration = Duration::from_secs(30);
/// How many addresses and reasons are remembered; beyond that nothing new is said until some are forgotten.
const REMEMBERED: usize = 512;

/// When something was said, and how many times it was not since.
type Said = (Instant, u64);

/// What was warned about, by address and reason.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<BTreeMap<(IpAddr, &'static str), Said>>);

impl Complaints {
    /// Warns, unless the same was said a short while ago.
    pub(crate) fn warn(&self, from: IpAddr, reason: &'static str, sentence: &str) {
        if let Some(unsaid) = self.due(from, reason, Instant::now()) {
            tracing::warn!(peer = %from, unsaid, "refused a connection or call from another agent: {sentence}");
        }
    }

    /// The same for what was taken all the same.
    pub(crate) fn warn_taken(&self, from: IpAddr, reason: &'static str, sentence: &str) {
        if let Some(unsaid) = self.due(from, reason, Instant::now()) {
            tracing::warn!(peer = %from, unsaid, "a connection of another agent: {sentence}");
        }
    }

    /// Whether to say it: how many times it was not said since the last time.
    fn due(&self, from: IpAddr, reason: &'static str, now: Instant) -> Option<u64> {
        metrics::counter!("nomad.nomad.rpc.request_error").increment(1);
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, unsaid)) = said.get_mut(&(from, reason)) {
            if now.duration_since(*when) < PAUSE {
                *unsaid += 1;
                return None;
            }
            *when = now;
            return Some(std::mem::take(unsaid));
        }
        if said.len() >= REMEMBERED {
            said.retain(|_, (when, _)| now.duration_since(*when) < PAUSE);
            if said.len() >= REMEMBERED {
                return None;
            }
        }
        said.insert((from, reason), (now, 0));
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_in_a_while_and_memory_is_bounded() {
        let complaints = Complaints::default();
        let (home, now): (IpAddr, _) = ([127, 0, 0, 1].into(), Instant::now());
        assert_eq!(complaints.due(home, "a", now), Some(0));
        assert_eq!(complaints.due(home, "a", now), None);
        assert_eq!(complaints.due(home, "b", now), Some(0));
        assert_eq!(complaints.due(home, "a", now + PAUSE), Some(1));
        for address in 0..10_000_u32 {
            let _ = complaints.due(IpAddr::V4(address.into()), "a", now);
        }
        assert!(complaints.0.lock().unwrap().len() <= REMEMBERED);
    }
}
