//! Whether a failed allocation may be placed again: the server's view, to know if an evaluation is worth its while.
//!
//! The scheduler decides; this only keeps away evaluations that could change nothing.

use nomadd_model::{Allocation, ClientStatus, DesiredStatus, Duration, ReschedulePolicy, TaskGroup, Time};
use nomadd_state::State;

/// The group of an allocation, as of the version of the job that it runs.
pub fn group_of<'a>(state: &'a State, allocation: &Allocation) -> Option<&'a TaskGroup> {
    let job = state.job_of(allocation)?;
    job.task_groups.iter().find(|group| group.name == allocation.task_group)
}

/// Whether it failed and its policy lets it be placed again.
pub fn eligible(state: &State, allocation: &Allocation, failed: Time) -> bool {
    allocation.client_status == ClientStatus::Failed
        && allocation.desired_status == DesiredStatus::Run
        && group_of(state, allocation)
            .and_then(|group| group.reschedule_policy.as_ref())
            .is_some_and(|policy| policy_allows(policy, allocation, failed))
}

fn policy_allows(policy: &ReschedulePolicy, allocation: &Allocation, failed: Time) -> bool {
    if policy.unlimited {
        return true;
    }
    let Ok(attempts @ 1..) = usize::try_from(policy.attempts) else { return false };
    let Some(tracker) = &allocation.reschedule_tracker else { return true };
    let from = failed.0.saturating_sub(policy.interval.0);
    tracker.events.iter().filter(|event| event.reschedule_time >= from).count() < attempts
}

/// When it failed: the latest end of its tasks, or its last change.
pub fn failed_at(allocation: &Allocation) -> Time {
    let ends = allocation.task_states.values().map(|state| state.finished_at);
    ends.max().filter(|end| end.0 != 0).unwrap_or(Time(allocation.modify_time))
}

/// Whether the last failure is so recent that the tracker still counts it.
pub fn recently_rescheduled(policy: &ReschedulePolicy, allocation: &Allocation, now: Time) -> bool {
    let last = allocation.reschedule_tracker.as_ref().and_then(|tracker| tracker.events.last());
    last.is_some_and(|event| now.since(Time(event.reschedule_time)) < Duration(policy.interval.0.max(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nomadd_model::{RescheduleEvent, RescheduleTracker};

    fn after(times: &[i64]) -> Allocation {
        let events =
            times.iter().map(|&time| RescheduleEvent { reschedule_time: time, ..Default::default() }).collect();
        let tracker = RescheduleTracker { events, ..Default::default() };
        Allocation { reschedule_tracker: Some(Box::new(tracker)), ..Allocation::default() }
    }

    #[test]
    fn attempts_are_counted_within_the_interval() {
        let policy = ReschedulePolicy { attempts: 2, interval: Duration(100), ..Default::default() };
        for (times, expected) in [(&[][..], true), (&[950], true), (&[950, 960], false), (&[800, 960], true)] {
            assert_eq!(policy_allows(&policy, &after(times), Time(1000)), expected, "{times:?}");
        }
        assert!(!policy_allows(&ReschedulePolicy::default(), &Allocation::default(), Time(1)));
        let unlimited = ReschedulePolicy { unlimited: true, ..Default::default() };
        assert!(policy_allows(&unlimited, &after(&[1, 2, 3]), Time(3)));
    }
}
