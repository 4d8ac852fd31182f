//! Allocations: list, read, stop, their services and checks.

use nomadd_model::AllocationId;
use nomadd_server::allocations::{self, ShutdownDelay};
use nomadd_state::{Table, WatchKey};

use crate::answer::{self, Answered, Meta};
use crate::app::App;
use crate::blocking;
use crate::call::Call;
use crate::failure::Failure;
use crate::page::Paging;
use crate::view::AllocationParts;
use crate::{identify, view};

/// Which parts a list shows.
pub fn parts(call: &Call) -> Result<AllocationParts, Failure> {
    let task_states = if call.parameter("task_states").is_some() { call.switch("task_states")? } else { true };
    Ok(AllocationParts { resources: call.switch("resources")?, task_states })
}

/// `GET /v1/allocations`.
pub async fn list(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let paging = Paging::of(&call)?;
    let prefix = identify::prefix(call.text("prefix"), "alloc")?;
    let parts = parts(&call)?;
    let namespace = call.namespace();
    let (mut meta, (page, next)) = blocking::query(app, &call, &[WatchKey::Table(Table::Allocations)], |state| {
        let mut found: Vec<_> = state
            .allocations()
            .filter(|allocation| identify::begins(&allocation.id.0, &prefix))
            .filter(|allocation| namespace == "*" || allocation.namespace == namespace)
            .collect();
        // Without a prefix the oldest come first; with one they stand by id.
        if prefix.is_empty() {
            found.sort_by_key(|allocation| (allocation.create_index, allocation.id));
        }
        if paging.reverse {
            found.reverse();
        }
        let by_id = !prefix.is_empty();
        let page = paging.cut(
            found.into_iter(),
            |allocation| (if by_id { 0 } else { allocation.create_index }, allocation.id),
            |allocation| identify::token(by_id, allocation.create_index, allocation.id),
            |token| identify::parse_token(by_id, token),
            |paging, allocation| paging.passes(&***allocation, nomadd_model::Allocation::FIELDS),
            |allocation| view::allocation_stub(state, allocation, parts),
        )?;
        Ok((state.table_index(Table::Allocations), page))
    })
    .await?;
    meta.next_token = next;
    answer::read(&call, &meta, &page)
}

/// `GET /v1/allocation/ID`.
pub async fn read(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let id: AllocationId = identify::whole(id, "alloc")?;
    let (meta, found) = blocking::query(app, &call, &[WatchKey::Allocation(id)], |state| {
        Ok(match state.allocation(id) {
            Some(allocation) => (allocation.modify_index, Some(view::allocation(state, allocation)?)),
            None => (state.table_index(Table::Allocations), None),
        })
    })
    .await?;
    answer::read(&call, &meta, &found.ok_or_else(|| Failure::not_found("alloc not found").of(&meta))?)
}

/// `PUT /v1/allocation/ID/stop`.
pub async fn stop(app: &App, call: Call, id: &str) -> Answered {
    call.must_put()?;
    let id: AllocationId = identify::whole(id, "alloc")?;
    let delay = if call.switch("no_shutdown_delay")? { ShutdownDelay::Skip } else { ShutdownDelay::Keep };
    let (index, done) = allocations::stop(app.server()?, &app.caller(&call)?, id, delay).await?;
    answer::written_with(&call, index, &done)
}

/// `GET /v1/allocation/ID/services`: nothing is registered yet, and the registration's warnings said so.
pub async fn services(app: &App, call: Call, id: &str) -> Answered {
    let meta = must_exist(app, &call, id)?;
    answer::read(&call, &meta, &Vec::<()>::new())
}

/// `GET /v1/client/allocation/ID/checks`: no checks run yet, and the registration's warnings said so.
pub async fn checks(app: &App, call: Call, id: &str) -> Answered {
    must_exist(app, &call, id)?;
    answer::json(&call, &serde_json::json!({}))
}

fn must_exist(app: &App, call: &Call, id: &str) -> Result<Meta, Failure> {
    call.must_get()?;
    app.caller(call)?.resolve()?;
    let id: AllocationId = identify::whole(id, "alloc")?;
    let server = app.server()?;
    let state = server.state();
    let found = state.allocation(id);
    let index = found.map_or_else(|| state.table_index(Table::Allocations), |allocation| allocation.modify_index);
    let meta = Meta { index, known_leader: nomadd_server::status::has_leader(server), next_token: None };
    if found.is_some() { Ok(meta) } else { Err(Failure::not_found("alloc not found").of(&meta)) }
}
