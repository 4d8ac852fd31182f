//! Scaling: the count of a group, and what scalers say.

use std::sync::Arc;

use nomadd_model::{ScalingEvent, Text};

use super::{Applier, jobs};
use crate::command::JobScale;
use crate::event::{EventKind, Subject};
use crate::key::JobKey;
use crate::response::Response;
use crate::watch::Table;

/// How many events of a group are kept.
const KEPT: usize = 20;

impl Applier<'_> {
    pub(crate) fn job_scale(&mut self, command: JobScale) -> Response {
        let JobScale { namespace, id, group, count, event, evaluation, enforce_index, submit_time, tracked_versions } =
            command;
        let key = JobKey::new(&namespace, &id);
        let Some(job) = self.state.jobs.get(&key).and_then(|record| record.job.clone()) else {
            return jobs::not_found("job", &id);
        };
        if let Err(refused) = jobs::enforce(Some(&job), enforce_index) {
            return Response::Refused(refused);
        }
        let Some(at) = job.task_groups.iter().position(|known| known.name == group) else {
            return jobs::not_found("task group", &group);
        };
        let before = job.task_groups[at].count;
        let count = count.filter(|count| *count >= 0);
        let changed = count.is_some_and(|count| count != before);
        if let Some(count) = count.filter(|_| changed) {
            let mut scaled = (*job).clone();
            scaled.task_groups[at].count = count;
            if submit_time != 0 {
                scaled.submit_time = submit_time;
            }
            self.put_job(&key, Arc::new(scaled), Some(&job), tracked_versions);
            self.event(EventKind::JobRegistered, Subject::Job(key.clone()));
        }
        let event = ScalingEvent {
            count: if changed { count } else { event.count },
            create_index: self.index,
            eval_id: evaluation.as_ref().map(|evaluation| evaluation.id).or(event.eval_id),
            previous_count: before,
            time: if event.time == 0 { self.now.unix_nanos() } else { event.time },
            ..event
        };
        self.note_scaling(&key, group, event);
        self.evaluations(evaluation);
        self.job_response(&key, changed)
    }

    fn note_scaling(&mut self, key: &JobKey, group: Text, event: ScalingEvent) {
        let Some(record) = self.existing_record_mut(key) else { return };
        let events = Arc::make_mut(record.scaling.entry(group).or_default());
        events.insert(0, event);
        events.truncate(KEPT);
        self.table(Table::Scaling);
        self.touch(key).job = true;
    }
}
