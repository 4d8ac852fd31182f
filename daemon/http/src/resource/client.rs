//! The client half of this agent: what it uses, restarts, signals, garbage.

use axum::http::StatusCode;
use nomadd_client::RequestError;
use nomadd_model::{AllocSignalRequest, AllocationId, AllocationRestartRequest};
use serde_json::json;

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let status = match error {
            RequestError::UnknownAllocation(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

/// An allocation of this node; an id that nobody has is 404 as an unknown one.
fn allocation(app: &App, call: &Call, id: &str) -> Result<AllocationId, Failure> {
    app.caller(call)?.resolve()?;
    id.parse().map_err(|_| Failure::not_found(format!("Unknown allocation {id:?}")))
}

/// Refuses a node that is not this one.
fn this_node(app: &App, call: &Call) -> Result<(), Failure> {
    app.caller(call)?.resolve()?;
    let own = app.client()?.node_id().to_string();
    match call.text("node_id") {
        "" => Ok(()),
        id if id == own => Ok(()),
        id => Err(Failure::not_found(format!("Unknown node {id}"))),
    }
}

/// `GET /v1/client/stats`.
pub async fn host_stats(app: &App, call: Call) -> Answered {
    call.must_get()?;
    this_node(app, &call)?;
    answer::json(&call, &app.client()?.stats().await)
}

/// `PUT /v1/client/gc`.
pub async fn collect_garbage(app: &App, call: Call) -> Answered {
    if !call.is_get() && !call.is_put() {
        return Err(Failure::method());
    }
    this_node(app, &call)?;
    app.client()?.collect_garbage().await;
    Ok(answer::empty())
}

/// `GET /v1/client/metadata`.
pub async fn metadata(app: &App, call: Call) -> Answered {
    if !call.is_get() {
        return Err(Failure::not_implemented(
            "metadata cannot be changed while the agent runs yet; set client.meta and restart the agent",
        ));
    }
    this_node(app, &call)?;
    let node = app.client()?.node();
    answer::json(&call, &json!({ "Meta": node.meta, "Dynamic": {}, "Static": node.meta }))
}

/// `GET /v1/client/allocation/ID/stats`.
pub async fn allocation_stats(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let id = allocation(app, &call, id)?;
    let task = Some(call.text("task")).filter(|task| !task.is_empty());
    answer::json(&call, &app.client()?.allocation_stats(id, task).await?)
}

/// `PUT /v1/client/allocation/ID/restart`.
pub async fn restart(app: &App, mut call: Call, id: &str) -> Answered {
    call.must_put()?;
    let id = allocation(app, &call, id)?;
    let request: AllocationRestartRequest = call.json_or_default().await?;
    if request.all_tasks && !request.task_name.is_empty() {
        return Err(Failure::bad_request("the task name cannot be used together with all tasks"));
    }
    let task = Some(request.task_name.as_str()).filter(|task| !task.is_empty());
    let client = app.client()?;
    let restarted = if request.all_tasks { client.restart_all(id).await } else { client.restart(id, task).await };
    restarted.map_err(|error| match error {
        RequestError::UnknownTask(task) => Failure::internal(format!("Could not find task runner for task: {task}")),
        other => other.into(),
    })?;
    answer::json(&call, &json!({ "Index": 0 }))
}

/// `PUT /v1/client/allocation/ID/signal`.
pub async fn signal(app: &App, mut call: Call, id: &str) -> Answered {
    call.must_put()?;
    let id = allocation(app, &call, id)?;
    let request: AllocSignalRequest = call.json().await?;
    let task = Some(request.task.as_str()).filter(|task| !task.is_empty());
    app.client()?.signal(id, task, &request.signal).await?;
    answer::json(&call, &json!({ "Index": 0 }))
}

/// `PUT /v1/client/allocation/ID/gc`.
pub async fn collect_allocation(app: &App, call: Call, id: &str) -> Answered {
    if !call.is_get() && !call.is_put() {
        return Err(Failure::method());
    }
    let id = allocation(app, &call, id)?;
    app.client()?.collect(id).await?;
    // An object, because clients read one.
    answer::json(&call, &json!({}))
}
