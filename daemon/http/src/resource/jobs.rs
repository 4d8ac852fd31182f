//! Jobs: the collection, parsing and validation. One job's own paths are in `jobs/`.

mod change;
mod look;

use nomadd_jobspec::{Dialect, Options, Source, Variables};
use nomadd_model::{JobRegisterRequest, JobValidateRequest, JobsParseRequest, Text};
use nomadd_server::jobs;
use nomadd_state::{Table, WatchKey};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::blocking;
use crate::call::Call;
use crate::failure::Failure;
use crate::page::Paging;
use crate::view;

pub use change::{dispatch, evaluate, one, periodic_force, plan, revert, scale, stable, tag_version};
pub use look::{
    actions, allocations, deployment, deployments, evaluations, services, submission, summary, versions, why,
};

/// The largest job file that the server parses, in bytes.
const MAX_SOURCE: usize = 1_000_000;

/// `/v1/jobs`: list and register.
pub async fn collection(app: &App, call: Call) -> Answered {
    if call.is_put() {
        return register(app, call, None).await;
    }
    call.must_get()?;
    list(app, call).await
}

/// `GET /v1/jobs`.
async fn list(app: &App, call: Call) -> Answered {
    let paging = Paging::of(&call)?;
    let (namespace, prefix, with_meta) = (call.namespace(), call.text("prefix").to_owned(), call.switch("meta")?);
    let all = namespace == "*";
    blocking::list(app, &call, "jobs", &[Table::Jobs, Table::Summaries], |state| {
        let visible =
            state.jobs().filter(|job| all || job.namespace == namespace).filter(|job| job.id.starts_with(&prefix));
        let page = paging.cut(
            visible,
            |job| (job.namespace.clone(), job.id.clone()),
            |job| format!("{}.{}", job.namespace, job.id),
            |token| token.split_once('.').map(|(namespace, id)| (Text::from(namespace), Text::from(id))),
            |paging, job| paging.passes(&***job, nomadd_model::Job::FIELDS),
            |job| view::job_stub(state, job, with_meta),
        )?;
        blocking::made(&call, page)
    })
    .await
}

/// `PUT /v1/jobs` and `PUT /v1/job/ID`.
async fn register(app: &App, mut call: Call, id: Option<&str>) -> Answered {
    let caller = app.caller(&call)?;
    let mut request: JobRegisterRequest = call.json().await?;
    let job = request.job.as_mut().ok_or_else(|| Failure::bad_request("Job must be specified"))?;
    if id.is_some_and(|id| job.id.as_deref() != Some(id)) {
        return Err(Failure::bad_request("Job ID does not match name"));
    }
    if job.id.is_none() {
        return Err(Failure::bad_request("Job ID hasn't been provided"));
    }
    into_namespace(&call, job);
    app.check_region(job.region.as_deref().filter(|region| *region != "global").unwrap_or_default())?;
    let (index, done) = jobs::register(app.server()?, &caller, request).await?;
    answer::written_with_meta(&call, index, &done)
}

/// The request's parameter names the namespace of a job that names none.
fn into_namespace(call: &Call, job: &mut nomadd_model::spec::Job) {
    let namespace = call.namespace_for(job.namespace.as_deref());
    job.namespace = Some(namespace.to_string());
}

/// `POST /v1/jobs/parse`: opens no file.
pub async fn parse(app: &App, mut call: Call) -> Answered {
    call.must_put()?;
    let request: JobsParseRequest = call.json().await?;
    if request.job_hcl.is_empty() {
        return Err(Failure::bad_request("Job spec is empty"));
    }
    if request.job_hcl.len() > MAX_SOURCE {
        return Err(Failure::bad_request(format!(
            "Failed to parse job: it has {} bytes; at most {MAX_SOURCE} are allowed",
            request.job_hcl.len()
        )));
    }
    let (now, seed) = (app.runtime.clock.now(), app.runtime.seeds.seed());
    let parsed = app.runtime.pool.run(move || {
        let variables = Variables { inline: request.variables, ..Variables::default() };
        let options = Options { variables, strict: true, dialect: Dialect::Auto, files: None, now, seed };
        let source = Source { name: "input.hcl", text: &request.job_hcl };
        nomadd_jobspec::parse(source, &options).map(|parsed| {
            let mut job = parsed.job;
            if request.canonicalize {
                job.fill_defaults();
            }
            job
        })
    });
    let job = parsed
        .await
        .map_err(Failure::internal)?
        .map_err(|errors| Failure::bad_request(format!("Failed to parse job: {}", errors.headlines())))?;
    answer::json(&call, &job)
}

/// `PUT /v1/validate/job`.
pub async fn validate(app: &App, mut call: Call) -> Answered {
    call.must_put()?;
    let caller = app.caller(&call)?;
    let mut request: JobValidateRequest = call.json().await?;
    let job = request.job.as_mut().ok_or_else(|| Failure::bad_request("Job must be specified"))?;
    into_namespace(&call, job);
    let done = jobs::validate(app.server()?, &caller, request)?;
    answer::json(&call, &done)
}

/// `/v1/jobs/statuses`.
pub async fn statuses(app: &App, mut call: Call) -> Answered {
    if !call.is_get() && !call.is_put() {
        return Err(Failure::method());
    }
    let asked: nomadd_model::JobStatusesRequest =
        if call.is_put() { call.json_or_default().await? } else { Default::default() };
    let paging = Paging::of(&call)?;
    let namespace = call.namespace();
    let keys = [WatchKey::Table(Table::Jobs), WatchKey::Table(Table::Allocations), WatchKey::Table(Table::Deployments)];
    let (mut meta, (page, next)) = blocking::query(app, &call, &keys, |state| {
        let mut found: Vec<_> = state
            .jobs()
            .filter(|job| namespace == "*" || job.namespace == namespace || !asked.jobs.is_empty())
            .filter(|job| asked.include_children || job.parent_id.is_empty())
            .filter(|job| {
                asked.jobs.is_empty()
                    || asked.jobs.iter().any(|wanted| job.id == *wanted.id && job.namespace == *wanted.namespace)
            })
            .collect();
        // The newest come first; `reverse` turns that round.
        found.sort_by_key(|job| std::cmp::Reverse((job.modify_index, job.namespace.clone(), job.id.clone())));
        if paging.reverse {
            found.reverse();
        }
        let newest_first = paging.turned_round();
        let page = newest_first.cut(
            found.into_iter(),
            |job| (job.modify_index, job.namespace.clone(), job.id.clone()),
            |job| format!("{}.{}.{}", job.modify_index, job.namespace, job.id),
            |token| {
                let mut parts = token.splitn(3, '.');
                Some((parts.next()?.parse().ok()?, Text::from(parts.next()?), Text::from(parts.next()?)))
            },
            |paging, job| paging.passes(&***job, nomadd_model::Job::FIELDS),
            |job| view::job_status(state, job),
        )?;
        let index = state
            .table_index(Table::Jobs)
            .max(state.table_index(Table::Allocations))
            .max(state.table_index(Table::Deployments));
        Ok((index, page))
    })
    .await?;
    meta.next_token = next;
    answer::read(&call, &meta, &page)
}
