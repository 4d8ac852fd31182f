//! Defaults of a group, and what it takes over from its job: update, reschedule, migrate.

use super::{or, or_text, over};
use crate::spec::{
    Consul, DisconnectStrategy, EphemeralDisk, Job, MigrateStrategy, ReschedulePolicy, RestartPolicy, ScalingPolicy,
    TaskGroup,
};
use crate::value::Duration;
use crate::word::JobType;

impl TaskGroup {
    pub(super) fn fill_defaults(&mut self, job: &Job, kind: JobType) {
        or(&mut self.name, String::new());
        let least = self.scaling.as_ref().and_then(|scaling| scaling.min);
        or(&mut self.count, least.unwrap_or(1));
        if let Some(scaling) = &mut self.scaling {
            scaling.fill_defaults(self.count.unwrap_or(1));
        }
        self.ephemeral_disk.get_or_insert_default().fill_defaults();
        if let Some(consul) = &mut self.consul {
            if let Some(namespace) = &job.consul_namespace {
                or_text(&mut consul.namespace, namespace);
            }
            consul.fill_defaults();
        }
        match (&job.update, &self.update) {
            (Some(of_job), Some(own)) => {
                let mut update = of_job.clone();
                update.merge(own);
                self.update = Some(update);
            }
            (Some(of_job), None) if !of_job.is_empty() => self.update = Some(of_job.clone()),
            _ => {}
        }
        if let Some(update) = &mut self.update {
            update.fill_defaults();
        }
        if let Some(of_job) = &job.reschedule {
            let mut reschedule = of_job.clone();
            if let Some(own) = &self.reschedule_policy {
                reschedule.merge(own);
            }
            self.reschedule_policy = Some(reschedule);
        }
        if self.reschedule_policy.is_none() && !kind.is_system() {
            self.reschedule_policy = Some(ReschedulePolicy::default());
        }
        if let Some(reschedule) = &mut self.reschedule_policy {
            reschedule.fill_defaults(kind);
        }
        if let Some(of_job) = &job.migrate {
            let mut migrate = of_job.clone();
            if let Some(own) = &self.migrate {
                migrate.merge(own);
            }
            self.migrate = Some(migrate);
        }
        if self.migrate.is_none() && kind == JobType::Service {
            self.migrate = Some(MigrateStrategy::default());
        }
        if let Some(migrate) = &mut self.migrate {
            migrate.fill_defaults();
        }
        self.restart_policy.get_or_insert_default().fill_defaults(kind);
        if let Some(disconnect) = &mut self.disconnect {
            disconnect.fill_defaults();
        }
        let mut tasks = self.tasks.take();
        for task in tasks.iter_mut().flatten() {
            task.fill_defaults(self, job);
        }
        self.tasks = tasks;
        for spread in self.spreads.iter_mut().flatten() {
            spread.fill_defaults();
        }
        for affinity in self.affinities.iter_mut().flatten() {
            affinity.fill_defaults();
        }
        let name = self.name.clone().unwrap_or_default();
        for service in self.services.iter_mut().flatten() {
            service.fill_defaults(job, &name, None);
        }
    }
}

impl RestartPolicy {
    fn fill_defaults(&mut self, kind: JobType) {
        let (attempts, interval) = if kind.is_batch() { (3, 24 * 3600) } else { (2, 30 * 60) };
        or(&mut self.interval, Duration::from_secs(interval));
        or(&mut self.attempts, attempts);
        or(&mut self.delay, Duration::from_secs(15));
        or(&mut self.mode, "fail".into());
        or(&mut self.render_templates, false);
    }

    /// The fields of `upper` where they were written, else these.
    pub(super) fn merge(&mut self, upper: &Self) {
        let Self { interval, attempts, delay, mode, render_templates } = upper;
        over(&mut self.interval, interval);
        over(&mut self.attempts, attempts);
        over(&mut self.delay, delay);
        over(&mut self.mode, mode);
        over(&mut self.render_templates, render_templates);
    }
}

impl ReschedulePolicy {
    fn fill_defaults(&mut self, kind: JobType) {
        let (attempts, interval, delay, function, max_delay, unlimited) = match kind {
            JobType::Service => (0, 0, 30, "exponential", 3600, true),
            JobType::Batch => (1, 24 * 3600, 5, "constant", 0, false),
            // Refused by servers; Nomad's client fills in zeros.
            JobType::System | JobType::SystemBatch => (0, 0, 0, "", 0, false),
        };
        or(&mut self.attempts, attempts);
        or(&mut self.interval, Duration::from_secs(interval));
        or(&mut self.delay, Duration::from_secs(delay));
        or(&mut self.delay_function, function.into());
        or(&mut self.max_delay, Duration::from_secs(max_delay));
        or(&mut self.unlimited, unlimited);
    }

    fn merge(&mut self, upper: &Self) {
        let Self { attempts, interval, delay, delay_function, max_delay, unlimited } = upper;
        over(&mut self.attempts, attempts);
        over(&mut self.interval, interval);
        over(&mut self.delay, delay);
        over(&mut self.delay_function, delay_function);
        over(&mut self.max_delay, max_delay);
        over(&mut self.unlimited, unlimited);
    }
}

impl MigrateStrategy {
    fn fill_defaults(&mut self) {
        or(&mut self.max_parallel, 1);
        or(&mut self.health_check, "checks".into());
        or(&mut self.min_healthy_time, Duration::from_secs(10));
        or(&mut self.healthy_deadline, Duration::from_secs(300));
    }

    fn merge(&mut self, upper: &Self) {
        let Self { max_parallel, health_check, min_healthy_time, healthy_deadline } = upper;
        over(&mut self.max_parallel, max_parallel);
        over(&mut self.health_check, health_check);
        over(&mut self.min_healthy_time, min_healthy_time);
        over(&mut self.healthy_deadline, healthy_deadline);
    }
}

impl EphemeralDisk {
    fn fill_defaults(&mut self) {
        or(&mut self.sticky, false);
        or(&mut self.migrate, false);
        or(&mut self.size_mb, 300);
    }
}

impl DisconnectStrategy {
    fn fill_defaults(&mut self) {
        or(&mut self.replace, true);
        or(&mut self.reconcile, "best_score".into());
    }
}

impl ScalingPolicy {
    fn fill_defaults(&mut self, count: i64) {
        or(&mut self.enabled, true);
        or(&mut self.min, count);
    }
}

impl Consul {
    pub(super) fn fill_defaults(&mut self) {
        or_text(&mut self.cluster, "default");
    }
}
