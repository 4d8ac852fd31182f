//! The system's housekeeping on demand: remove what is over, count the summaries anew.

use nomadd_state::Command;

use crate::caller::Caller;
use crate::duty::{Ages, collect};
use crate::error::Answer;
use crate::server::Server;

/// Removes everything that is over, whatever its age.
pub async fn collect_garbage(server: &Server, caller: &Caller) -> Answer<()> {
    caller.resolve()?;
    collect(server, Ages::Any).await
}

/// Counts the summaries of all jobs anew.
pub async fn reconcile_summaries(server: &Server, caller: &Caller) -> Answer<u64> {
    caller.resolve()?;
    Ok(server.commit(Command::JobSummariesReconcile).await?.index)
}
