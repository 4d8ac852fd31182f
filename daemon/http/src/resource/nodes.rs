//! Nodes: list, read, their allocations, eligibility, evaluation, purge, drain.

use nomadd_model::{NodeId, NodeUpdateDrainRequest, NodeUpdateEligibilityRequest};
use nomadd_server::nodes;
use nomadd_state::{Table, WatchKey};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::blocking;
use crate::call::Call;
use crate::failure::Failure;
use crate::page::Paging;
use crate::{identify, view};

/// `GET /v1/nodes`.
pub async fn list(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let paging = Paging::of(&call)?;
    let prefix = identify::prefix(call.text("prefix"), "node")?;
    let (resources, os) = (call.switch("resources")?, call.switch("os")?);
    blocking::list(app, &call, "nodes", &[Table::Nodes], |state| {
        let page = paging.cut(
            state.nodes().filter(|node| identify::begins(&node.id.0, &prefix)),
            |node| node.id,
            |node| node.id.to_string(),
            |token| token.parse::<NodeId>().ok(),
            |paging, node| paging.passes(&***node, nomadd_model::Node::FIELDS),
            |node| view::node_stub(node, resources, os),
        )?;
        blocking::made(&call, page)
    })
    .await
}

/// `GET /v1/node/ID`.
pub async fn read(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let id: NodeId = identify::whole(id, "node")?;
    let (meta, node) = blocking::query(app, &call, &[WatchKey::Node(id)], |state| {
        Ok(match state.node(id) {
            Some(node) => (node.modify_index, Some(node.clone())),
            None => (state.table_index(Table::Nodes), None),
        })
    })
    .await?;
    let node = node.ok_or_else(|| Failure::not_found("node not found").of(&meta))?;
    let mut value = serde_json::to_value(&*node).map_err(Failure::internal)?;
    // What nobody may read is shown as empty.
    value["SecretID"] = "".into();
    value["IdentitySigningKeyID"] = "".into();
    answer::read(&call, &meta, &value)
}

/// `GET /v1/node/ID/allocations`: whole allocations with their jobs.
pub async fn allocations(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let id: NodeId = identify::whole(id, "node")?;
    let namespace = call.text("namespace").to_owned();
    let (meta, allocations) = blocking::query(app, &call, &[WatchKey::NodeAllocations(id)], |state| {
        let mut index = 0;
        let mut page = Vec::new();
        for allocation in state.allocations_by_node(id) {
            index = index.max(allocation.modify_index);
            if namespace.is_empty() || namespace == "*" || allocation.namespace == namespace.as_str() {
                page.push(view::allocation(state, allocation)?);
            }
        }
        Ok((if index == 0 { state.table_index(Table::Allocations) } else { index }, page))
    })
    .await?;
    answer::read(&call, &meta, &allocations)
}
/// `PUT /v1/node/ID/evaluate`.
pub async fn evaluate(app: &App, call: Call, id: &str) -> Answered {
    call.must_put()?;
    let id: NodeId = identify::whole(id, "node")?;
    let (index, done) = nodes::evaluate(app.server()?, &app.caller(&call)?, id).await?;
    answer::written_with(&call, index, &done)
}

/// `PUT /v1/node/ID/eligibility`.
pub async fn eligibility(app: &App, mut call: Call, id: &str) -> Answered {
    call.must_put()?;
    let id: NodeId = identify::whole(id, "node")?;
    let request: NodeUpdateEligibilityRequest = call.json().await?;
    let (index, done) = nodes::set_eligibility(app.server()?, &app.caller(&call)?, id, &request.eligibility).await?;
    answer::written_with(&call, index, &done)
}

/// `PUT /v1/node/ID/drain`.
pub async fn drain(app: &App, mut call: Call, id: &str) -> Answered {
    call.must_put()?;
    let id: NodeId = identify::whole(id, "node")?;
    let request: NodeUpdateDrainRequest = call.json().await?;
    let (index, done) = nodes::drain(app.server()?, &app.caller(&call)?, id, request).await?;
    answer::written_with(&call, index, &done)
}

/// `PUT /v1/node/ID/purge`.
pub async fn purge(app: &App, call: Call, id: &str) -> Answered {
    call.must_put()?;
    let id: NodeId = identify::whole(id, "node")?;
    let (index, done) = nodes::purge(app.server()?, &app.caller(&call)?, id).await?;
    answer::written_with(&call, index, &done)
}
