//! A client came back: does the original allocation go on, or its replacement (facts 3.3)?

use nomadd_model::{Allocation, ClientStatus, DesiredStatus, Job, Time};

use crate::reconcile::Change;
use crate::reconcile::classify::is_terminal;
use crate::reconcile::{GroupResult, Set, Situation, reason};

/// Decides for every reconnecting allocation; kept ones join the untainted, losers leave them.
pub fn reconcile(situation: &Situation<'_>, reconnecting: Set, untainted: &mut Set, result: &mut GroupResult) {
    result.desired.reconnect += reconnecting.len() as u64;
    for (id, original) in reconnecting {
        if original.client_status == ClientStatus::Failed {
            result.desired.stop += 1;
            result.stop(&original, reason::RESCHEDULED, None);
            continue;
        }
        let transition = &original.desired_transition;
        let unwanted = !situation.is_current(&original)
            || original.desired_status != DesiredStatus::Run
            || [transition.migrate, transition.reschedule, transition.force_reschedule].contains(&Some(true));
        if unwanted {
            result.desired.stop += 1;
            result.stop(&original, reason::NOT_NEEDED, None);
            continue;
        }
        let replacements: Vec<_> = untainted
            .values()
            .filter(|other| other.name == original.name && other.id != id && !is_terminal(other))
            .cloned()
            .collect();
        let job = (situation.job_of)(&original);
        let loses = replacements.iter().any(|replacement| replacement_wins(job.as_deref(), &original, replacement));
        if loses {
            result.desired.stop += 1;
            result.stop(&original, reason::NOT_NEEDED, None);
            continue;
        }
        for replacement in &replacements {
            result.desired.stop += 1;
            result.stop(replacement, reason::RECONNECTED, None);
            untainted.remove(&replacement.id);
        }
        result.changes.push(Change {
            allocation: original.clone(),
            stop: false,
            description: "",
            client_status: Some(ClientStatus::Running),
            followup: nomadd_model::EvaluationId::NONE,
        });
        untainted.insert(id, original);
    }
}

fn replacement_wins(job: Option<&Job>, original: &Allocation, replacement: &Allocation) -> bool {
    let newer = (replacement.job_create_index, replacement.job_version);
    match newer.cmp(&(original.job_create_index, original.job_version)) {
        std::cmp::Ordering::Greater => return true,
        std::cmp::Ordering::Less => return false,
        std::cmp::Ordering::Equal => {}
    }
    let group = job.and_then(|job| job.group(&original.task_group));
    let strategy = group.and_then(|group| group.disconnect.as_ref()).map_or("", |block| block.reconcile.as_str());
    match strategy {
        "keep_original" => false,
        "keep_replacement" => true,
        "longest_running" => match (started(job, original), started(job, replacement)) {
            (Some(original), Some(replacement)) => replacement < original,
            (original, replacement) => original.is_none() && replacement.is_some(),
        },
        _ => {
            let runs = |allocation: &Allocation| allocation.client_status == ClientStatus::Running;
            best_score(replacement) > best_score(original) && (runs(replacement) || !runs(original))
        }
    }
}

/// The score with which an allocation was placed.
fn best_score(allocation: &Allocation) -> f64 {
    let scores = allocation.metrics.as_ref().map_or(&[][..], |metrics| &metrics.score_meta_data);
    let own = scores.iter().find(|score| score.node_id == allocation.node_id);
    own.or_else(|| scores.first()).map_or(0.0, |score| score.norm_score)
}

/// When the leader started, else the first of the main tasks.
fn started(job: Option<&Job>, allocation: &Allocation) -> Option<Time> {
    let group = job?.group(&allocation.task_group)?;
    let start = |name: &str| allocation.task_states.get(name).map(|state| state.started_at).filter(|time| time.0 > 0);
    match group.tasks.iter().find(|task| task.leader) {
        Some(leader) => start(&leader.name),
        None => group.tasks.iter().filter(|task| task.lifecycle.is_none()).filter_map(|task| start(&task.name)).min(),
    }
}
