//! The restart policy of a task: whether and when a task that ended or did not start is started again on this node.
//!
//! Pure: time and the seed of the jitter are parameters. Called by `allocation/task.rs`.

use nomadd_model::spec::TaskLifecycle;
use nomadd_model::{Duration, JobType, RestartPolicy, Time};

/// What a task whose process ended without error does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSuccess {
    /// It is done.
    Complete,
    /// It was meant to run for ever: it starts again.
    Restart,
}

impl OnSuccess {
    /// What holds for a task of a job of that kind with that lifecycle.
    pub fn of(kind: JobType, lifecycle: Option<&TaskLifecycle>) -> Self {
        let restarts = match lifecycle {
            None => !kind.is_batch(),
            Some(lifecycle) => lifecycle.hook != "poststop" && lifecycle.sidecar,
        };
        if restarts { Self::Restart } else { Self::Complete }
    }
}

/// How an attempt to run a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The process ended without error.
    Success,
    /// The process ended with an error, or the restart was asked for by a failing check.
    Failure,
    /// It did not start, and may next time.
    NotStarted,
    /// It did not start, and will not next time either.
    NeverStarts,
    /// A person asked for a restart: at once, and not counted.
    Requested,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start again after a span.
    Restart {
        /// How long to wait.
        delay: Duration,
        /// Nomad's words for it.
        reason: &'static str,
    },
    /// The task is done, and well.
    Complete,
    /// The task has failed.
    Fail {
        /// Nomad's words for it.
        reason: String,
    },
}

/// Counts the restarts of a task in the current interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestartTracker {
    /// Ends that counted, since `window`.
    pub count: i64,
    /// When the interval began.
    pub window: Time,
}

const WITHIN: &str = "Restart within policy";

impl RestartTracker {
    /// Decides after an ending. `seed` makes the jitter of up to a quarter of the delay.
    pub fn decide(
        &mut self,
        policy: &RestartPolicy,
        on_success: OnSuccess,
        ending: Ending,
        now: Time,
        seed: u64,
    ) -> Verdict {
        if ending == Ending::Requested {
            return Verdict::Restart { delay: Duration(0), reason: "" };
        }
        if ending == Ending::Success && on_success == OnSuccess::Complete {
            return Verdict::Complete;
        }
        if policy.attempts == 0 {
            return Verdict::Fail { reason: "Policy allows no restarts".to_owned() };
        }
        if ending == Ending::NeverStarts {
            return Verdict::Fail { reason: "Error was unrecoverable".to_owned() };
        }
        let ends = self.window.plus(policy.interval);
        if self.window.0 == 0 || now > ends {
            // The first end of a new interval opens it and does not count, except for the very first one.
            let first = self.window.0 == 0;
            (self.window, self.count) = (now, i64::from(first));
        } else {
            self.count += 1;
        }
        if self.count <= policy.attempts {
            return Verdict::Restart { delay: jittered(policy.delay, seed), reason: WITHIN };
        }
        if policy.mode == "delay" {
            let delay = self.window.plus(policy.interval).since(now);
            return Verdict::Restart { delay, reason: "Exceeded allowed attempts, applying a delay" };
        }
        let (attempts, interval, mode) = (policy.attempts, policy.interval, &policy.mode);
        Verdict::Fail {
            reason: format!("Exceeded allowed attempts {attempts} in interval {interval} and mode is {mode:?}"),
        }
    }
}

fn jittered(delay: Duration, seed: u64) -> Duration {
    let fraction = (seed >> 11) as f64 / (1_u64 << 53) as f64;
    Duration(delay.0.saturating_add((delay.0 as f64 * 0.25 * fraction) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(attempts: i64, mode: &str) -> RestartPolicy {
        RestartPolicy {
            attempts,
            delay: Duration::from_secs(4),
            interval: Duration::from_secs(60),
            mode: mode.to_owned(),
            render_templates: false,
        }
    }

    fn at(seconds: i64) -> Time {
        Time(1_000_000_000_000 + seconds * 1_000_000_000)
    }

    #[test]
    fn a_task_restarts_as_often_as_the_policy_allows_and_then_fails() {
        let (mut tracker, policy) = (RestartTracker::default(), policy(2, "fail"));
        for second in 0..2 {
            let verdict = tracker.decide(&policy, OnSuccess::Restart, Ending::Failure, at(second), u64::MAX);
            let Verdict::Restart { delay, reason } = verdict else { panic!("{verdict:?}") };
            assert!(delay >= Duration::from_secs(4) && delay <= Duration::from_secs(5), "{delay}");
            assert_eq!(reason, "Restart within policy");
        }
        let reason = "Exceeded allowed attempts 2 in interval 1m0s and mode is \"fail\"".to_owned();
        let verdict = tracker.decide(&policy, OnSuccess::Restart, Ending::Failure, at(3), 0);
        assert_eq!(verdict, Verdict::Fail { reason });
    }

    #[test]
    fn mode_delay_waits_for_the_end_of_the_interval() {
        let (mut tracker, policy) = (RestartTracker::default(), policy(1, "delay"));
        tracker.decide(&policy, OnSuccess::Restart, Ending::Failure, at(0), 0);
        let verdict = tracker.decide(&policy, OnSuccess::Restart, Ending::Failure, at(10), 0);
        let reason = "Exceeded allowed attempts, applying a delay";
        assert_eq!(verdict, Verdict::Restart { delay: Duration::from_secs(50), reason });
    }

    #[test]
    fn a_new_interval_begins_to_count_anew() {
        let (mut tracker, policy) = (RestartTracker::default(), policy(1, "fail"));
        for minute in 0..5 {
            let verdict = tracker.decide(&policy, OnSuccess::Restart, Ending::Failure, at(minute * 61), 0);
            assert!(matches!(verdict, Verdict::Restart { .. }), "{verdict:?}");
        }
    }

    #[test]
    fn what_is_done_stays_done_and_what_cannot_start_fails_at_once() {
        let mut tracker = RestartTracker::default();
        let mut decide = |attempts, on, ending| tracker.decide(&policy(attempts, "fail"), on, ending, at(0), 0);
        assert_eq!(decide(3, OnSuccess::Complete, Ending::Success), Verdict::Complete);
        assert_eq!(decide(0, OnSuccess::Complete, Ending::Success), Verdict::Complete);
        let fails = |reason: &str| Verdict::Fail { reason: reason.to_owned() };
        assert_eq!(decide(0, OnSuccess::Restart, Ending::Success), fails("Policy allows no restarts"));
        assert_eq!(decide(3, OnSuccess::Restart, Ending::NeverStarts), fails("Error was unrecoverable"));
        assert!(matches!(decide(3, OnSuccess::Restart, Ending::Success), Verdict::Restart { .. }));
        let at_once = Verdict::Restart { delay: Duration(0), reason: "" };
        assert_eq!(decide(0, OnSuccess::Restart, Ending::Requested), at_once);
    }

    #[test]
    fn sidecars_restart_after_success_and_other_hooks_do_not() {
        let hook = |hook: &str, sidecar| TaskLifecycle { hook: hook.to_owned(), sidecar };
        let of = |kind, lifecycle: Option<TaskLifecycle>| OnSuccess::of(kind, lifecycle.as_ref());
        assert_eq!(of(JobType::Service, None), OnSuccess::Restart);
        assert_eq!(of(JobType::SystemBatch, None), OnSuccess::Complete);
        assert_eq!(of(JobType::Batch, Some(hook("prestart", true))), OnSuccess::Restart);
        assert_eq!(of(JobType::Service, Some(hook("poststart", false))), OnSuccess::Complete);
        assert_eq!(of(JobType::Service, Some(hook("poststop", false))), OnSuccess::Complete);
    }
}
