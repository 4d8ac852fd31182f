//! What differs between two canonical jobs, as `job plan` and the history of versions show it.
//!
//! `diff` compares; `annotate` adds what the scheduler would do about it. Texts, types and order are Nomad's: the command
//! line prints them as they are.

mod annotate;
mod group;
mod object;
mod service;
mod task;

use crate::group::Spread;
use crate::job::Job;
use crate::plan::{JobDiff, ObjectDiff};
use crate::spec::{JobUIConfig, ParameterizedJobConfig, SpreadTarget};

pub use annotate::annotate;

use object::{Kind, edited, fields, flatten, plain, set, words};

/// Fields of a job that servers keep and nobody writes, and those that are compared in another way.
const NOT_OF_THE_AUTHOR: &[&str] = &[
    "ID",
    "Status",
    "StatusDescription",
    "Version",
    "Stable",
    "CreateIndex",
    "ModifyIndex",
    "JobModifyIndex",
    "SubmitTime",
    "NomadTokenID",
    "Payload",
];

/// Which fields of a changed block are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Only those that differ.
    Changed,
    /// All of them, so that a reader sees the change in its place.
    Context,
}

/// Compares two versions of a job; `None` is the job that is not there.
pub fn diff(old: Option<&Job>, new: Option<&Job>, detail: Detail) -> JobDiff {
    let id = new.or(old).map(|job| job.id.to_string()).unwrap_or_default();
    let job_fields = fields(&flatten(old, NOT_OF_THE_AUTHOR), &flatten(new, NOT_OF_THE_AUTHOR), Detail::Changed);
    let task_groups = group::groups(old, new, detail);
    let objects = objects(old, new, detail);
    let kind = match (old, new) {
        (None, Some(_)) => Kind::Added,
        (Some(_), None) => Kind::Deleted,
        _ => edited(
            !job_fields.is_empty()
                || !objects.is_empty()
                || task_groups.iter().any(|group| group.kind != Kind::None.as_str()),
        ),
    };
    JobDiff { fields: job_fields, id, objects, task_groups, kind: kind.into() }
}

fn objects(old: Option<&Job>, new: Option<&Job>, detail: Detail) -> Vec<ObjectDiff> {
    let mut objects = Vec::new();
    let datacenters = |job: Option<&Job>| job.map(|job| job.datacenters.clone()).unwrap_or_default();
    objects.extend(words("Datacenters", &datacenters(old), &datacenters(new), detail));
    objects.extend(set("Constraint", of(old, |job| &job.constraints), of(new, |job| &job.constraints), detail));
    objects.extend(set("Affinity", of(old, |job| &job.affinities), of(new, |job| &job.affinities), detail));
    objects.extend(spreads(of(old, |job| &job.spreads), of(new, |job| &job.spreads), detail));
    let periodic = |job: Option<&Job>| job.and_then(|job| job.periodic.clone());
    objects.extend(plain("Periodic", periodic(old).as_ref(), periodic(new).as_ref(), &[], detail));
    let parameterized = |job: Option<&Job>| job.and_then(|job| job.parameterized_job.clone());
    objects.extend(parameterized_diff(parameterized(old).as_ref(), parameterized(new).as_ref(), detail));
    let ui = |job: Option<&Job>| job.and_then(|job| job.ui.clone());
    let (old, new) = (ui(old), ui(new));
    let links = |ui: &Option<JobUIConfig>| ui.as_ref().and_then(|ui| ui.links.clone()).unwrap_or_default();
    let children = set("Link", &links(&old), &links(&new), detail);
    objects.extend(object::block("UI", old.as_ref(), new.as_ref(), &[], children, detail));
    objects
}

/// A list of something that may not be there.
fn of<T, U>(whole: Option<&T>, part: impl FnOnce(&T) -> &Vec<U>) -> &[U] {
    whole.map(|whole| part(whole).as_slice()).unwrap_or_default()
}

fn parameterized_diff(
    old: Option<&ParameterizedJobConfig>,
    new: Option<&ParameterizedJobConfig>,
    detail: Detail,
) -> Option<ObjectDiff> {
    let required = |config: Option<&ParameterizedJobConfig>| config.and_then(|config| config.meta_required.clone());
    let optional = |config: Option<&ParameterizedJobConfig>| config.and_then(|config| config.meta_optional.clone());
    let list = Option::unwrap_or_default;
    let children = words("MetaOptional", &list(optional(old)), &list(optional(new)), detail)
        .into_iter()
        .chain(words("MetaRequired", &list(required(old)), &list(required(new)), detail))
        .collect();
    object::block("ParameterizedJob", old, new, &[], children, detail)
}

/// Spreads of a job or a group.
fn spreads(old: &[Spread], new: &[Spread], detail: Detail) -> Vec<ObjectDiff> {
    object::set_of_blocks(old, new, |old, new| {
        let targets = |spread: Option<&Spread>| -> Vec<SpreadTarget> {
            spread.map(|spread| spread.spread_target.clone()).unwrap_or_default()
        };
        let children = set("SpreadTarget", &targets(old), &targets(new), detail);
        object::block("Spread", old, new, &[], children, detail)
    })
}
