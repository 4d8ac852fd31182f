//! From a job as written to the canonical job that servers keep, and back.
//!
//! `canonicalize` is total: every field of the written job is taken apart by name, so that a new one cannot be forgotten,
//! and what was not written gets Nomad's default. It refuses only what has no canonical form; everything else that is
//! wrong with a job is admission's to say. The way back gives a written job that canonicalizes to the same job again.

mod group;
mod service;
mod task;

use crate::group::{Affinity, Spread};
use crate::job::{Job, PeriodicConfig, UpdateStrategy};
use crate::spec;
use crate::value::{Duration, Text};
use crate::word::{JobStatus, JobType};

/// What a server fills in where the author wrote nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The region of the agent; also taken for `global`, which clients fill in unasked.
    pub region: Text,
    /// The namespace of the request.
    pub namespace: Text,
    /// The default node pool of that namespace.
    pub node_pool: Text,
    /// The priority of a job that names none.
    pub priority: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { region: "global".into(), namespace: "default".into(), node_pool: "default".into(), priority: 50 }
    }
}

/// A job without a canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalizeError {
    /// The type is none of Nomad's four.
    #[error("Invalid job type: {0:?}")]
    JobType(String),
}

/// Makes the canonical job of a written one.
pub fn canonicalize(mut written: spec::Job, settings: &Settings) -> Result<Job, CanonicalizeError> {
    if written.priority.unwrap_or_default() == 0 {
        written.priority = Some(settings.priority);
    }
    if written.namespace.as_deref().unwrap_or_default().is_empty() {
        written.namespace = Some(settings.namespace.to_string());
    }
    written.fill_defaults();
    let spec::Job {
        region,
        namespace,
        id,
        name,
        kind,
        priority,
        all_at_once,
        datacenters,
        node_pool,
        constraints,
        affinities,
        task_groups,
        update,
        multiregion,
        spreads,
        periodic,
        parameterized_job,
        // Groups have taken these over.
        reschedule: _,
        migrate: _,
        meta,
        ui,
        stop,
        parent_id,
        dispatched,
        dispatch_idempotency_token,
        payload,
        consul_namespace,
        vault_namespace,
        nomad_token_id,
        status,
        status_description,
        stable,
        version,
        submit_time,
        create_index,
        modify_index,
        job_modify_index,
        version_tag,
    } = written;
    let kind = kind.unwrap_or_default();
    let kind: JobType = kind.parse().map_err(|_| CanonicalizeError::JobType(kind))?;
    let place = Place {
        namespace: namespace.unwrap_or_default().into(),
        job_id: id.clone().unwrap_or_default().into(),
        job: name.unwrap_or_default().into(),
        kind,
    };
    let region = region.filter(|region| !region.is_empty() && region != "global");
    let datacenters: Vec<Text> = datacenters.unwrap_or_default().into_iter().map(Text::from).collect();
    let mut parameterized_job = parameterized_job;
    if let Some(parameterized) = &mut parameterized_job
        && parameterized.payload.is_empty()
    {
        parameterized.payload = "optional".into();
    }
    Ok(Job {
        affinities: affinities.unwrap_or_default().into_iter().map(Affinity::from).collect(),
        all_at_once: all_at_once.unwrap_or_default(),
        constraints: constraints.unwrap_or_default(),
        consul_namespace: consul_namespace.unwrap_or_default(),
        create_index: create_index.unwrap_or_default(),
        datacenters: if datacenters.is_empty() { vec!["*".into()] } else { datacenters },
        dispatch_idempotency_token: dispatch_idempotency_token.unwrap_or_default(),
        dispatched,
        id: place.job_id.clone(),
        job_modify_index: job_modify_index.unwrap_or_default(),
        meta: meta.unwrap_or_default(),
        modify_index: modify_index.unwrap_or_default(),
        multiregion,
        name: place.job.clone(),
        namespace: place.namespace.clone(),
        node_pool: node_pool.filter(|pool| !pool.is_empty()).map_or_else(|| settings.node_pool.clone(), Text::from),
        nomad_token_id: nomad_token_id.unwrap_or_default(),
        parameterized_job,
        parent_id: parent_id.unwrap_or_default().into(),
        payload: payload.unwrap_or_default(),
        periodic: periodic.map(PeriodicConfig::from),
        priority: priority.unwrap_or(settings.priority),
        region: region.map_or_else(|| settings.region.clone(), Text::from),
        spreads: spreads.unwrap_or_default().into_iter().map(Spread::from).collect(),
        stable: stable.unwrap_or_default(),
        status: status.unwrap_or_default().parse().unwrap_or(JobStatus::Pending),
        status_description: status_description.unwrap_or_default(),
        stop: stop.unwrap_or_default(),
        submit_time: submit_time.unwrap_or_default(),
        task_groups: task_groups.unwrap_or_default().into_iter().map(|written| group::group(written, &place)).collect(),
        kind,
        ui: ui.map(|spec::JobUIConfig { description, links }| spec::JobUIConfig {
            description,
            links: links.filter(|links| !links.is_empty()),
        }),
        update: Some(of_job(update)),
        vault_namespace: vault_namespace.unwrap_or_default(),
        version: version.unwrap_or_default(),
        version_tag,
    })
}

/// Where a part of a job stands.
struct Place {
    namespace: Text,
    job_id: Text,
    job: Text,
    kind: JobType,
}

/// Of a job's own update block servers keep the pace; the rest has moved into the groups.
fn of_job(update: Option<spec::UpdateStrategy>) -> UpdateStrategy {
    let spec::UpdateStrategy { stagger, max_parallel, .. } = update.unwrap_or_default();
    UpdateStrategy {
        stagger: stagger.unwrap_or_default(),
        max_parallel: max_parallel.unwrap_or_default(),
        ..UpdateStrategy::default()
    }
}

impl From<spec::PeriodicConfig> for PeriodicConfig {
    fn from(written: spec::PeriodicConfig) -> Self {
        let spec::PeriodicConfig { enabled, spec, specs, spec_type, prohibit_overlap, time_zone } = written;
        Self {
            enabled: enabled.unwrap_or(true),
            prohibit_overlap: prohibit_overlap.unwrap_or_default(),
            spec: spec.unwrap_or_default(),
            spec_type: spec_type.unwrap_or_default(),
            specs: specs.unwrap_or_default(),
            time_zone: time_zone.unwrap_or_default(),
        }
    }
}

impl From<spec::UpdateStrategy> for UpdateStrategy {
    fn from(written: spec::UpdateStrategy) -> Self {
        let spec::UpdateStrategy {
            stagger,
            max_parallel,
            health_check,
            min_healthy_time,
            healthy_deadline,
            progress_deadline,
            canary,
            auto_revert,
            auto_promote,
        } = written;
        Self {
            auto_promote: auto_promote.unwrap_or_default(),
            auto_revert: auto_revert.unwrap_or_default(),
            canary: canary.unwrap_or_default(),
            health_check: health_check.unwrap_or_default(),
            healthy_deadline: healthy_deadline.unwrap_or_default(),
            max_parallel: max_parallel.unwrap_or_default(),
            min_healthy_time: min_healthy_time.unwrap_or_default(),
            progress_deadline: progress_deadline.unwrap_or_default(),
            stagger: stagger.unwrap_or_default(),
        }
    }
}

impl From<&UpdateStrategy> for spec::UpdateStrategy {
    fn from(update: &UpdateStrategy) -> Self {
        let &UpdateStrategy {
            auto_promote,
            auto_revert,
            canary,
            ref health_check,
            healthy_deadline,
            max_parallel,
            min_healthy_time,
            progress_deadline,
            stagger,
        } = update;
        Self {
            stagger: Some(stagger),
            max_parallel: Some(max_parallel),
            health_check: Some(health_check.clone()),
            min_healthy_time: Some(min_healthy_time),
            healthy_deadline: Some(healthy_deadline),
            progress_deadline: Some(progress_deadline),
            canary: Some(canary),
            auto_revert: Some(auto_revert),
            auto_promote: Some(auto_promote),
        }
    }
}

impl From<&Job> for spec::Job {
    fn from(job: &Job) -> Self {
        let Job {
            affinities,
            all_at_once,
            constraints,
            consul_namespace,
            create_index,
            datacenters,
            dispatch_idempotency_token,
            dispatched,
            id,
            job_modify_index,
            meta,
            modify_index,
            multiregion,
            name,
            namespace,
            node_pool,
            nomad_token_id,
            parameterized_job,
            parent_id,
            payload,
            periodic,
            priority,
            region,
            spreads,
            stable,
            status,
            status_description,
            stop,
            submit_time,
            task_groups,
            kind,
            ui,
            update,
            vault_namespace,
            version,
            version_tag,
        } = job;
        Self {
            region: Some(region.to_string()),
            namespace: Some(namespace.to_string()),
            id: Some(id.to_string()),
            name: Some(name.to_string()),
            kind: Some(kind.as_str().into()),
            priority: Some(*priority),
            all_at_once: Some(*all_at_once),
            datacenters: Some(datacenters.iter().map(Text::to_string).collect()),
            node_pool: Some(node_pool.to_string()),
            constraints: some_list(constraints),
            affinities: some_each(affinities),
            task_groups: some_each(task_groups),
            update: update.as_ref().map(spec::UpdateStrategy::from),
            multiregion: multiregion.clone(),
            spreads: some_each(spreads),
            periodic: periodic.as_ref().map(spec::PeriodicConfig::from),
            parameterized_job: parameterized_job.clone(),
            reschedule: None,
            migrate: None,
            meta: some_map(meta),
            ui: ui.clone(),
            stop: Some(*stop),
            parent_id: Some(parent_id.to_string()),
            dispatched: *dispatched,
            dispatch_idempotency_token: Some(dispatch_idempotency_token.clone()),
            payload: (!payload.0.is_empty()).then(|| payload.clone()),
            consul_namespace: Some(consul_namespace.clone()),
            vault_namespace: Some(vault_namespace.clone()),
            nomad_token_id: Some(nomad_token_id.clone()),
            status: Some(status.as_str().into()),
            status_description: Some(status_description.clone()),
            stable: Some(*stable),
            version: Some(*version),
            submit_time: Some(*submit_time),
            create_index: Some(*create_index),
            modify_index: Some(*modify_index),
            job_modify_index: Some(*job_modify_index),
            version_tag: version_tag.clone(),
        }
    }
}

impl From<&PeriodicConfig> for spec::PeriodicConfig {
    fn from(periodic: &PeriodicConfig) -> Self {
        let PeriodicConfig { enabled, prohibit_overlap, spec, spec_type, specs, time_zone } = periodic;
        Self {
            enabled: Some(*enabled),
            spec: Some(spec.clone()),
            specs: Some(specs.clone()),
            spec_type: Some(spec_type.clone()),
            prohibit_overlap: Some(*prohibit_overlap),
            time_zone: Some(time_zone.clone()),
        }
    }
}

/// An empty list was not written.
fn some_list<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn some_each<'a, T, U: From<&'a T>>(list: &'a [T]) -> Option<Vec<U>> {
    (!list.is_empty()).then(|| list.iter().map(U::from).collect())
}

fn some_map<K: Clone + Ord, V: Clone>(
    map: &std::collections::BTreeMap<K, V>,
) -> Option<std::collections::BTreeMap<K, V>> {
    (!map.is_empty()).then(|| map.clone())
}

/// Zero was not written.
fn some_number(number: i64) -> Option<i64> {
    (number != 0).then_some(number)
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds)
}
