//! Blocking queries: answer when what was read is newer than what the caller has seen, or when the wait is over.

use std::sync::Arc;
use std::time::Duration;

use nomadd_server::status;
use nomadd_state::{State, WatchKey};
use tokio::time::Instant;

use crate::answer::Meta;
use crate::app::App;
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
    // The jitter keeps ten thousand watchers from coming back in one moment.
    let jitter: Duration = app.runtime.seeds.jitter(wait / 16);
    let deadline = Instant::now() + wait + jitter;
    loop {
        let watcher = server.watch(keys.iter().cloned());
        let (index, value) = read(&server.state())?;
        if index > seen || Instant::now() >= deadline {
            return Ok((meta(index), value));
        }
        // Time is up: the next round answers what is there.
        let _time_is_up = tokio::time::timeout_at(deadline, watcher.changed()).await;
    }
}
