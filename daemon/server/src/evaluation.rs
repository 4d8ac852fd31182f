//! How servers make evaluations: of a job, of everything that a node concerns, of something that was found wanting.

use std::collections::BTreeSet;

use nomadd_model::{Duration, Evaluation, EvaluationId, EvaluationStatus, Job, Node, NodeStatus, Text, Time, Trigger};
use nomadd_runtime::Seeds;
use nomadd_state::{JobKey, State};

/// A new evaluation of a job. Indexes and times are set when it is applied.
pub fn of_job(job: &Job, trigger: Trigger, id: EvaluationId) -> Evaluation {
    Evaluation {
        id,
        namespace: job.namespace.clone(),
        job_id: job.id.clone(),
        job_modify_index: job.job_modify_index,
        priority: job.priority,
        kind: Text::from(job.kind.as_str()),
        triggered_by: trigger,
        status: EvaluationStatus::Pending,
        ..Evaluation::default()
    }
}

/// A fresh id.
pub fn id(seeds: &Seeds) -> EvaluationId {
    EvaluationId::from_random(seeds.id())
}

/// Everything that a change of a node concerns: the jobs with allocations there, and system jobs of its datacenter and pool.
pub fn of_node(state: &State, node: &Node, seeds: &Seeds) -> Vec<Evaluation> {
    let mut evaluations = Vec::new();
    let mut seen = BTreeSet::new();
    let make = |job: &Job| Evaluation {
        node_id: node.id,
        node_modify_index: node.modify_index,
        ..of_job(job, Trigger::NodeUpdate, id(seeds))
    };
    for allocation in state.allocations_by_node(node.id).filter(|allocation| !allocation.client_status.is_terminal()) {
        let key = JobKey::new(&allocation.namespace, &allocation.job_id);
        if seen.contains(&key) {
            continue;
        }
        if let Some(job) = state.job(&key.namespace, &key.id) {
            evaluations.push(make(job));
        }
        seen.insert(key);
    }
    for job in state.jobs().filter(|job| job.kind.is_system() && !job.stop) {
        if !seen.contains(&JobKey::new(&job.namespace, &job.id)) && concerns(job, node) {
            evaluations.push(make(job));
        }
    }
    evaluations
}

/// Whether a node is in the pool and the datacenters of a job.
fn concerns(job: &Job, node: &Node) -> bool {
    let pool = job.node_pool == "all" || job.node_pool == node.node_pool;
    pool && job.datacenters.iter().any(|pattern| glob(pattern, &node.datacenter))
}

/// Whether a text is what a pattern with `*` says.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter(|&at| rest.is_char_boundary(at)).any(|at| glob(tail, &rest[at..]))
        }),
    }
}

/// What takes the place of an evaluation that was delivered too often: the same question, some minutes later.
pub fn follow_up(failed: &Evaluation, id: EvaluationId, wait: Duration, now: Time) -> Evaluation {
    Evaluation {
        id,
        namespace: failed.namespace.clone(),
        job_id: failed.job_id.clone(),
        job_modify_index: failed.job_modify_index,
        priority: failed.priority,
        kind: failed.kind.clone(),
        triggered_by: Trigger::FailedFollowUp,
        status: EvaluationStatus::Pending,
        previous_eval: failed.id,
        wait_until: now.plus(wait),
        ..Evaluation::default()
    }
}

/// Whether a change of status makes a node interesting again, or takes it away.
pub fn status_matters(old: NodeStatus, new: NodeStatus) -> bool {
    old != new && !(old == NodeStatus::Down && new == NodeStatus::Initializing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datacenters_match_by_glob() {
        for (pattern, text, expected) in
            [("*", "dc1", true), ("dc*", "dc1", true), ("dc1", "dc1", true), ("*1", "dc1", true), ("d*2", "dc1", false)]
        {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_follow_up_asks_the_same_later() {
        let failed = Evaluation { job_id: "a".into(), priority: 70, kind: "batch".into(), ..Evaluation::default() };
        let made = follow_up(&failed, EvaluationId([3; 16]), Duration::from_secs(60), Time(5));
        assert_eq!((made.priority, &made.kind, made.wait_until), (70, &Text::from("batch"), Time(60_000_000_005)));
    }
}
