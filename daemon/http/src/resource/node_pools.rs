//! Node pools: list, read, their nodes and jobs. Only `all` and `default` exist until pools can be made.

use nomadd_model::{NodeId, NodePool, Text};
use nomadd_state::{Table, WatchKey};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;
use crate::page::Paging;
use crate::{blocking, view};

/// `GET /v1/node/pools`.
pub async fn list(app: &App, call: Call) -> Answered {
    if !call.is_get() {
        return Err(Failure::not_implemented(
            "node pools cannot be changed yet: this build has the pools all and default only",
        ));
    }
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

/// `GET /v1/node/pool/NAME`.
pub async fn read(app: &App, call: Call, name: &str) -> Answered {
    if !call.is_get() {
        return Err(Failure::not_implemented(
            "node pools cannot be changed yet: this build has the pools all and default only",
        ));
    }
    let (meta, found) = blocking::query(app, &call, &[WatchKey::Table(Table::NodePools)], |state| {
        Ok((state.table_index(Table::NodePools), state.node_pool(name).cloned()))
    })
    .await?;
    answer::read(&call, &meta, &*found.ok_or_else(|| Failure::not_found("node pool not found").of(&meta))?)
}

/// `GET /v1/node/pool/NAME/nodes`.
pub async fn nodes(app: &App, call: Call, name: &str) -> Answered {
    call.must_get()?;
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
