//! Nomad's client-side defaults: what a job means where its author wrote nothing.
//!
//! `Job::fill_defaults` is what `job run`, `job plan` and `/v1/jobs/parse` (with `Canonicalize`) do before a server sees the
//! job. It never refuses and never changes what was written; doing it twice changes nothing.
//! Called by `jobspec`'s users and by `crate::canonicalize`.

mod group;
mod service;
mod task;

use crate::spec::{
    Affinity, Job, Multiregion, MultiregionRegion, MultiregionStrategy, PeriodicConfig, Spread, UpdateStrategy,
};
use crate::value::Duration;
use crate::word::JobType;

/// Fills an absent value.
fn or<T>(slot: &mut Option<T>, value: T) {
    if slot.is_none() {
        *slot = Some(value);
    }
}

/// Fills an empty text.
fn or_text(slot: &mut String, value: &str) {
    if slot.is_empty() {
        value.clone_into(slot);
    }
}

/// Takes the upper value where it was written.
fn over<T: Clone>(slot: &mut Option<T>, upper: &Option<T>) {
    if upper.is_some() {
        slot.clone_from(upper);
    }
}

impl Job {
    /// Fills in Nomad's client-side defaults, in place; idempotent.
    pub fn fill_defaults(&mut self) {
        or(&mut self.id, String::new());
        let id = self.id.clone().unwrap_or_default();
        or(&mut self.name, id);
        for text in [
            &mut self.parent_id,
            &mut self.node_pool,
            &mut self.consul_namespace,
            &mut self.vault_namespace,
            &mut self.nomad_token_id,
            &mut self.status,
            &mut self.status_description,
        ] {
            or(text, String::new());
        }
        for flag in [&mut self.stop, &mut self.all_at_once, &mut self.stable] {
            or(flag, false);
        }
        for number in [&mut self.version, &mut self.create_index, &mut self.modify_index, &mut self.job_modify_index] {
            or(number, 0);
        }
        or(&mut self.namespace, "default".into());
        or(&mut self.priority, 50);
        or(&mut self.region, "global".into());
        or(&mut self.kind, JobType::Service.as_str().into());
        // Other words stand for no job type at all; they are refused later, and get the defaults of batch here as in Nomad.
        let kind = self.kind.as_deref().unwrap_or_default().parse().unwrap_or(JobType::Batch);
        if let Some(periodic) = &mut self.periodic {
            periodic.fill_defaults();
        }
        match &mut self.update {
            Some(update) => update.fill_defaults(),
            None if matches!(kind, JobType::Service | JobType::System) => {
                let mut update = UpdateStrategy::default();
                update.fill_defaults();
                self.update = Some(update);
            }
            None => {}
        }
        if let Some(multiregion) = &mut self.multiregion {
            multiregion.fill_defaults();
        }
        let mut groups = self.task_groups.take();
        for group in groups.iter_mut().flatten() {
            group.fill_defaults(self, kind);
        }
        self.task_groups = groups;
        for spread in self.spreads.iter_mut().flatten() {
            spread.fill_defaults();
        }
        for affinity in self.affinities.iter_mut().flatten() {
            affinity.fill_defaults();
        }
    }
}

impl PeriodicConfig {
    fn fill_defaults(&mut self) {
        or(&mut self.enabled, true);
        or(&mut self.spec, String::new());
        or(&mut self.specs, Vec::new());
        or(&mut self.spec_type, "cron".into());
        or(&mut self.prohibit_overlap, false);
        or(&mut self.time_zone, "UTC".into());
        if let Some(zone) = &mut self.time_zone {
            or_text(zone, "UTC");
        }
    }
}

impl UpdateStrategy {
    pub(super) fn fill_defaults(&mut self) {
        or(&mut self.max_parallel, 1);
        or(&mut self.stagger, Duration::from_secs(30));
        or(&mut self.health_check, "checks".into());
        or(&mut self.min_healthy_time, Duration::from_secs(10));
        or(&mut self.healthy_deadline, Duration::from_secs(300));
        or(&mut self.progress_deadline, Duration::from_secs(600));
        or(&mut self.canary, 0);
        or(&mut self.auto_revert, false);
        or(&mut self.auto_promote, false);
    }

    /// Whether it asks for nothing: so servers show the block of a job that has none.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            stagger,
            max_parallel,
            health_check,
            min_healthy_time,
            healthy_deadline,
            progress_deadline,
            canary,
            auto_revert,
            auto_promote,
        } = self;
        [stagger, min_healthy_time, healthy_deadline, progress_deadline]
            .into_iter()
            .all(|span| span.unwrap_or_default().0 == 0)
            && [max_parallel, canary].into_iter().all(|number| number.unwrap_or_default() == 0)
            && [auto_revert, auto_promote].into_iter().all(|flag| !flag.unwrap_or_default())
            && health_check.as_deref().unwrap_or_default().is_empty()
    }

    /// The fields of `upper` where they were written, else these.
    fn merge(&mut self, upper: &Self) {
        let Self {
            stagger,
            max_parallel,
            health_check,
            min_healthy_time,
            healthy_deadline,
            progress_deadline,
            canary,
            auto_revert,
            auto_promote,
        } = upper;
        over(&mut self.stagger, stagger);
        over(&mut self.max_parallel, max_parallel);
        over(&mut self.health_check, health_check);
        over(&mut self.min_healthy_time, min_healthy_time);
        over(&mut self.healthy_deadline, healthy_deadline);
        over(&mut self.progress_deadline, progress_deadline);
        over(&mut self.canary, canary);
        over(&mut self.auto_revert, auto_revert);
        over(&mut self.auto_promote, auto_promote);
    }
}

impl Multiregion {
    fn fill_defaults(&mut self) {
        let MultiregionStrategy { max_parallel, on_failure } = self.strategy.get_or_insert_default();
        or(max_parallel, 0);
        or(on_failure, String::new());
        for MultiregionRegion { count, datacenters, meta, .. } in self.regions.get_or_insert_default() {
            or(count, 1);
            or(datacenters, Vec::new());
            or(meta, Default::default());
        }
    }
}

impl Spread {
    fn fill_defaults(&mut self) {
        or(&mut self.weight, 50);
    }
}

impl Affinity {
    fn fill_defaults(&mut self) {
        or(&mut self.weight, 50);
    }
}
