//! What must hold for the policies of a group: restart, reschedule, update, migrate, disconnect, scaling.

use nomadd_model::{
    DisconnectStrategy, Duration, JobType, MigrateStrategy, ReschedulePolicy, RestartPolicy, ScalingPolicy,
    UpdateStrategy,
};

use crate::problems::Problems;

const LEAST_RESTART_INTERVAL: Duration = Duration::from_secs(5);
const LEAST_RESCHEDULE_INTERVAL: Duration = Duration::from_secs(15);
const LEAST_RESCHEDULE_DELAY: Duration = Duration::from_secs(5);

pub(crate) fn restart(policy: &RestartPolicy) -> Problems {
    let RestartPolicy { attempts, delay, interval, mode, render_templates: _ } = policy;
    let mut problems = Problems::default();
    if !matches!(mode.as_str(), "delay" | "fail") {
        problems.push(format!("Unsupported restart mode: {mode:?}"));
    }
    if *attempts == 0 && mode != "fail" {
        problems.push(format!("Restart policy {mode:?} with {attempts} attempts is ambiguous"));
    }
    if *interval < LEAST_RESTART_INTERVAL {
        problems.push(format!("Interval can not be less than {LEAST_RESTART_INTERVAL} (got {interval})"));
    }
    if delay.0.saturating_mul(*attempts) > interval.0 {
        problems.push(format!(
            "Nomad can't restart the TaskGroup {attempts} times in an interval of {interval} with a delay of {delay}"
        ));
    }
    problems
}

pub(crate) fn reschedule(policy: &ReschedulePolicy) -> Problems {
    let ReschedulePolicy { attempts, delay, delay_function, interval, max_delay, unlimited } = policy;
    let mut problems = Problems::default();
    if *attempts <= 0 && !unlimited {
        return problems;
    }
    if *attempts > 0 {
        problems.push_if(interval.0 <= 0, "Interval must be a non zero value if Attempts > 0");
        if *unlimited {
            problems.push(format!(
                "Reschedule Policy with Attempts = {attempts}, Interval = {interval}, and Unlimited = {unlimited} is ambiguous"
            ));
        }
    }
    let mut delays_make_sense = true;
    let mut delays = |text: String| {
        problems.push(text);
        delays_make_sense = false;
    };
    if *delay < LEAST_RESCHEDULE_DELAY {
        delays(format!("Delay cannot be less than {LEAST_RESCHEDULE_DELAY} (got {delay})"));
    }
    if !matches!(delay_function.as_str(), "constant" | "exponential" | "fibonacci") {
        delays(format!(
            "Invalid delay function {delay_function:?}, must be one of [\"constant\" \"exponential\" \"fibonacci\"]"
        ));
    }
    if delay_function != "constant" {
        if *max_delay < LEAST_RESCHEDULE_DELAY {
            delays(format!("Max Delay cannot be less than {LEAST_RESCHEDULE_DELAY} (got {max_delay})"));
        }
        if max_delay < delay {
            delays(format!("Max Delay cannot be less than Delay {delay} (got {max_delay})"));
        }
    }
    if !unlimited {
        if *interval < LEAST_RESCHEDULE_INTERVAL {
            problems.push(format!("Interval cannot be less than {LEAST_RESCHEDULE_INTERVAL} (got {interval})"));
        }
        if delays_make_sense {
            problems.extend(attempts_fit(policy));
        }
    }
    problems
}

/// Whether all attempts fit into the interval.
fn attempts_fit(policy: &ReschedulePolicy) -> Problems {
    let ReschedulePolicy { attempts, delay, delay_function, interval, max_delay, unlimited: _ } = policy;
    let mut problems = Problems::default();
    let (mut possible, mut needed) = (0, 0_i64);
    let (mut last, mut before) = (0_i64, 0_i64);
    // Every function has reached its ceiling by then (a doubled nanosecond outgrows 292 years); from there on it is constant.
    let growing = (*attempts).min(100);
    for attempt in 0..growing {
        let next = match delay_function.as_str() {
            "constant" => delay.0,
            _ if attempt == 0 => delay.0,
            "exponential" => last.saturating_mul(2).min(max_delay.0),
            _ if attempt == 1 => delay.0,
            _ => last.saturating_add(before).min(max_delay.0),
        };
        (before, last) = (last, next);
        needed = needed.saturating_add(next);
        if needed <= interval.0 {
            possible += 1;
        }
    }
    let rest = attempts - growing;
    if needed <= interval.0 {
        possible += rest.min((interval.0 - needed) / last.max(1));
    }
    needed = needed.saturating_add(last.saturating_mul(rest));
    if possible >= *attempts {
        return problems;
    }
    let most = if delay_function == "constant" { String::new() } else { format!(", and max delay {max_delay}") };
    let and = if most.is_empty() { " and" } else { "," };
    problems.push(format!(
        "Nomad can only make {possible} attempts in {interval} with initial delay {delay}{and} delay function {delay_function:?}{most}"
    ));
    let seconds = needed.saturating_add(999_999_999) / 1_000_000_000;
    problems.push(format!(
        "Set the interval to at least {} to accommodate {attempts} attempts",
        Duration::from_secs(seconds)
    ));
    problems
}

pub(crate) fn update(update: &UpdateStrategy) -> Problems {
    let UpdateStrategy {
        auto_promote,
        auto_revert: _,
        canary,
        health_check,
        healthy_deadline,
        max_parallel,
        min_healthy_time,
        progress_deadline,
        stagger,
    } = update;
    let mut problems = Problems::default();
    if !matches!(health_check.as_str(), "checks" | "task_states" | "manual") {
        problems.push(format!("Invalid health check given: {health_check:?}"));
    }
    if *max_parallel < 0 {
        problems.push(format!("Max parallel can not be less than zero: {max_parallel} < 0"));
    }
    if *canary < 0 {
        problems.push(format!("Canary count can not be less than zero: {canary} < 0"));
    }
    problems.push_if(*canary == 0 && *auto_promote, "Auto Promote requires a Canary count greater than zero");
    if min_healthy_time.0 < 0 {
        problems.push(format!("Minimum healthy time may not be less than zero: {min_healthy_time}"));
    }
    if healthy_deadline.0 <= 0 {
        problems.push(format!("Healthy deadline must be greater than zero: {healthy_deadline}"));
    }
    if progress_deadline.0 < 0 {
        problems.push(format!("Progress deadline must be zero or greater: {progress_deadline}"));
    }
    if min_healthy_time >= healthy_deadline {
        problems.push(format!(
            "Minimum healthy time must be less than healthy deadline: {min_healthy_time} > {healthy_deadline}"
        ));
    }
    if progress_deadline.0 != 0 && healthy_deadline >= progress_deadline {
        problems.push(format!(
            "Healthy deadline must be less than progress deadline: {healthy_deadline} > {progress_deadline}"
        ));
    }
    if stagger.0 <= 0 {
        problems.push(format!("Stagger must be greater than zero: {stagger}"));
    }
    problems
}

pub(crate) fn migrate(strategy: &MigrateStrategy) -> Problems {
    let MigrateStrategy { health_check, healthy_deadline, max_parallel, min_healthy_time } = strategy;
    let mut problems = Problems::default();
    if *max_parallel < 0 {
        problems.push(format!("MaxParallel must be >= 0 but found {max_parallel}"));
    }
    match health_check.as_str() {
        "checks" | "task_states" => {}
        "" => problems.push_if(*max_parallel > 0, "Missing HealthCheck"),
        other => problems.push(format!("Invalid HealthCheck: {other:?}")),
    }
    if min_healthy_time.0 < 0 {
        problems.push(format!("MinHealthyTime is {min_healthy_time} and must be >= 0"));
    }
    if healthy_deadline.0 < 0 {
        problems.push(format!("HealthyDeadline is {healthy_deadline} and must be >= 0"));
    }
    problems.push_if(min_healthy_time > healthy_deadline, "MinHealthyTime must be less than HealthyDeadline");
    problems
}

pub(crate) fn disconnect(strategy: &DisconnectStrategy, kind: JobType) -> Problems {
    let DisconnectStrategy { lost_after, reconcile, replace: _, stop_on_client_after } = strategy;
    let mut problems = Problems::default();
    problems.push_if(lost_after.is_some_and(|span| span.0 < 0), "Disconnect.LostAfter cannot be a negative duration");
    problems.push_if(
        stop_on_client_after.is_some_and(|span| span.0 < 0),
        "Disconnect.StopOnClientAfter cannot be a negative duration",
    );
    problems.push_if(
        lost_after.is_some() && stop_on_client_after.is_some(),
        "Disconnect.LostAfter and Disconnect.StopOnClientAfter cannot be used together",
    );
    problems.push_if(
        stop_on_client_after.is_some() && kind.is_system(),
        "Disconnect.StopOnClientAfter can only be used with service and batch jobs",
    );
    if !matches!(reconcile.as_str(), "" | "keep_original" | "keep_replacement" | "best_score" | "longest_running") {
        problems.push(format!("Disconnect.Reconcile {reconcile:?} is none of best_score, keep_original, keep_replacement and longest_running"));
    }
    problems
}

pub(crate) fn scaling(policy: &ScalingPolicy, count: i64) -> Problems {
    let mut problems = Problems::default();
    if policy.kind != "horizontal" {
        problems.push(format!("task group scaling policy must be horizontal, not {:?}", policy.kind));
    }
    problems.push_if(policy.min < 0, "minimum count must be specified and non-negative");
    problems.push_if(policy.max < 0, "maximum count must be specified and non-negative");
    problems.push_if(policy.max < policy.min, "maximum count must not be less than minimum count");
    problems.push_if(count < policy.min, "group count must not be less than minimum count in scaling policy");
    problems.push_if(count > policy.max, "group count must not be greater than maximum count in scaling policy");
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(problems: Problems) -> Vec<String> {
        problems.into_texts()
    }

    #[test]
    fn restarts_must_fit_into_their_interval() {
        let policy = RestartPolicy {
            attempts: 10,
            delay: Duration::from_secs(15),
            interval: Duration::from_secs(60),
            mode: "fail".into(),
            render_templates: false,
        };
        assert_eq!(
            texts(restart(&policy)),
            ["Nomad can't restart the TaskGroup 10 times in an interval of 1m0s with a delay of 15s"]
        );
        let policy = RestartPolicy { attempts: 0, mode: "delay".into(), interval: Duration::from_secs(1), ..policy };
        assert_eq!(
            texts(restart(&policy)),
            ["Restart policy \"delay\" with 0 attempts is ambiguous", "Interval can not be less than 5s (got 1s)",]
        );
    }

    #[test]
    fn reschedule_attempts_must_fit_into_their_interval() {
        let policy = ReschedulePolicy {
            attempts: 5,
            delay: Duration::from_secs(10),
            delay_function: "constant".into(),
            interval: Duration::from_secs(30),
            max_delay: Duration(0),
            unlimited: false,
        };
        assert_eq!(
            texts(reschedule(&policy)),
            [
                "Nomad can only make 3 attempts in 30s with initial delay 10s and delay function \"constant\"",
                "Set the interval to at least 50s to accommodate 5 attempts",
            ]
        );
        let huge = ReschedulePolicy { attempts: i64::MAX, ..policy.clone() };
        assert!(texts(reschedule(&huge))[0].starts_with("Nomad can only make 3 attempts in 30s"));
        let fits = ReschedulePolicy { attempts: 3, ..policy.clone() };
        assert_eq!(texts(reschedule(&fits)), Vec::<String>::new());
        let both = ReschedulePolicy { unlimited: true, delay_function: "linear".into(), ..policy };
        assert_eq!(texts(reschedule(&both)).len(), 4, "ambiguous, unknown function, two of max delay");
    }

    #[test]
    fn scaling_bounds_hold_the_count() {
        let policy = ScalingPolicy { min: 2, max: 4, kind: "horizontal".into(), ..ScalingPolicy::default() };
        assert_eq!(texts(scaling(&policy, 3)), Vec::<String>::new());
        assert_eq!(
            texts(scaling(&policy, 5)),
            ["group count must not be greater than maximum count in scaling policy"]
        );
    }
}
