//! The operator's calls: scheduler configuration, raft configuration, snapshots.

use std::io::{Read, Write};

use nomadd_model::{RaftConfiguration, RaftServer, SchedulerConfiguration};
use nomadd_raft::{SnapshotError, SnapshotHeader};
use nomadd_state::{Command, Refused, SchedulerConfigurationSet};

use crate::caller::Caller;
use crate::duty;
use crate::error::{Answer, EndpointError};
use crate::queue::Paused;
use crate::server::Server;

/// Sets the scheduler configuration; with `check_index` only if it still has that modify index. Whether it was set.
pub async fn set_scheduler_configuration(
    server: &Server,
    caller: &Caller,
    mut config: SchedulerConfiguration,
    check_index: Option<u64>,
) -> Answer<(u64, bool)> {
    caller.resolve()?;
    if config.scheduler_algorithm.is_empty() {
        config.scheduler_algorithm = "binpack".to_owned();
    }
    if !matches!(config.scheduler_algorithm.as_str(), "binpack" | "spread") {
        return Err(EndpointError::bad_request(format!(
            "invalid scheduler algorithm: {}; it must be binpack or spread",
            config.scheduler_algorithm
        )));
    }
    let paused = if config.pause_eval_broker { Paused::Yes } else { Paused::No };
    let set = SchedulerConfigurationSet { config, check_index };
    let committed = server.raft().propose(Command::SchedulerConfigurationSet(set)).await?;
    match committed.response.refused() {
        None => {
            server.queue().set_paused(paused);
            Ok((committed.index, true))
        }
        Some(Refused::Changed { .. }) => Ok((committed.index, false)),
        Some(refused) => Err(refused.clone().into()),
    }
}

/// The servers of the cluster, as raft knows them.
pub fn raft_configuration(server: &Server, caller: &Caller) -> Answer<RaftConfiguration> {
    caller.resolve()?;
    let configuration = server.raft().configuration();
    let servers = configuration.members.into_iter().map(|member| RaftServer {
        address: member.server.address,
        id: member.id.to_string(),
        leader: member.leader,
        node: member.server.name,
        raft_protocol: "3".to_owned(),
        voter: member.voter,
    });
    Ok(RaftConfiguration { index: configuration.index, servers: servers.collect() })
}

/// Writes a snapshot of the newest state.
pub async fn save_snapshot(
    server: &Server,
    caller: &Caller,
    out: impl Write + Send + 'static,
) -> Answer<SnapshotHeader> {
    caller.resolve()?;
    server.raft().snapshot_save(out).await.map_err(|error| of_snapshot(&error))
}

/// Puts the state of a snapshot in the place of this cluster's. All of it is checked first.
pub async fn restore_snapshot(server: &Server, caller: &Caller, from: impl Read + Send + 'static) -> Answer<u64> {
    caller.resolve()?;
    let index = server.raft().snapshot_restore(from).await.map_err(|error| of_snapshot(&error))?;
    duty::begin_anew(server).await?;
    Ok(index)
}

/// The whole chain of what went wrong, in one sentence.
fn of_snapshot(error: &SnapshotError) -> EndpointError {
    let status = match error {
        SnapshotError::Foreign | SnapshotError::Version { .. } | SnapshotError::Damaged(_) => 400,
        SnapshotError::TooLarge(_) => 413,
        SnapshotError::Refused(refused) => return EndpointError::from(refused.clone()),
        _ => 500,
    };
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    EndpointError::new(status, message)
}
