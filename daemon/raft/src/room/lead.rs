//! Who leads and who the servers are, as the room publishes it; and handing the leadership over before it stops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nomadd_runtime::TaskKind;
use openraft::async_runtime::WatchReceiver as _;
use openraft::{Instant as _, ServerState};

use super::Room;
use crate::handle::Leadership;
use crate::shared::Core;
use crate::wire::Why;

/// A leader that has not heard a majority for so long no longer says that it leads.
const ALONE: Duration = Duration::from_secs(3);
/// How long a graceful stop waits for another server to lead.
const HAND_OVER: Duration = Duration::from_millis(200);

impl Room {
    /// Publishes who leads and who the servers are; whether it must be looked at again when more is applied, and whether from
    /// time to time.
    pub(super) fn lead(&mut self, core: &Core) -> (bool, bool) {
        let metrics = core.raft.metrics().borrow_watched().clone();
        let leads = metrics.state == ServerState::Leader;
        let term = metrics.vote.leader_id.term;
        let applied = self.shared.published.applied.load().last.is_some_and(|id| id.leader_id.term == term);
        self.members(core, &metrics, leads);
        if leads && applied && self.recovered {
            self.recovered = false;
            // An entry of its own says so to everybody, those too that were left out.
            let raft = core.raft.clone();
            let all = metrics.membership_config.membership().nodes().map(|(id, server)| (*id, server.clone()));
            let all = openraft::ChangeMembers::SetNodes(all.collect());
            self.config.runtime.tasks.spawn(TaskKind::Background, async move {
                if let Err(error) = raft.change_membership(all, true).await {
                    tracing::warn!(%error, "the recovered servers were not written to the log once more");
                }
            });
        }
        let several = leads && metrics.membership_config.voter_ids().nth(1).is_some();
        let heard = !several || metrics.last_quorum_acked.is_some_and(|at| at.into_inner().elapsed() < ALONE);
        let now = Leadership { term, leader: metrics.current_leader, leading: leads && applied && heard };
        self.shared.leadership.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                *before = now;
            }
            changed
        });
        (leads && !applied, several)
    }

    /// Takes note of the servers of the cluster.
    fn members(&mut self, core: &Core, metrics: &openraft::RaftMetrics<crate::types::Types>, leads: bool) {
        let newest = &metrics.membership_config;
        let at = newest.log_id().map_or(0, |id| id.index);
        let servers: BTreeMap<_, _> = newest.membership().nodes().map(|(id, server)| (*id, server.clone())).collect();
        // A server that is alone and leads never wakes without work.
        core.raft.runtime_config().tick(!(leads && servers.len() == 1));
        if !self.folder.was_member()
            && !core.log.is_empty()
            && core.log.last().is_some()
            && let Err(error) = self.folder.mark_member(&*self.config.disk)
        {
            tracing::warn!(%error, "cannot note that this server is a member");
        }
        let id = self.shared.id;
        if servers.contains_key(&id) {
            self.member = true;
        } else if self.member && !servers.is_empty() && metrics.committed_membership_config.log_id() == newest.log_id()
        {
            let text = format!(
                "this server ({}, {id}) was removed from the cluster with log entry {at}: clear its raft folder and let it join as a new server, or stop it",
                self.shared.me.name
            );
            self.member = false;
            self.shared.refuse(Why::Removed, &text);
        }
        self.shared.membership.store(at, Ordering::Relaxed);
        if **self.shared.servers.load() != servers {
            self.shared.servers.store(Arc::new(servers));
        }
    }

    /// Lets another server lead before this one stops.
    pub(super) async fn hand_over(&self, core: &Core) {
        let metrics = core.raft.metrics().borrow_watched().clone();
        if metrics.state != ServerState::Leader {
            return;
        }
        let Some(to) = crate::members::successor(&metrics, self.shared.id) else { return };
        if core.raft.trigger().transfer_leader(to).await.is_err() {
            return;
        }
        let wait = core.raft.wait(Some(HAND_OVER));
        let moved = wait.metrics(
            |metrics| metrics.state != ServerState::Leader && metrics.current_leader.is_some_and(|id| id != metrics.id),
            "another server leads",
        );
        if moved.await.is_err() {
            tracing::warn!("no other server took over the leadership in time: one will when it misses this one");
        }
    }
}
