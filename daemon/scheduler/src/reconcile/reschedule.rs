//! When a failed allocation is placed again: delays, limits, and the record of earlier tries (facts 3.4).

use nomadd_model::{
    Allocation, ClientStatus, Duration, Job, RescheduleEvent, ReschedulePolicy, RescheduleTracker, Time,
};

/// How many earlier tries are kept when they are not limited.
const KEPT_EVENTS: usize = 5;
/// How much too early an allocation may be.
pub const WINDOW: Duration = Duration::from_secs(1);
/// What is due within this span is looked at together.
pub const BATCH: Duration = Duration::from_secs(5);

/// When it failed: the latest end of a task, else the last change.
pub fn failed_at(allocation: &Allocation) -> Time {
    let ended = allocation.task_states.values().map(|state| state.finished_at).max().unwrap_or_default();
    if ended.unix_nanos() > 0 { ended } else { Time(allocation.modify_time) }
}

/// The policy that an allocation was made with.
pub fn policy<'a>(job: Option<&'a Job>, allocation: &Allocation) -> Option<&'a ReschedulePolicy> {
    job?.group(&allocation.task_group)?.reschedule_policy.as_ref()
}

/// How long to wait after a failure, by the tries before it.
pub fn next_delay(policy: &ReschedulePolicy, allocation: &Allocation) -> Duration {
    let events = allocation.reschedule_tracker.as_ref().map_or(&[][..], |tracker| &tracker.events);
    let Some(last) = events.last() else { return policy.delay };
    let mut delay = match policy.delay_function.as_str() {
        "exponential" => Duration(last.delay.0.saturating_mul(2)),
        "fibonacci" => match events.len().checked_sub(2).and_then(|at| events.get(at)) {
            // After the ceiling the row starts again.
            Some(before) if before.delay == policy.max_delay && last.delay == policy.delay => last.delay,
            Some(before) => Duration(last.delay.0.saturating_add(before.delay.0)),
            None => policy.delay,
        },
        _ => return policy.delay,
    };
    if policy.max_delay.0 > 0 && delay > policy.max_delay {
        delay = policy.max_delay;
        if failed_at(allocation).since(Time(last.reschedule_time)) > delay {
            delay = policy.delay;
        }
    }
    delay
}

/// When a failed allocation is due; `None` when its policy does not let it be placed again.
pub fn due(policy: Option<&ReschedulePolicy>, allocation: &Allocation, failed: Time) -> Option<Time> {
    let policy = policy?;
    if failed.unix_nanos() == 0 {
        return None;
    }
    let delay = next_delay(policy, allocation);
    let events = allocation.reschedule_tracker.as_ref().map_or(&[][..], |tracker| &tracker.events);
    let eligible = if policy.unlimited {
        true
    } else if policy.attempts <= 0 {
        false
    } else if events.is_empty() {
        true
    } else {
        let recent = events.iter().filter(|event| failed.since(Time(event.reschedule_time)) < policy.interval).count();
        (recent as i64) < policy.attempts && delay < policy.interval
    };
    eligible.then(|| failed.plus(delay))
}

/// Whether a failed allocation may be due at all.
pub fn is_candidate(allocation: &Allocation) -> bool {
    let failed_before = allocation.reschedule_tracker.as_ref().is_some_and(|t| t.last_reschedule == "no placement");
    allocation.client_status == ClientStatus::Failed && (!allocation.desired_status.is_terminal() || failed_before)
}

/// The record of a replacement.
pub fn tracker(policy: Option<&ReschedulePolicy>, previous: &Allocation, now: Time) -> RescheduleTracker {
    let earlier = previous.reschedule_tracker.as_ref().map_or(&[][..], |tracker| &tracker.events);
    let mut events: Vec<RescheduleEvent> = match policy {
        Some(policy) if policy.attempts > 0 && !policy.unlimited => earlier
            .iter()
            .filter(|event| policy.interval.0 > 0 && now.since(Time(event.reschedule_time)) <= policy.interval)
            .cloned()
            .collect(),
        _ => earlier.get(earlier.len().saturating_sub(KEPT_EVENTS)..).unwrap_or_default().to_vec(),
    };
    events.push(RescheduleEvent {
        delay: policy.map(|policy| next_delay(policy, previous)).unwrap_or_default(),
        prev_alloc_id: previous.id,
        prev_node_id: previous.node_id,
        reschedule_time: now.unix_nanos(),
    });
    RescheduleTracker { events, last_reschedule: "ok".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60;

    fn policy(function: &str) -> ReschedulePolicy {
        ReschedulePolicy {
            delay: Duration::from_secs(30),
            delay_function: function.into(),
            max_delay: Duration::from_secs(10 * MINUTE),
            unlimited: true,
            ..ReschedulePolicy::default()
        }
    }

    fn failed(delays: &[i64], failed: i64) -> Allocation {
        let events = delays
            .iter()
            .map(|delay| RescheduleEvent { delay: Duration::from_secs(*delay), ..RescheduleEvent::default() })
            .collect();
        Allocation {
            client_status: ClientStatus::Failed,
            modify_time: failed * 1_000_000_000,
            reschedule_tracker: Some(Box::new(RescheduleTracker { events, last_reschedule: "ok".into() })),
            ..Allocation::default()
        }
    }

    #[test]
    fn delays_grow_by_their_function_up_to_the_ceiling() {
        for (function, delays, expected) in [
            ("constant", &[30, 30, 30][..], 30),
            ("exponential", &[30], 60),
            ("exponential", &[30, 60, 120], 240),
            ("exponential", &[480], 600),
            ("fibonacci", &[30], 30),
            ("fibonacci", &[30, 30], 60),
            ("fibonacci", &[30, 60], 90),
            ("fibonacci", &[600, 30], 30),
        ] {
            let delay = next_delay(&policy(function), &failed(delays, 1));
            assert_eq!(delay, Duration::from_secs(expected), "{function} {delays:?}");
        }
        let calm = failed(&[480], 3600);
        assert_eq!(
            next_delay(&policy("exponential"), &calm),
            Duration::from_secs(30),
            "it ran longer than the ceiling"
        );
    }

    #[test]
    fn attempts_are_counted_within_the_interval() {
        let limited = ReschedulePolicy {
            attempts: 2,
            interval: Duration::from_secs(10 * MINUTE),
            unlimited: false,
            ..policy("constant")
        };
        let tried = |at: &[i64]| {
            let mut allocation = failed(&vec![30; at.len()], 1000);
            if let Some(tracker) = &mut allocation.reschedule_tracker {
                for (event, at) in tracker.events.iter_mut().zip(at) {
                    event.reschedule_time = at * 1_000_000_000;
                }
            }
            due(Some(&limited), &allocation, Time(1000 * 1_000_000_000)).map(|time| time.0 / 1_000_000_000)
        };
        assert_eq!(tried(&[]), Some(1030));
        assert_eq!(tried(&[900]), Some(1030));
        assert_eq!(tried(&[900, 950]), None, "both tries are recent");
        assert_eq!(tried(&[100, 950]), Some(1030), "the first try is long ago");
        assert_eq!(due(None, &failed(&[], 1), Time(1)), None, "no policy");
    }

    #[test]
    fn the_record_keeps_the_last_tries() {
        let tracker = tracker(Some(&policy("constant")), &failed(&[1, 2, 3, 4, 5, 6], 1), Time(9));
        let delays: Vec<i64> = tracker.events.iter().map(|event| event.delay.0 / 1_000_000_000).collect();
        assert_eq!(delays, [2, 3, 4, 5, 6, 30]);
    }
}
