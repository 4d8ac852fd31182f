//! Begins to lead, and ends it: starts the duties with the leadership and stops them with it.

use std::time::Duration;

use nomadd_runtime::{TaskKind, Tasks};
use nomadd_state::{AutopilotConfigurationSet, ClusterIdSet, Command, SchedulerConfigurationSet};

use super::{collection, commands, deployments, drain, feeder, gauges, heartbeats, outbox};
use crate::error::Answer;
use crate::keyring;
use crate::server::Server;
use crate::worker;

/// How often evaluations whose plans were refused are looked at; how long each waits `blocked` knows.
const CONFLICT_INTERVAL: Duration = Duration::from_secs(1);

/// Follows the leadership, for ever.
pub(crate) async fn lead(server: Server) {
    let mut leadership = server.raft().leadership();
    loop {
        while !leadership.borrow_and_update().leading {
            if leadership.changed().await.is_err() {
                return;
            }
        }
        let duties = begin(&server).await;
        while leadership.borrow_and_update().leading {
            if leadership.changed().await.is_err() {
                break;
            }
        }
        tracing::info!("this server no longer leads");
        duties.shutdown().await;
        server.queue().clear();
        server.liveness().clear();
    }
}

async fn begin(server: &Server) -> Tasks {
    let duties = server.new_duties();
    server.look_for_company();
    while let Err(error) = found(server).await {
        if !server.leads() {
            return duties;
        }
        tracing::warn!(%error, "the beginnings of a cluster were not written; it will be tried again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let of = || server.clone();
    duties.spawn(TaskKind::LeaderDuty, feeder::feed(of()));
    duties.spawn(TaskKind::LeaderDuty, keep_time(of()));
    duties.spawn(TaskKind::LeaderDuty, outbox::write(of()));
    duties.spawn(TaskKind::LeaderDuty, heartbeats::watch(of()));
    duties.spawn(TaskKind::LeaderDuty, deployments::watch(of()));
    duties.spawn(TaskKind::LeaderDuty, drain::watch(of()));
    duties.spawn(TaskKind::LeaderDuty, collection::repeat(of()));
    duties.spawn(TaskKind::LeaderDuty, unblock_conflicts(of()));
    duties.spawn(TaskKind::LeaderDuty, commands::raise(of()));
    duties.spawn(TaskKind::LeaderDuty, gauges::tell(of()));
    for _ in 0..server.config().schedulers {
        duties.spawn(TaskKind::Worker, worker::work(of()));
    }
    tracing::info!(schedulers = server.config().schedulers, "this server leads");
    duties
}

/// The whole state was replaced: everything that was made from the old one is made anew.
pub(crate) async fn begin_anew(server: &Server) -> Answer<()> {
    found(server).await?;
    feeder::restore(server);
    server.restore_liveness();
    server.tell_replaced();
    Ok(())
}

/// What a cluster has from its first leader on: a name, a scheduler configuration, a root key.
async fn found(server: &Server) -> Answer<()> {
    server.barrier().await?;
    let state = server.state();
    let now = server.runtime().clock.now();
    if state.cluster_id().is_none() {
        let id = nomadd_model::ObjectId::from_random(server.runtime().seeds.id()).to_string().into();
        server.commit(Command::ClusterId(ClusterIdSet { id, create_time: now.0 })).await?;
    }
    if state.scheduler_configuration().create_index == 0 {
        let config = server.config().scheduler.clone();
        let set = SchedulerConfigurationSet { config, check_index: Some(0) };
        // Somebody else may have set it meanwhile: theirs stays.
        let _ = server.commit(Command::SchedulerConfigurationSet(set)).await;
    }
    if state.autopilot_configuration().is_none() {
        let set = AutopilotConfigurationSet { config: server.config().autopilot.into(), check_index: Some(0) };
        let _ = server.commit(Command::AutopilotConfigurationSet(set)).await;
    }
    keyring::ensure(server).await
}

async fn keep_time(server: Server) {
    server.queue().keep_time().await;
}

async fn unblock_conflicts(server: Server) {
    loop {
        tokio::time::sleep(CONFLICT_INTERVAL).await;
        server.queue().unblock_conflicts();
    }
}
