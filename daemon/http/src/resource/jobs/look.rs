//! What can be read of one job.

use std::sync::Arc;

use nomadd_model::{Deployment, Evaluation, Job, JobVersionsResponse, Text, diff};
use nomadd_state::{JobKey, Table, WatchKey};
use serde_json::json;

use crate::answer::{self, Answered, Meta};
use crate::app::App;
use crate::blocking;
use crate::cache::Made;
use crate::call::Call;
use crate::failure::Failure;
use crate::view;

use super::super::allocations::parts;

/// `GET /v1/job/ID`: the bytes are kept until the job changes.
pub async fn read(app: &App, call: Call, id: &str) -> Answered {
    let namespace = call.namespace();
    // The most frequent read of all: what only a waiting one needs is made only for it.
    let waits = call.index()? > 0;
    let keys: Vec<_> = waits.then(|| WatchKey::Job(JobKey::new(&namespace, &Text::from(id)))).into_iter().collect();
    let (meta, found) = blocking::query(app, &call, &keys, |state| {
        let found = state.job(&namespace, id);
        Ok((found.map_or_else(|| state.table_index(Table::Jobs), |job| job.modify_index), found.cloned()))
    })
    .await?;
    let job = found.ok_or_else(|| Failure::not_found("job not found").of(&meta))?;
    if call.switch("pretty")? {
        return answer::read_bytes(&meta, answer::bytes(&call, &*job)?);
    }
    let key = format!("job {namespace} {id}");
    let made = app.cache.get(&key, job.modify_index, || {
        let bytes = serde_json::to_vec(&*job).map_err(Failure::internal)?;
        Ok::<_, Failure>(Made { bytes: bytes.into(), next: None })
    })?;
    answer::read_bytes(&meta, made.bytes)
}

/// `GET /v1/job/ID/summary`.
pub async fn summary(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let namespace = call.namespace();
    let (meta, found) =
        blocking::query(app, &call, &[WatchKey::Summary(JobKey::new(&namespace, &Text::from(id)))], |state| {
            Ok(match state.job_summary(&namespace, id) {
                Some(summary) => (summary.modify_index, Some(view::summary(summary))),
                None => (state.table_index(Table::Summaries), None),
            })
        })
        .await?;
    answer::read(&call, &meta, &found.ok_or_else(|| Failure::not_found("job not found").of(&meta))?)
}

/// `GET /v1/job/ID/allocations`; `all=true` shows those of an earlier job of the same name, too.
pub async fn allocations(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let (namespace, all, parts) = (call.namespace(), call.switch("all")?, parts(&call)?);
    let (meta, page) =
        blocking::query(app, &call, &[WatchKey::JobAllocations(JobKey::new(&namespace, &Text::from(id)))], |state| {
            let created = state.job(&namespace, id).map(|job| job.create_index);
            let page: Vec<_> = state
                .allocations_by_job(&namespace, id)
                .filter(|allocation| all || created.is_none_or(|created| allocation.job_create_index == created))
                .map(|allocation| view::allocation_stub(state, allocation, parts))
                .collect();
            let index = page.iter().map(|allocation| allocation.modify_index).max();
            Ok((index.unwrap_or_else(|| state.table_index(Table::Allocations)), page))
        })
        .await?;
    answer::read(&call, &meta, &page)
}

/// `GET /v1/job/ID/evaluations`: the newest first.
pub async fn evaluations(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let namespace = call.namespace();
    let (meta, page) =
        blocking::query(app, &call, &[WatchKey::JobEvaluations(JobKey::new(&namespace, &Text::from(id)))], |state| {
            let mut page: Vec<Evaluation> =
                state.evaluations_by_job(&namespace, id).map(|evaluation| Evaluation::clone(evaluation)).collect();
            page.sort_by_key(|evaluation| std::cmp::Reverse(evaluation.create_index));
            let index = page.iter().map(|evaluation| evaluation.modify_index).max();
            Ok((index.unwrap_or_else(|| state.table_index(Table::Evaluations)), page))
        })
        .await?;
    answer::read(&call, &meta, &page)
}

/// `GET /v1/job/ID/deployments`.
pub async fn deployments(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let (namespace, all) = (call.namespace(), call.switch("all")?);
    let (meta, page) =
        blocking::query(app, &call, &[WatchKey::JobDeployments(JobKey::new(&namespace, &Text::from(id)))], |state| {
            let created = state.job(&namespace, id).map(|job| job.create_index);
            let mut page: Vec<Deployment> = state
                .deployments_by_job(&namespace, id)
                .filter(|deployment| all || created.is_none_or(|created| deployment.job_create_index == created))
                .map(|deployment| Deployment::clone(deployment))
                .collect();
            page.sort_by_key(|deployment| std::cmp::Reverse(deployment.create_index));
            let index = page.iter().map(|deployment| deployment.modify_index).max();
            Ok((index.unwrap_or_else(|| state.table_index(Table::Deployments)), page))
        })
        .await?;
    answer::read(&call, &meta, &page)
}

/// `GET /v1/job/ID/deployment`: the latest, or `null`.
pub async fn deployment(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let namespace = call.namespace();
    let (meta, found) =
        blocking::query(app, &call, &[WatchKey::JobDeployments(JobKey::new(&namespace, &Text::from(id)))], |state| {
            Ok(match state.latest_deployment(&namespace, id) {
                Some(deployment) => (deployment.modify_index, Some(Arc::clone(deployment))),
                None => (state.table_index(Table::Deployments), None),
            })
        })
        .await?;
    answer::read(&call, &meta, &found.as_deref())
}

/// `GET /v1/job/ID/versions`, with differences when asked for.
pub async fn versions(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let namespace = call.namespace();
    let diffs = call.switch("diffs")?;
    let against: Option<u64> = call.number("diff_version")?;
    let tag = call.text("diff_tag").to_owned();
    let (meta, found) =
        blocking::query(app, &call, &[WatchKey::Job(JobKey::new(&namespace, &Text::from(id)))], |state| {
            let versions: Vec<Arc<Job>> = state.job_versions(&namespace, id).cloned().collect();
            let index = state.job(&namespace, id).map(|job| job.modify_index);
            Ok((index.unwrap_or_else(|| state.table_index(Table::Jobs)), versions))
        })
        .await?;
    if found.is_empty() {
        return Err(Failure::not_found("job versions not found").of(&meta));
    }
    let base = match (&tag, against) {
        (tag, _) if !tag.is_empty() => {
            let tagged = found.iter().find(|job| job.version_tag.as_ref().is_some_and(|named| named.name == *tag));
            Some(Arc::clone(tagged.ok_or_else(|| Failure::bad_request(format!("tag {tag:?} not found")))?))
        }
        (_, Some(version)) => {
            let of = found.iter().find(|job| job.version == version);
            Some(Arc::clone(of.ok_or_else(|| Failure::bad_request(format!("version {version} not found")))?))
        }
        _ => None,
    };
    let differences = if diffs || base.is_some() {
        let older = |at: usize| base.clone().or_else(|| found.get(at + 1).cloned());
        (0..found.len())
            .filter_map(|at| Some(diff::diff(Some(&*older(at)?), Some(&found[at]), diff::Detail::Context)))
            .collect()
    } else {
        Vec::new()
    };
    answer::read_with_meta(&call, &meta, &JobVersionsResponse { diffs: differences, versions: found })
}

/// `GET /v1/job/ID/submission`.
pub async fn submission(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let namespace = call.namespace();
    let version: Option<u64> = call.number("version")?;
    let (meta, found) =
        blocking::query(app, &call, &[WatchKey::Job(JobKey::new(&namespace, &Text::from(id)))], |state| {
            let current = state.job(&namespace, id).map(|job| job.version);
            let version = version.or(current).unwrap_or_default();
            let found = state.job_submission(&namespace, id, version).map(|submission| {
                let of = state.job_version(&namespace, id, version).map_or(0, |job| job.job_modify_index);
                (Arc::clone(submission), version, of)
            });
            Ok((state.table_index(Table::Jobs), found))
        })
        .await?;
    let (found, version, modified) = found.ok_or_else(|| Failure::not_found("job source not found").of(&meta))?;
    let mut value = serde_json::to_value(&*found).map_err(Failure::internal)?;
    value["JobID"] = id.into();
    value["JobModifyIndex"] = modified.into();
    value["Namespace"] = namespace.as_str().into();
    value["Version"] = version.into();
    answer::read(&call, &meta, &value)
}

/// `GET /v1/job/ID/services`: nothing is registered yet, and the registration's warnings said so.
pub async fn services(app: &App, call: Call, id: &str) -> Answered {
    let meta = must_exist(app, &call, id)?;
    answer::read(&call, &meta, &Vec::<()>::new())
}

/// `GET /v1/job/ID/actions`: a job with actions is refused at registration, so there are none.
pub async fn actions(app: &App, call: Call, id: &str) -> Answered {
    let meta = must_exist(app, &call, id)?;
    answer::read(&call, &meta, &Vec::<()>::new())
}

fn must_exist(app: &App, call: &Call, id: &str) -> Result<Meta, Failure> {
    call.must_get()?;
    app.caller(call)?.resolve()?;
    let server = app.server()?;
    let state = server.state();
    let found = state.job(&call.namespace(), id);
    let index = found.map_or_else(|| state.table_index(Table::Jobs), |job| job.modify_index);
    let meta = Meta { index, known_leader: nomadd_server::status::has_leader(server), next_token: None };
    if found.is_some() { Ok(meta) } else { Err(Failure::not_found("job not found").of(&meta)) }
}

/// `GET /v1/why/job/ID`: nomadd's own; why a job is not placed or not running, and what would help.
pub async fn why(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let namespace = call.namespace();
    let state = app.server()?.state();
    let Some(job) = state.job(&namespace, id) else { return Err(Failure::not_found("job not found")) };
    app.caller(&call)?.resolve()?;
    let explanations = nomadd_server::jobs::why(&state, job);
    answer::json(
        &call,
        &json!({ "JobID": id, "Namespace": namespace, "Status": job.status, "Explanations": explanations }),
    )
}
