//! Admission: whether a written job is taken, and what it becomes.
//!
//! Owns validation, defaults that servers fill in, implied constraints, warnings, and the plain refusal of what this build
//! cannot do. Pure: a job and what is known of the cluster go in, a canonical job or a list of errors comes out.
//! A room of its own because three callers share it: the server before every registration and plan, `job validate` of
//! the command line without a server, and tests; the server room would bring raft and sockets with it.

mod constraint;
mod group;
mod implied;
mod job;
mod network;
mod operand;
mod places;
mod policy;
mod problems;
mod service;
mod task;
mod unsupported;
mod volume;
mod warning;

use nomadd_model::canonicalize::{CanonicalizeError, Settings, canonicalize};
use nomadd_model::{Job, JobStatus, JobType, Namespace, NodePool, SchedulerConfiguration, Time, spec};
use serde_json::{Map, Value};

pub use places::glob;
pub use problems::{error_text, warning_text};
pub use warning::unregistered;

use problems::Problems;

/// What is known of the cluster when a job comes in.
#[derive(Clone, Copy)]
pub struct AdmissionContext<'a> {
    /// The region of the server.
    pub region: &'a str,
    /// The namespace of the request, for a job that names none.
    pub namespace: &'a str,
    /// How large a job may be.
    pub limits: Limits,
    /// The cluster's scheduler configuration.
    pub scheduler: &'a SchedulerConfiguration,
    /// Namespaces and node pools.
    pub places: &'a dyn Places,
    /// Who knows the configurations of drivers.
    pub drivers: &'a dyn Drivers,
    /// The job of that namespace and id as it is kept now.
    pub existing: Option<&'a Job>,
    /// When the job came in.
    pub now: Time,
}

/// How large a job may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The priority of a job that names none.
    pub default_priority: i64,
    /// The highest priority.
    pub max_priority: i64,
    /// The most allocations that all groups of a job may ask for.
    pub max_count: i64,
}

impl Default for Limits {
    /// Nomad's: priority 50 of at most 100, 50,000 allocations.
    fn default() -> Self {
        Self { default_priority: 50, max_priority: 100, max_count: 50_000 }
    }
}

/// Namespaces and node pools by name.
pub trait Places {
    /// The namespace of that name.
    fn namespace(&self, name: &str) -> Option<&Namespace>;
    /// The node pool of that name.
    fn node_pool(&self, name: &str) -> Option<&NodePool>;
}

/// Checks the `config` block of tasks.
pub trait Drivers {
    /// What is wrong with a configuration, one sentence each; nothing for a driver that is not known here, because a
    /// node may have it.
    fn check(&self, driver: &str, config: &Map<String, Value>) -> Vec<String>;
}

/// Knows no driver.
pub struct NoDrivers;

impl Drivers for NoDrivers {
    fn check(&self, _driver: &str, _config: &Map<String, Value>) -> Vec<String> {
        Vec::new()
    }
}

/// A job that is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    /// The canonical job, with implied constraints; indexes, version and status are the state's to fill in.
    pub job: Job,
    /// What its author should know, one sentence each; `warning_text` joins them.
    pub warnings: Vec<String>,
}

/// A job that is not taken: what is wrong with it. Displays as Nomad's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionError {
    /// One text for each error; those of groups and tasks hold lists of their own.
    pub errors: Vec<String>,
    /// Warnings that came up all the same.
    pub warnings: Vec<String>,
}

impl std::fmt::Display for AdmissionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&error_text(&self.errors))
    }
}
impl std::error::Error for AdmissionError {}

/// Admits a written job, or says everything that is wrong with it.
pub fn admit(written: spec::Job, context: &AdmissionContext<'_>) -> Result<Admitted, AdmissionError> {
    let mut problems = Problems::default();
    let (mut job, unknown_type) = canonical(written, context);
    problems.extend(job::check(&job, unknown_type.as_deref(), context));
    problems.extend(unsupported::check(&job));
    let warnings = warning::warnings(&job, context);
    let errors = problems.into_texts();
    if !errors.is_empty() {
        return Err(AdmissionError { errors, warnings });
    }
    implied::add_constraints(&mut job);
    keep(&mut job, context);
    Ok(Admitted { job, warnings })
}

/// The canonical job; for a type that is none, the rest of the job as a batch job, so that all of it is checked.
fn canonical(written: spec::Job, context: &AdmissionContext<'_>) -> (Job, Option<String>) {
    let namespace = written.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(context.namespace);
    let node_pool = context
        .places
        .namespace(namespace)
        .and_then(|namespace| namespace.node_pool_configuration.as_ref())
        .map(|pools| pools.default.as_str())
        .filter(|pool| !pool.is_empty())
        .unwrap_or("default");
    let settings = Settings {
        region: context.region.into(),
        namespace: context.namespace.into(),
        node_pool: node_pool.into(),
        priority: context.limits.default_priority,
    };
    let unknown = written.kind.as_deref().is_some_and(|kind| kind.parse::<JobType>().is_err());
    let spare = unknown.then(|| spec::Job { kind: Some("batch".into()), ..written.clone() });
    match canonicalize(written, &settings) {
        Ok(job) => (job, None),
        Err(CanonicalizeError::JobType(kind)) => {
            (canonicalize(spare.unwrap_or_default(), &settings).unwrap_or_default(), Some(kind))
        }
    }
}

/// Sets what the server says about a job and its author cannot, and keeps the ids of scaling policies.
fn keep(job: &mut Job, context: &AdmissionContext<'_>) {
    job.submit_time = context.now.unix_nanos();
    job.status = JobStatus::Pending;
    job.status_description.clear();
    job.stable = false;
    job.version = 0;
    job.version_tag = None;
    job.create_index = 0;
    job.modify_index = 0;
    job.job_modify_index = 0;
    let Some(existing) = context.existing else { return };
    for group in &mut job.task_groups {
        let Some(old) = existing.group(&group.name) else { continue };
        if let (Some(policy), Some(old)) = (&mut group.scaling, &old.scaling) {
            policy.id = old.id;
            policy.create_index = old.create_index;
            policy.modify_index = old.modify_index;
        }
        for task in &mut group.tasks {
            let Some(old) = old.task(&task.name) else { continue };
            for policy in &mut task.scaling_policies {
                if let Some(old) = old.scaling_policies.iter().find(|old| old.kind == policy.kind) {
                    policy.id = old.id;
                    policy.create_index = old.create_index;
                    policy.modify_index = old.modify_index;
                }
            }
        }
    }
}
