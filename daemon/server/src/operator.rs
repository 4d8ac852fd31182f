//! The operator's calls: scheduler configuration, raft configuration, snapshots.

use std::io::{Read, Write};

use nomadd_model::{AutopilotConfiguration, RaftConfiguration, RaftServer, SchedulerConfiguration};
use nomadd_raft::{SnapshotError, SnapshotHeader};
use nomadd_state::{AutopilotConfigurationSet, Command, Refused, Rehearsal, SchedulerConfigurationSet};

use crate::autopilot::{self, Presence};
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

/// Keeps a note with the command of the next release (tests of upgrades). The index at which it counts.
pub async fn rehearse(server: &Server, caller: &Caller, note: String) -> Answer<u64> {
    caller.resolve()?;
    Ok(server.commit(Command::Rehearsal(Rehearsal { note: note.into() })).await?.index)
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

/// A server, as operators name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// By its id.
    Id(&'a str),
    /// By `HOST:PORT` of its RPC port.
    Address(&'a str),
}

fn find(server: &Server, named: Named<'_>) -> Answer<nomadd_raft::Member> {
    let members = server.raft().configuration().members;
    let (what, value) = match named {
        Named::Id(id) => ("id", id),
        Named::Address(address) => ("address", address),
    };
    let found = members.into_iter().find(|member| match named {
        Named::Id(id) => member.id.to_string() == id,
        Named::Address(address) => member.server.address == address,
    });
    found.ok_or_else(|| EndpointError::refused(format!("{what} {value:?} was not found in the Raft configuration")))
}

/// Removes a server that will not come back.
pub async fn remove_peer(server: &Server, caller: &Caller, named: Named<'_>) -> Answer<()> {
    caller.resolve()?;
    let member = find(server, named)?;
    let voters = server.raft().configuration().members.iter().filter(|member| member.voter).count();
    if member.voter && voters == 1 {
        return Err(EndpointError::refused("the only server cannot be removed: the cluster would be lost"));
    }
    if member.leader {
        return Err(EndpointError::refused(
            "the leader cannot be removed while it leads: transfer the leadership first (operator raft transfer-leadership)",
        ));
    }
    server.raft().remove(member.id).await.map_err(|error| EndpointError::refused(error.to_string()))?;
    server.look_for_company();
    Ok(())
}

/// Makes another server the leader.
pub async fn transfer_leadership(server: &Server, caller: &Caller, named: Named<'_>) -> Answer<()> {
    caller.resolve()?;
    let member = find(server, named)?;
    if member.leader {
        return Ok(());
    }
    server.raft().transfer(Some(member.id)).await.map_err(|error| EndpointError::refused(error.to_string()))
}

/// Sets autopilot's configuration; with `check_index` only if it still has that modify index. Whether it was set.
pub async fn set_autopilot(
    server: &Server,
    caller: &Caller,
    config: AutopilotConfiguration,
    check_index: Option<u64>,
) -> Answer<(u64, bool)> {
    caller.resolve()?;
    let set = AutopilotConfigurationSet { config, check_index };
    let committed = server.raft().propose(Command::AutopilotConfigurationSet(set)).await?;
    match committed.response.refused() {
        None => Ok((committed.index, true)),
        Some(Refused::Changed { .. }) => Ok((committed.index, false)),
        Some(refused) => Err(refused.clone().into()),
    }
}

/// How a server is, for autopilot's report.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerHealth {
    /// Its id.
    pub id: String,
    /// Its name and address.
    pub server: nomadd_raft::Server,
    /// Gossip's word.
    pub status: &'static str,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it keeps up.
    pub healthy: bool,
    /// How long ago it was heard.
    pub last_contact: Option<std::time::Duration>,
    /// The last entry it has.
    pub last_index: u64,
    /// Since when it is as it is.
    pub stable_since: nomadd_model::Time,
}

/// How each server is, as the leader sees it.
pub fn health(server: &Server, caller: &Caller) -> Answer<Vec<ServerHealth>> {
    caller.resolve()?;
    let index = server.state().index();
    let Some(cluster) = server.cluster() else {
        let members = server.raft().configuration().members.into_iter();
        return Ok(members
            .map(|member| ServerHealth {
                id: member.id.to_string(),
                server: member.server,
                status: "alive",
                leader: member.leader,
                voter: member.voter,
                healthy: server.leads(),
                last_contact: None,
                last_index: index,
                stable_since: nomadd_model::Time(0),
            })
            .collect());
    };
    let (settings, since) = (server.autopilot(), cluster.healthy_since().0);
    let known = cluster.known();
    let rows = known.iter().filter_map(|(id, known)| {
        let seat = known.seat.as_ref()?;
        Some(ServerHealth {
            id: id.to_string(),
            server: seat.server.clone(),
            status: match known.presence {
                Some(Presence::Alive) => "alive",
                Some(Presence::Failed(_)) => "failed",
                Some(Presence::Left) => "left",
                None => "none",
            },
            leader: seat.leader,
            voter: seat.voter,
            healthy: autopilot::healthy(known, &settings),
            last_contact: seat.last_contact,
            last_index: index.saturating_sub(seat.lag),
            stable_since: since.get(id).copied().unwrap_or_default(),
        })
    });
    Ok(rows.collect())
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
