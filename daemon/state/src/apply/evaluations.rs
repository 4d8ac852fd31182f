//! Evaluations come, change and go.

use std::sync::Arc;

use nomadd_model::{Evaluation, EvaluationId, EvaluationStatus};

use super::Applier;
use crate::command::EvaluationDelete;
use crate::event::{EventKind, Subject};
use crate::key::JobKey;
use crate::response::Response;
use crate::watch::WatchKey;

impl Applier<'_> {
    /// Writes evaluations that came with a command.
    pub(crate) fn evaluations(&mut self, evaluations: impl IntoIterator<Item = Evaluation>) {
        for evaluation in evaluations {
            let key = JobKey::new(&evaluation.namespace, &evaluation.job_id);
            let done = evaluation.status == EvaluationStatus::Complete && evaluation.failed_tg_allocs.is_empty();
            let id = evaluation.id;
            self.put_evaluation(evaluation);
            if done {
                self.cancel_blocked(&key, id);
            }
        }
    }

    fn put_evaluation(&mut self, mut new: Evaluation) {
        if new.id.is_none() {
            return;
        }
        let id = new.id;
        let old = self.state.evaluations.get(&id).cloned();
        let key = match &old {
            // An evaluation never moves to another job.
            Some(old) => JobKey::new(&old.namespace, &old.job_id),
            None => JobKey::new(&new.namespace, &new.job_id),
        };
        new.namespace = key.namespace.clone();
        new.job_id = key.id.clone();
        let nanos = self.now.unix_nanos();
        new.create_index = old.as_ref().map_or(self.index, |old| old.create_index);
        new.modify_index = self.index;
        if new.create_time == 0 {
            new.create_time = old.as_ref().map_or(nanos, |old| old.create_time);
        }
        new.modify_time = nanos;
        let record = self.record_mut(&key);
        if new.job_modify_index == 0 {
            new.job_modify_index = record.job.as_ref().map_or(0, |job| job.job_modify_index);
        }
        let number = record.number;
        let live = |evaluation: &Evaluation| !evaluation.status.is_terminal();
        let blocked = |evaluation: &Evaluation| evaluation.status == EvaluationStatus::Blocked;
        record.evaluations += u32::from(old.is_none());
        record.has_history = true;
        move_count(&mut record.live_evaluations, old.as_deref().is_some_and(live), live(&new));
        move_count(&mut record.blocked_evaluations, old.as_deref().is_some_and(blocked), blocked(&new));
        if old.is_none() {
            self.state.evaluations_by_job.insert((number, id));
        }
        self.count_queued(&key, &new);
        self.state.evaluations.insert(id, Arc::new(new));
        self.touch(&key).evaluations = true;
        self.change(WatchKey::Evaluation(id));
        self.event(EventKind::EvaluationUpdated, Subject::Evaluation(id));
    }

    /// What a successful evaluation placed, blocked ones of the job need not try again.
    fn cancel_blocked(&mut self, key: &JobKey, by: EvaluationId) {
        if self.state.jobs.get(key).is_none_or(|record| record.blocked_evaluations == 0) {
            return;
        }
        let blocked: Vec<Arc<Evaluation>> = self
            .state
            .evaluations_by_job(&key.namespace, &key.id)
            .filter(|evaluation| evaluation.status == EvaluationStatus::Blocked && evaluation.id != by)
            .cloned()
            .collect();
        for evaluation in blocked {
            let mut evaluation = Arc::unwrap_or_clone(evaluation);
            evaluation.status = EvaluationStatus::Canceled;
            evaluation.status_description = format!("evaluation \"{by}\" successful").into();
            self.put_evaluation(evaluation);
        }
    }

    pub(crate) fn evaluation_delete(&mut self, command: &EvaluationDelete) -> Response {
        let mut count = 0;
        for id in &command.evaluations {
            let Some(old) = self.state.evaluations.remove(id) else { continue };
            let key = JobKey::new(&old.namespace, &old.job_id);
            let record = self.record_mut(&key);
            record.evaluations = record.evaluations.saturating_sub(1);
            move_count(&mut record.live_evaluations, !old.status.is_terminal(), false);
            move_count(&mut record.blocked_evaluations, old.status == EvaluationStatus::Blocked, false);
            let number = record.number;
            self.state.evaluations_by_job.remove(&(number, *id));
            self.touch(&key).evaluations = true;
            self.change(WatchKey::Evaluation(*id));
            count += 1;
        }
        for id in &command.allocations {
            count += u64::from(self.remove_allocation(*id));
        }
        Response::Count { index: self.index, count }
    }
}

/// Keeps a count of things with a property as one of them changes.
pub(crate) fn move_count(count: &mut u32, before: bool, after: bool) {
    match (before, after) {
        (false, true) => *count = count.saturating_add(1),
        (true, false) => *count = count.saturating_sub(1),
        _ => {}
    }
}
