//! The client half of this agent: what it uses, its metadata, restarts, signals, garbage.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use nomadd_client::metadata::Changes;
use nomadd_client::{Metadata, MetadataError, RequestError};
use nomadd_model::{AllocSignalRequest, AllocationId, AllocationRestartRequest, NodeId};
use serde::Deserialize;
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
    is_this_node(app, call.text("node_id"))
}

fn is_this_node(app: &App, id: &str) -> Result<(), Failure> {
    let own = app.client()?.node_id().to_string();
    match id {
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

/// What is to change of a node's metadata: null takes a key away.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetadataChange {
    #[serde(rename = "NodeID", alias = "NodeId", alias = "nodeID")]
    node: Option<String>,
    #[serde(rename = "Meta", alias = "meta")]
    meta: Option<Changes>,
}

/// `GET /v1/client/metadata`: where a node's metadata comes from. `PUT` changes it while the agent runs.
pub async fn metadata(app: &App, mut call: Call) -> Answered {
    if call.is_get() {
        this_node(app, &call)?;
        return told(&call, app.client()?.metadata());
    }
    call.must_put()?;
    let MetadataChange { node, meta } = call.json().await?;
    let node = node.unwrap_or_default();
    if let Some(other) = elsewhere(app, &call, &node) {
        return Ok(other);
    }
    this_node(app, &call)?;
    is_this_node(app, &node)?;
    let changed = app.client()?.change_metadata(meta.unwrap_or_default()).await;
    told(&call, changed.map_err(|error| Failure::new(status_of(&error), whole(&error)))?)
}

/// Where to ask when only the body names the node, as Nomad's client does: requests find their way by their address.
fn elsewhere(app: &App, call: &Call, node: &str) -> Option<Response<Body>> {
    let id: NodeId = Some(node).filter(|node| !node.is_empty())?.parse().ok()?;
    let here = app.client.as_ref().is_some_and(|client| client.node_id() == id);
    if here || app.ways.is_none() || !call.text("node_id").is_empty() {
        return None;
    }
    let address = HeaderValue::try_from(format!("/v1/client/metadata?node_id={id}")).ok()?;
    let mut response = answer::empty();
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(header::LOCATION, address);
    Some(response)
}

fn status_of(error: &MetadataError) -> StatusCode {
    if error.is_bad_request() { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR }
}

/// An error with what caused it, in one line.
fn whole(error: &MetadataError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn told(call: &Call, metadata: Metadata) -> Answered {
    let Metadata { all, dynamic, fixed } = metadata;
    answer::json(call, &json!({ "Dynamic": dynamic, "Meta": all, "Static": fixed }))
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
