//! Garbage collection: what is over for long enough is removed. One file per kind says what that means.
//!
//! Runs by itself in intervals, and at once when `system gc` asks for it; then nothing has to be old.

mod deployments;
mod evaluations;
mod jobs;
mod nodes;

use nomadd_model::{Duration, Time};
use nomadd_state::Command;

use crate::config::Collection;
use crate::error::Answer;
use crate::server::Server;

/// How many things one entry of the log removes at most.
const CHUNK: usize = 2048;

/// What changed before this is old.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cutoffs {
    pub(crate) now: Time,
    pub(crate) evaluations: Time,
    pub(crate) batch_evaluations: Time,
    pub(crate) jobs: Time,
    pub(crate) deployments: Time,
    pub(crate) nodes: Time,
}

/// How old things have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ages {
    /// As configured.
    Configured,
    /// Any age will do.
    Any,
}

impl Cutoffs {
    fn new(config: &Collection, ages: Ages, now: Time) -> Self {
        let before = |age: Duration| match ages {
            Ages::Configured => Time(now.0.saturating_sub(age.0)),
            Ages::Any => now,
        };
        Self {
            now,
            evaluations: before(config.evaluation_age),
            batch_evaluations: before(config.batch_evaluation_age),
            jobs: before(config.job_age),
            deployments: before(config.deployment_age),
            nodes: before(config.node_age),
        }
    }
}

/// Collects in intervals, for ever.
pub(super) async fn repeat(server: Server) {
    let config = server.config().collection;
    let (mut jobs_due, mut rest_due) = (config.job_interval, config.interval);
    loop {
        let wait = jobs_due.min(rest_due).max(Duration::from_millis(100));
        tokio::time::sleep(wait.to_std()).await;
        jobs_due = Duration(jobs_due.0 - wait.0);
        rest_due = Duration(rest_due.0 - wait.0);
        let (jobs, rest) = (jobs_due.0 <= 0, rest_due.0 <= 0);
        if jobs {
            jobs_due = config.job_interval;
        }
        if rest {
            rest_due = config.interval;
        }
        if let Err(error) = collect_some(&server, Ages::Configured, jobs, rest).await {
            tracing::warn!(%error, "not everything that is over was removed; it will be tried again");
        }
    }
}

/// Collects everything once.
pub(crate) async fn collect(server: &Server, ages: Ages) -> Answer<()> {
    collect_some(server, ages, true, true).await
}

async fn collect_some(server: &Server, ages: Ages, jobs: bool, rest: bool) -> Answer<()> {
    let cutoffs = Cutoffs::new(&server.config().collection, ages, server.runtime().clock.now());
    type Find = fn(&nomadd_state::State, &Cutoffs) -> Vec<Command>;
    // Jobs first, as they take their evaluations with them; nodes last, as they must be empty.
    let steps: [(bool, Find); 4] =
        [(jobs, jobs::find), (rest, evaluations::find), (rest, deployments::find), (rest, nodes::find)];
    for (_, find) in steps.into_iter().filter(|(wanted, _)| *wanted) {
        let state = server.state();
        let found = server.runtime().pool.run(move || find(&state, &cutoffs)).await;
        for command in found.map_err(|error| crate::error::EndpointError::refused(error.to_string()))? {
            server.commit(command).await?;
        }
    }
    Ok(())
}
