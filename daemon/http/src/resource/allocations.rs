//! Allocations: list, read, stop, their services and checks.

mod long;

use nomadd_model::{AllocationId, Text};
use nomadd_server::allocations::{self, ShutdownDelay};
use nomadd_state::{State, Table, WatchKey};

use crate::answer::{self, Answered, Meta};
use crate::app::App;
use crate::blocking;
use crate::call::Call;
use crate::failure::Failure;
use crate::page::Paging;
use crate::view::AllocationParts;
use crate::{identify, view};

/// With more allocations than this a list is written as it is sent, instead of whole in memory.
const SHORT: usize = 2_000;

/// Which parts a list shows.
pub fn parts(call: &Call) -> Result<AllocationParts, Failure> {
    let task_states = if call.parameter("task_states").is_some() { call.switch("task_states")? } else { true };
    Ok(AllocationParts { resources: call.switch("resources")?, task_states })
}

/// `GET /v1/allocations`: a short list is made whole, a long one is written as it is sent.
pub async fn list(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let asked = Asked {
        paging: Paging::of(&call)?,
        prefix: identify::prefix(call.text("prefix"), "alloc")?,
        namespace: call.namespace(),
    };
    let parts = parts(&call)?;
    let many = app.server()?.state().allocation_count() > SHORT;
    if many && !call.switch("pretty")? {
        let (mut meta, state) = blocking::changed(app, &call, &[Table::Allocations]).await?;
        // Looking through a million takes a while: not on the threads that answer.
        let chosen = app.runtime.pool.run(move || {
            let chosen = asked.choose(&state);
            (state, chosen)
        });
        let (state, chosen) = chosen.await.map_err(Failure::internal)?;
        let (ids, next) = chosen?;
        meta.next_token = next;
        return answer::read_bytes(&meta, long::body(state, ids, parts));
    }
    blocking::list(app, &call, "allocations", &[Table::Allocations], |state| {
        let (ids, next) = asked.choose(state)?;
        let stubs = ids.iter().filter_map(|(_, id)| Some(view::allocation_stub(state, state.allocation(*id)?, parts)));
        blocking::made(&call, (stubs.collect(), next))
    })
    .await
}

/// Which allocations a list shows.
struct Asked {
    paging: Paging,
    prefix: String,
    namespace: Text,
}

/// What a list is sorted by: the create index (0 where only the id counts) and the id.
type Key = (u64, AllocationId);

impl Asked {
    /// The allocations of a page, in order, and where the next one begins.
    fn choose(&self, state: &State) -> Result<(Vec<Key>, Option<String>), Failure> {
        let by_id = !self.prefix.is_empty();
        let all = self.namespace == "*";
        // One allocation of memory for all: growing would need twice as much for a moment. What is not used costs nothing.
        let mut found: Vec<Key> = Vec::with_capacity(if by_id { 0 } else { state.allocation_count() });
        // Without a prefix the oldest come first; with one they stand by id.
        found.extend(
            state
                .allocations_by_prefix(&self.prefix)
                .filter(|allocation| all || allocation.namespace == self.namespace)
                .map(|allocation| (if by_id { 0 } else { allocation.create_index }, allocation.id)),
        );
        found.sort_unstable();
        if self.paging.reverse {
            found.reverse();
        }
        if self.paging.is_whole() {
            return Ok((found, None));
        }
        self.paging.cut(
            found.into_iter(),
            |key| *key,
            |(index, id)| identify::token(by_id, *index, id),
            |token| identify::parse_token(by_id, token),
            |paging, (_, id)| match state.allocation(*id) {
                Some(allocation) => paging.passes(&**allocation, nomadd_model::Allocation::FIELDS),
                None => Ok(false),
            },
            |key| *key,
        )
    }
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
