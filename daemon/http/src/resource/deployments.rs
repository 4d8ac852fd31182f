//! Deployments: list, read, their allocations, and what people may do with one.

use nomadd_model::{AllocationId, DeploymentAllocHealthRequest, DeploymentId, DeploymentPauseRequest};
use nomadd_server::deployments::{self, Progress};
use nomadd_state::{Table, WatchKey};

use crate::answer::{self, Answered};
use crate::app::App;
use crate::blocking;
use crate::call::Call;
use crate::failure::Failure;
use crate::page::Paging;
use crate::{identify, view};

/// `GET /v1/deployments`.
pub async fn list(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let paging = Paging::of(&call)?;
    let prefix = identify::prefix(call.text("prefix"), "deployment")?;
    let by_id = !prefix.is_empty();
    let namespace = call.namespace();
    blocking::list(app, &call, "deployments", &[Table::Deployments], |state| {
        let mut found: Vec<_> = state
            .deployments()
            .filter(|deployment| identify::begins(&deployment.id.0, &prefix))
            .filter(|deployment| namespace == "*" || deployment.namespace == namespace)
            .collect();
        if !by_id {
            found.sort_by_key(|deployment| (deployment.create_index, deployment.id));
        }
        if paging.reverse {
            found.reverse();
        }
        let page = paging.cut(
            found.into_iter(),
            |deployment| (if by_id { 0 } else { deployment.create_index }, deployment.id),
            |deployment| identify::token(by_id, deployment.create_index, deployment.id),
            |token| identify::parse_token(by_id, token),
            |paging, deployment| paging.passes(&***deployment, nomadd_model::Deployment::FIELDS),
            |deployment| nomadd_model::Deployment::clone(deployment),
        )?;
        blocking::made(&call, page)
    })
    .await
}

/// `GET /v1/deployment/ID`.
pub async fn read(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let id: DeploymentId = identify::whole(id, "deployment")?;
    let (meta, found) = blocking::query(app, &call, &[WatchKey::Deployment(id)], |state| {
        Ok(match state.deployment(id) {
            Some(deployment) => (deployment.modify_index, Some(deployment.clone())),
            None => (state.table_index(Table::Deployments), None),
        })
    })
    .await?;
    answer::read(&call, &meta, &*found.ok_or_else(|| Failure::not_found("deployment not found").of(&meta))?)
}

/// `GET /v1/deployment/allocations/ID`.
pub async fn allocations(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let id: DeploymentId = identify::whole(id, "deployment")?;
    let parts = super::allocations::parts(&call)?;
    let (meta, page) = blocking::query(app, &call, &[WatchKey::Table(Table::Allocations)], |state| {
        let page: Vec<_> = state
            .allocations_by_deployment(id)
            .map(|allocation| view::allocation_stub(state, allocation, parts))
            .collect();
        let index = page.iter().map(|allocation| allocation.modify_index).max();
        Ok((index.unwrap_or_else(|| state.table_index(Table::Allocations)), page))
    })
    .await?;
    answer::read(&call, &meta, &page)
}

/// `PUT /v1/deployment/{fail,pause,promote,…}/ID`.
pub async fn change(app: &App, mut call: Call, action: &str, id: &str) -> Answered {
    call.must_put()?;
    let id: DeploymentId = identify::whole(id, "deployment")?;
    let (server, caller) = (app.server()?, app.caller(&call)?);
    let (index, done) = match action {
        "fail" => deployments::fail(server, &caller, id).await?,
        "pause" => {
            let request: DeploymentPauseRequest = call.json().await?;
            deployments::set_progress(
                server,
                &caller,
                id,
                if request.pause { Progress::Pause } else { Progress::Resume },
            )
            .await?
        }
        "promote" => deployments::promote(server, &caller, id)?,
        "allocation-health" => {
            let request: DeploymentAllocHealthRequest = call.json().await?;
            let ids = |texts: &[String]| -> Result<Vec<AllocationId>, Failure> {
                texts.iter().map(|text| identify::whole(text, "alloc")).collect()
            };
            let (healthy, unhealthy) = (ids(&request.healthy_allocation_ids)?, ids(&request.unhealthy_allocation_ids)?);
            deployments::set_health(server, &caller, id, healthy, unhealthy).await?
        }
        _ => return Err(Failure::not_implemented(format!("deployments cannot be changed by {action:?} yet"))),
    };
    answer::written_with(&call, index, &done)
}
