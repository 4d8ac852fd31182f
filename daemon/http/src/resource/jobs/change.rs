//! What can be done with one job.

use axum::http::Method;
use nomadd_model::{
    JobDispatchRequest, JobEvaluateRequest, JobPlanRequest, JobRevertRequest, JobStabilityRequest, ScalingRequest,
    TagVersionRequest,
};
use nomadd_server::jobs::{self, StopOptions};
use serde_json::{Value, json};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

/// `/v1/job/ID`: read, register, stop.
pub async fn one(app: &App, call: Call, id: &str) -> Answered {
    if call.method == Method::DELETE {
        return stop(app, call, id).await;
    }
    if call.is_put() {
        return super::register(app, call, Some(id)).await;
    }
    call.must_get()?;
    super::look::read(app, call, id).await
}

/// `DELETE /v1/job/ID`.
async fn stop(app: &App, call: Call, id: &str) -> Answered {
    let (caller, namespace) = (app.caller(&call)?, call.namespace());
    let options = StopOptions {
        purge: call.switch("purge")?,
        no_shutdown_delay: call.switch("no_shutdown_delay")?,
        eval_priority: call.number("eval_priority")?.unwrap_or(0),
    };
    let (index, done) = jobs::deregister(app.server()?, &caller, &namespace, id, options).await?;
    let mut value = serde_json::to_value(done).map_err(Failure::internal)?;
    value["VolumeEvalID"] = Value::from("");
    value["VolumeEvalIndex"] = Value::from(0);
    answer::written_with_meta(&call, index, &value)
}

/// `PUT /v1/job/ID/plan`.
pub async fn plan(app: &App, mut call: Call, id: &str) -> Answered {
    call.must_put()?;
    let caller = app.caller(&call)?;
    let mut request: JobPlanRequest = call.json().await?;
    let job = request.job.as_mut().ok_or_else(|| Failure::bad_request("Job must be specified"))?;
    if job.id.as_deref().unwrap_or_default().is_empty() {
        return Err(Failure::bad_request("Job must have a valid ID"));
    }
    if job.id.as_deref() != Some(id) {
        return Err(Failure::bad_request("Job ID does not match"));
    }
    super::into_namespace(&call, job);
    let (index, done) = jobs::plan(app.server()?, &caller, request).await?;
    answer::written_with(&call, index, &done)
}

/// `PUT /v1/job/ID/evaluate`.
pub async fn evaluate(app: &App, mut call: Call, id: &str) -> Answered {
    call.must_put()?;
    let caller = app.caller(&call)?;
    let request: JobEvaluateRequest = call.json_or_default().await?;
    if !request.job_id.is_empty() && request.job_id != id {
        return Err(Failure::bad_request("JobID not same as job name"));
    }
    let (index, done) = jobs::evaluate(app.server()?, &caller, &call.namespace(), id, request.eval_options).await?;
    answer::written_with_meta(&call, index, &done)
}

/// `/v1/job/ID/scale`: read how it is scaled, or scale.
pub async fn scale(app: &App, mut call: Call, id: &str) -> Answered {
    let caller = app.caller(&call)?;
    let namespace = call.namespace();
    if call.is_get() {
        let server = app.server()?;
        caller.resolve()?;
        let state = server.state();
        let status = jobs::scale_status(&state, &namespace, id);
        let index = state.table_index(nomadd_state::Table::Scaling).max(state.table_index(nomadd_state::Table::Jobs));
        let meta = answer::Meta { index, known_leader: nomadd_server::status::has_leader(server), next_token: None };
        return answer::read(&call, &meta, &status.ok_or_else(|| Failure::not_found("job not found").of(&meta))?);
    }
    call.must_put()?;
    let request: ScalingRequest = call.json().await?;
    let (index, done) = jobs::scale(app.server()?, &caller, &namespace, id, request).await?;
    answer::written_with_meta(&call, index, &done)
}

/// `PUT /v1/job/ID/revert`.
pub async fn revert(app: &App, mut call: Call, id: &str) -> Answered {
    call.must_put()?;
    let caller = app.caller(&call)?;
    let mut request: JobRevertRequest = call.json().await?;
    if request.job_id.is_empty() {
        return Err(Failure::bad_request("JobID must be specified"));
    }
    if request.job_id != id {
        return Err(Failure::bad_request("Job ID does not match"));
    }
    request.namespace = call.namespace_for(Some(&request.namespace));
    let (index, done) = jobs::revert(app.server()?, &caller, request).await?;
    answer::written_with_meta(&call, index, &done)
}

/// `PUT /v1/job/ID/stable`.
pub async fn stable(app: &App, mut call: Call, id: &str) -> Answered {
    call.must_put()?;
    let caller = app.caller(&call)?;
    let mut request: JobStabilityRequest = call.json().await?;
    if request.job_id != id {
        return Err(Failure::bad_request("Job ID does not match"));
    }
    request.namespace = call.namespace_for(Some(&request.namespace));
    let index = jobs::set_stable(app.server()?, &caller, request).await?;
    answer::written(&call, index, &json!({ "Index": index }))
}

/// `PUT` and `DELETE /v1/job/ID/versions/TAG/tag`.
pub async fn tag_version(app: &App, mut call: Call, id: &str, tag: &str) -> Answered {
    let (caller, namespace) = (app.caller(&call)?, call.namespace());
    let server = app.server()?;
    if call.method == Method::DELETE {
        let index = jobs::untag_version(server, &caller, &namespace, id, tag).await?;
        return answer::written_with_meta(&call, index, &json!({}));
    }
    call.must_put()?;
    let request: TagVersionRequest = call.json().await?;
    let version = (!request.latest).then_some(request.version);
    let (index, tagged) =
        jobs::tag_version(server, &caller, &namespace, id, version, tag, &request.description).await?;
    answer::written_with_meta(&call, index, &tagged)
}

/// `PUT /v1/job/ID/dispatch`.
pub async fn dispatch(app: &App, mut call: Call, id: &str) -> Answered {
    call.must_put()?;
    let caller = app.caller(&call)?;
    let mut request: JobDispatchRequest = call.json_or_default().await?;
    request.job_id = id.to_owned();
    let (index, done) = jobs::dispatch(app.server()?, &caller, &call.namespace(), &request)?;
    answer::written(&call, index, &done)
}

/// `PUT /v1/job/ID/periodic/force`: periodic jobs are refused at registration, so no job is one.
pub async fn periodic_force(app: &App, call: Call, id: &str) -> Answered {
    call.must_put()?;
    let (index, eval_id) = jobs::force_periodic(app.server()?, &app.caller(&call)?, &call.namespace(), id)?;
    answer::written(&call, index, &json!({ "EvalID": eval_id, "EvalCreateIndex": index, "Index": index }))
}
