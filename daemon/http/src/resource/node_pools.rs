//! Node pools: list, read, write, delete, their nodes and jobs.

use axum::http::Method;
use nomadd_model::{NodeId, NodePool, Text};
use nomadd_server::node_pools;
use nomadd_state::{Table, WatchKey};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;
use crate::page::Paging;
use crate::resource::namespaces::done;
use crate::{blocking, view};

/// `/v1/node/pools`: list, and write.
pub async fn list(app: &App, call: Call) -> Answered {
    if call.is_put() {
        return write(app, call, None).await;
    }
    call.must_get()?;
    let paging = Paging::of(&call)?;
    let prefix = call.text("prefix").to_owned();
    let (mut meta, (page, next)) = blocking::query(app, &call, &[WatchKey::Table(Table::NodePools)], |state| {
        let mut found: Vec<_> = state.node_pools().filter(|pool| pool.name.starts_with(&prefix)).collect();
        if paging.reverse {
            found.reverse();
        }
        let page = paging.cut(
            found.into_iter(),
            |pool| pool.name.clone(),
            |pool| pool.name.to_string(),
            |token| Some(token.to_owned()),
            |paging, pool| paging.passes(&***pool, NodePool::FIELDS),
            |pool| NodePool::clone(pool),
        )?;
        Ok((state.table_index(Table::NodePools), page))
    })
    .await?;
    meta.next_token = next;
    answer::read(&call, &meta, &page)
}

/// `/v1/node/pool/NAME`: read, write, delete.
pub async fn one(app: &App, call: Call, name: &str) -> Answered {
    if call.is_put() {
        return write(app, call, Some(name)).await;
    }
    if call.method == Method::DELETE {
        let index = node_pools::delete(app.server()?, &app.caller(&call)?, vec![name.into()]).await?;
        return Ok(done(index));
    }
    call.must_get()?;
    let (meta, found) = blocking::query(app, &call, &[WatchKey::Table(Table::NodePools)], |state| {
        Ok(match state.node_pool(name) {
            Some(pool) => (pool.modify_index, Some(pool.clone())),
            None => (state.table_index(Table::NodePools), None),
        })
    })
    .await?;
    answer::read(&call, &meta, &*found.ok_or_else(|| Failure::not_found("node pool not found").of(&meta))?)
}

async fn write(app: &App, mut call: Call, name: Option<&str>) -> Answered {
    let caller = app.caller(&call)?;
    let mut written: serde_json::Value = call.json().await?;
    // Nomad's Go client writes an unset span as an empty text.
    if let Some(fields) = written.as_object_mut() {
        fields.retain(|name, value| !(name.eq_ignore_ascii_case("NodeIdentityTTL") && *value == ""));
    }
    let mut pool: NodePool = serde_json::from_value(written).map_err(Failure::bad_request)?;
    match name.filter(|name| !name.is_empty()) {
        Some(name) if pool.name.is_empty() => name.clone_into(&mut pool.name),
        Some(name) if pool.name != name => {
            return Err(Failure::bad_request("Node pool name does not match request path"));
        }
        _ => {}
    }
    Ok(done(node_pools::upsert(app.server()?, &caller, vec![pool]).await?))
}

/// A pool that is not there has neither nodes nor jobs to ask for.
fn must_exist(app: &App, name: &str) -> Result<(), Failure> {
    let known = app.server()?.state().node_pool(name).is_some();
    if known { Ok(()) } else { Err(Failure::not_found("node pool not found")) }
}

/// `GET /v1/node/pool/NAME/nodes`.
pub async fn nodes(app: &App, call: Call, name: &str) -> Answered {
    call.must_get()?;
    must_exist(app, name)?;
    let paging = Paging::of(&call)?;
    let (resources, os) = (call.switch("resources")?, call.switch("os")?);
    let (mut meta, (page, next)) = blocking::query(app, &call, &[WatchKey::Table(Table::Nodes)], |state| {
        let page = paging.cut(
            state.nodes().filter(|node| name == "all" || node.node_pool == name),
            |node| node.id,
            |node| node.id.to_string(),
            |token| token.parse::<NodeId>().ok(),
            |paging, node| paging.passes(&***node, nomadd_model::Node::FIELDS),
            |node| view::node_stub(node, resources, os),
        )?;
        Ok((state.table_index(Table::Nodes), page))
    })
    .await?;
    meta.next_token = next;
    answer::read(&call, &meta, &page)
}

/// `GET /v1/node/pool/NAME/jobs`.
pub async fn jobs(app: &App, call: Call, name: &str) -> Answered {
    call.must_get()?;
    must_exist(app, name)?;
    let paging = Paging::of(&call)?;
    let namespace = call.namespace();
    let (mut meta, (page, next)) = blocking::query(app, &call, &[WatchKey::Table(Table::Jobs)], |state| {
        let page = paging.cut(
            state.jobs().filter(|job| (namespace == "*" || job.namespace == namespace) && job.node_pool == name),
            |job| (job.namespace.clone(), job.id.clone()),
            |job| format!("{}.{}", job.namespace, job.id),
            |token| token.split_once('.').map(|(namespace, id)| (Text::from(namespace), Text::from(id))),
            |paging, job| paging.passes(&***job, nomadd_model::Job::FIELDS),
            |job| view::job_stub(state, job, false),
        )?;
        Ok((state.table_index(Table::Jobs), page))
    })
    .await?;
    meta.next_token = next;
    answer::read(&call, &meta, &page)
}
