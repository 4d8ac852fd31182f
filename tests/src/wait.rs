//! Waiting for a condition with a deadline; nothing sleeps and hopes.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long anything may take here; far beyond what it takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` finds something; panics with the last thing seen when the time is over.
pub async fn until<T, E: Debug, F: Future<Output = Result<T, E>>>(what: &str, look: impl FnMut() -> F) -> T {
    until_within(DEADLINE, what, look).await
}

/// The same for what takes long by itself.
pub async fn until_within<T, E: Debug, F: Future<Output = Result<T, E>>>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if Instant::now() > deadline => panic!("{what}: not within {limit:?}; last seen: {seen:?}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
