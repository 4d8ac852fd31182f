//! Watches the nodes: one that nobody hears any more is down, or disconnected where its allocations may outlast that.
//!
//! The leader's loop around `liveness`: asks around about nodes that servers miss, takes the late heartbeats, writes who is
//! gone as fast as the limits allow.

use std::collections::BTreeMap;

use nomadd_model::{Duration, NodeEvent, NodeId, NodeStatus, Time};
use nomadd_rpc::NodeSilentRequest;
use nomadd_runtime::TaskKind;
use nomadd_state::{Command, NodeStatusSet};

use crate::evaluation;
use crate::liveness::{self, Contact, MISSED, status_of_silent};
use crate::nodes::{inquiry, silence};
use crate::server::Server;

/// The longest time without a look at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// The same while somebody is missed.
const CLOSE_LOOK: Duration = Duration::from_millis(50);
/// Time that passes beyond what was waited for: the clock was set, or this process stood still.
const STALL: Duration = Duration::from_secs(2);
/// How many nodes are asked about at a time.
const QUESTIONS: usize = 128;
/// A server that is not in contact for so long after that is lost.
const LOST_FOR: Duration = Duration::from_millis(500);
/// How often the nodes on the host of a lost server are looked for.
const LOST_AGAIN: Duration = Duration::from_secs(5);
/// A server that was not heard for so long is not in contact.
const IN_CONTACT: std::time::Duration = std::time::Duration::from_secs(2);

/// Looks for silent nodes, for ever.
pub(super) async fn watch(server: Server) {
    server.restore_liveness();
    let mut lost = LostServers::default();
    loop {
        let now = server.now();
        let contact = lost.look(&server, now);
        for id in step(&server, contact, now) {
            if let Err(error) = declare(&server, id).await {
                tracing::warn!(node = %id, %error, "a silent node could not be marked; it will be tried again");
                server.liveness().look_again(id, server.config().heartbeats.grace, server.now());
            }
        }
        metrics::gauge!("nomad.nomad.heartbeat.active").set(server.liveness().active() as f64);
        wait(&server).await;
    }
}

/// Waits for the next thing to do; time that did not pass for this process passes for no node.
async fn wait(server: &Server) {
    let before = server.now();
    let wait = {
        let mut liveness = server.liveness();
        let most = if liveness.suspects().is_empty() { LOOK } else { CLOSE_LOOK };
        liveness.next_due().map_or(most, |due| due.since(before)).clamp(Duration::from_millis(1), most)
    };
    let _either = tokio::time::timeout(wait.to_std(), server.suspicion().notified()).await;
    let passed = server.now().since(before);
    let beyond = Duration(passed.0.saturating_sub(wait.0));
    if beyond > STALL || passed.0 < 0 {
        let by = if passed.0 < 0 { passed } else { beyond };
        tracing::warn!(%by, "the clock was set or this server stood still; nodes get that time");
        server.liveness().shift(by);
    }
}

/// Begins the questions that are due; returns who is gone.
fn step(server: &Server, contact: Contact, now: Time) -> Vec<NodeId> {
    let state = server.state();
    let heartbeats = &server.config().heartbeats;
    let mut liveness = server.liveness();
    for id in liveness.silent(now) {
        liveness.suspects().condemn(id, now);
    }
    let suspects = liveness.suspects();
    if suspects.is_empty() {
        return Vec::new();
    }
    let questions = suspects.questions(QUESTIONS, now);
    let gone = suspects.gone(state.nodes().count(), contact, heartbeats.grace, now);
    drop(liveness);
    for id in questions {
        let server_of_task = server.clone();
        server.duties().spawn(TaskKind::LeaderDuty, async move {
            let server = server_of_task;
            let verdict = inquiry::ask(&server, id).await;
            let (state, now) = (server.state(), server.now());
            let heartbeats = &server.config().heartbeats;
            let patience = state.node(id).map_or(heartbeats.grace, |node| liveness::patience(node, heartbeats, now));
            tracing::debug!(node = %id, ?verdict, "asked around about a node that is missed");
            server.liveness().suspects().answered(id, verdict, patience, now);
            server.suspicion().notify_one();
        });
    }
    gone
}

/// The other servers that the leader does not hear. A node of such a server's own host is connected to nobody else, so that
/// nobody else can miss it.
#[derive(Debug, Default)]
struct LostServers {
    /// By the host of the address: since when, and when its nodes were last looked for.
    hosts: BTreeMap<String, (Time, Option<Time>)>,
}

impl LostServers {
    /// From how many of the other servers the leader hears; nodes on the hosts of the others are missed.
    fn look(&mut self, server: &Server, now: Time) -> Contact {
        let own = server.raft().id();
        let health = server.raft().health();
        let others: Vec<_> = health.into_iter().filter(|peer| peer.id != own && peer.voter).collect();
        let missing = others.iter().filter(|peer| peer.last_contact.is_none_or(|span| span >= IN_CONTACT));
        let missing: Vec<String> = missing.map(|peer| host(&peer.server.address).to_owned()).collect();
        let contact = Contact { others: others.len(), heard: others.len() - missing.len() };
        self.hosts.retain(|host, _| missing.contains(host));
        for host in missing {
            self.hosts.entry(host).or_insert((now, None));
        }
        for (missed, (since, looked)) in &mut self.hosts {
            // A new leader hears nobody in its first moment.
            let due = looked.map_or_else(|| since.plus(LOST_FOR), |at| at.plus(LOST_AGAIN));
            if due > now {
                continue;
            }
            *looked = Some(now);
            for node in server.state().nodes().filter(|node| host(&node.http_addr) == missed) {
                let closed = false;
                let request = NodeSilentRequest { node_id: node.id, last_heard: *since, closed };
                silence::note(server, &request);
            }
        }
        contact
    }
}

/// The host of `HOST:PORT`.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

async fn declare(server: &Server, id: NodeId) -> crate::error::Answer<()> {
    let (state, runtime) = (server.state(), server.runtime());
    let Some(node) = state.node(id).filter(|node| node.status != NodeStatus::Down) else {
        server.liveness().forget(id);
        return Ok(());
    };
    let now = runtime.clock.now();
    let status = status_of_silent(&state, id, now);
    metrics::counter!("nomad.nomad.heartbeat.invalidate").increment(1);
    let grace = server.config().heartbeats.grace;
    if status == node.status {
        // Still disconnected: look again when the shortest of its allocations may have run out.
        server.liveness().look_again(id, grace, now);
        return Ok(());
    }
    tracing::warn!(node = %id, name = %node.name, %status, "a node is gone: nobody hears of it");
    let details = BTreeMap::new();
    let event =
        NodeEvent { message: MISSED.into(), subsystem: "Cluster".into(), timestamp: now, details, create_index: 0 };
    server
        .commit(Command::NodeStatus(NodeStatusSet {
            id,
            status,
            description: "heartbeat missed".into(),
            event: Some(event),
            evaluations: evaluation::of_node(&state, node, &runtime.seeds),
        }))
        .await?;
    match status {
        // The allocations' own deadlines are evaluations for later; the node itself is looked at again.
        NodeStatus::Disconnected => server.liveness().look_again(id, grace, now),
        _ => server.liveness().forget(id),
    }
    Ok(())
}
