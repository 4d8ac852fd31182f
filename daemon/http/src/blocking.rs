//! Blocking queries: answer when what was read is newer than what the caller has seen, or when the wait is over.

use std::sync::Arc;
use std::time::Duration;

use nomadd_server::{Server, status};
use nomadd_state::{State, Table, WatchKey};
use tokio::time::Instant;

use crate::answer::{self, Answered, Meta};
use crate::app::App;
use crate::cache::{Cache, Made};
use crate::call::Call;
use crate::failure::Failure;

/// Reads until the index that `read` returns is beyond the caller's, or the wait is over.
///
/// `keys` are what the read depends on. `read` returns the index of what it read and the thing itself.
pub async fn query<T>(
    app: &App,
    call: &Call,
    keys: &[WatchKey],
    read: impl Fn(&Arc<State>) -> Result<(u64, T), Failure>,
) -> Result<(Meta, T), Failure> {
    let seen = call.index()?;
    let wait = call.wait()?;
    app.check_region(call.text("region"))?;
    let server = app.server()?;
    let meta = |index: u64| Meta { index, known_leader: status::has_leader(server), next_token: None };
    if seen == 0 {
        let (index, value) = read(&server.state())?;
        return Ok((meta(index), value));
    }
    let deadline = deadline(app, call, wait);
    loop {
        let watcher = server.watch(keys.iter().cloned());
        let (index, value) = read(&server.state())?;
        if index > seen || Instant::now() >= deadline {
            return Ok((meta(index), value));
        }
        let wait = async move {
            // Time is up: the next round answers what is there.
            let _time_is_up = tokio::time::timeout_at(deadline, watcher.changed()).await;
        };
        call.rest(deadline, wait).await;
    }
}

/// When a query answers whatever there is.
fn deadline(app: &App, call: &Call, wait: Duration) -> Instant {
    // The jitter keeps ten thousand watchers from coming back in one moment.
    call.waits_until().unwrap_or_else(|| Instant::now() + wait + app.runtime.seeds.jitter(wait / 16))
}

/// Waits until one of the tables has changed since the caller's index; the state, and the index of the newest of them.
///
/// Many who wait are answered in rounds.
pub async fn changed(app: &App, call: &Call, tables: &'static [Table]) -> Result<(Meta, Arc<State>), Failure> {
    let seen = call.index()?;
    let wait = call.wait()?;
    app.check_region(call.text("region"))?;
    let server = app.server()?;
    let meta = |index: u64| Meta { index, known_leader: status::has_leader(server), next_token: None };
    if seen == 0 || newest(&server.state(), tables) > seen {
        let state = server.state();
        return Ok((meta(newest(&state, tables)), state));
    }
    let deadline = deadline(app, call, wait);
    // One that was parked has waited for its turn already.
    if call.waits_until().is_none() {
        let (server, cache) = (server.clone(), Arc::clone(&app.cache));
        call.rest(deadline, async move { turn(&server, &cache, tables, seen, deadline).await }).await;
    }
    let state = server.state();
    Ok((meta(newest(&state, tables)), state))
}

/// The index of the newest of some tables.
fn newest(state: &State, tables: &[Table]) -> u64 {
    tables.iter().map(|table| state.table_index(*table)).max().unwrap_or(0)
}

/// Waits until something is newer than `seen` and it is this one's turn to be answered, or the time is up.
async fn turn(server: &Server, cache: &Cache, tables: &[Table], seen: u64, deadline: Instant) {
    let place = cache.crowd.join();
    loop {
        let watcher = server.watch(tables.iter().copied().map(WatchKey::Table));
        let late = Instant::now() >= deadline;
        if late {
            return;
        }
        if newest(&server.state(), tables) > seen {
            let Some(next) = place.when() else { return };
            // Until then nothing has to wake this one.
            drop(watcher);
            tokio::time::sleep_until(next.min(deadline)).await;
            continue;
        }
        // Time is up: the next round ends it.
        let _time_is_up = tokio::time::timeout_at(deadline, watcher.changed()).await;
    }
}

/// Answers a list of tables: waits as the caller wants, then makes the answer once for all who ask the same of the same index.
///
/// `name` tells the list from others; whatever the caller says beside how long to wait is part of what is asked.
pub async fn list(
    app: &App,
    call: &Call,
    name: &str,
    tables: &'static [Table],
    make: impl FnOnce(&State) -> Result<Made, Failure>,
) -> Answered {
    let (mut meta, state) = changed(app, call, tables).await?;
    let made = app.cache.get(&key(name, call), meta.index, || make(&state))?;
    meta.next_token = made.next;
    answer::read_bytes(&meta, made.bytes)
}

/// What is asked, without how long to wait for it.
fn key(name: &str, call: &Call) -> String {
    let mut key = name.to_owned();
    for (name, value) in &call.parameters {
        if !matches!(name.as_str(), "index" | "wait" | "stale" | "region" | "consistent") {
            key.push('&');
            key.push_str(name);
            key.push('=');
            key.push_str(value);
        }
    }
    key
}

/// The bytes of a page.
pub fn made<T: serde::Serialize>(call: &Call, (page, next): (Vec<T>, Option<String>)) -> Result<Made, Failure> {
    Ok(Made { bytes: answer::bytes(call, &page)?.into(), next })
}
