//! The servers as one cluster: gossip says who is there, raft says who counts, and this brings the second up to the first.
//!
//! Before there is a log, the servers that expect each other make one, once. Afterwards the leader takes newcomers in, lets
//! them vote, and removes who left or died (`autopilot` decides). Gossip is a hint: nothing is done before the server
//! itself was asked who it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nomadd_gossip::{Gossip, Member, Status};
use nomadd_model::{NodeId, Text, Time};
use nomadd_raft::ServerId;
use nomadd_rpc::connection::call;
use nomadd_rpc::{Method, RpcError, ServerHelloRequest, ServerHelloResponse};
use nomadd_runtime::TaskKind;
use nomadd_state::CommandSet;

use crate::autopilot::{Action, Known, Memory, Presence, Seat, Settings, decide};
use crate::peers::{Company, within};
use crate::server::Server;

/// How often the servers are looked at without anything having changed.
const LOOK: Duration = Duration::from_millis(500);
/// How long a server may take to introduce itself, or a change of the members to be written.
const ANSWER: Duration = Duration::from_secs(5);

/// The cluster as this server sees it; a clone is the same one.
#[derive(Clone, Debug)]
pub struct Cluster(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: Server,
    gossip: Gossip,
    memory: Mutex<Memory>,
    complaint: Mutex<String>,
}

/// A server as gossip tells it.
#[derive(Clone, Debug)]
pub struct Told {
    /// The id of its raft folder.
    pub id: ServerId,
    /// `NAME.REGION`.
    pub name: Text,
    /// Its region.
    pub region: Text,
    /// `HOST:PORT` of its RPC port.
    pub rpc: String,
    /// How many servers it expects.
    pub expect: u32,
    /// How it is.
    pub status: Status,
    /// Since when.
    pub since: Time,
}

/// What a member of the pool says of itself, when it is a server.
pub fn told(member: &Member) -> Option<Told> {
    let tag = |name: &str| member.tags.get(name).map(Text::as_ref);
    if tag("role") != Some("nomad") {
        return None;
    }
    let host = tag("rpc_addr")?;
    let rpc =
        if host.contains(':') { format!("[{host}]:{}", tag("port")?) } else { format!("{host}:{}", tag("port")?) };
    Some(Told {
        id: ServerId(tag("id")?.parse().ok()?),
        name: member.name.clone(),
        region: tag("region")?.into(),
        rpc,
        expect: tag("expect").and_then(|text| text.parse().ok()).unwrap_or(0),
        status: member.status,
        since: member.since,
    })
}

impl Cluster {
    /// Begins to keep the cluster as gossip says.
    pub fn start(server: Server, gossip: Gossip) -> Self {
        let runtime = server.runtime().clone();
        let cluster = Self(Arc::new(Inner { server, gossip, memory: Mutex::default(), complaint: Mutex::default() }));
        cluster.0.server.note_cluster(cluster.clone());
        runtime.tasks.spawn(TaskKind::LeaderDuty, cluster.clone().follow());
        cluster
    }

    /// The pool.
    pub fn gossip(&self) -> &Gossip {
        &self.0.gossip
    }

    /// Every server that gossip knows, of all regions.
    pub fn servers(&self) -> Vec<Told> {
        self.0.gossip.members().iter().filter_map(told).collect()
    }

    /// The servers of a region that are there.
    pub fn alive_in(&self, region: &str) -> Vec<Told> {
        let mut servers = self.servers();
        servers.retain(|told| told.status == Status::Alive && told.region == region);
        servers
    }

    /// All regions.
    pub fn regions(&self) -> Vec<String> {
        let mut regions: Vec<String> = self.servers().into_iter().map(|told| told.region.to_string()).collect();
        regions.push(self.0.server.config().region.to_string());
        regions.sort();
        regions.dedup();
        regions
    }

    /// What is known of each server of this region.
    pub fn known(&self) -> BTreeMap<ServerId, Known> {
        let server = &self.0.server;
        let health = server.raft().health();
        let mut known: BTreeMap<ServerId, Known> = BTreeMap::new();
        for member in server.raft().configuration().members {
            let found = health.iter().find(|health| health.id == member.id);
            let seat = Seat {
                server: member.server.clone(),
                voter: member.voter,
                leader: member.leader,
                last_contact: found.and_then(|health| health.last_contact),
                lag: found.map_or(0, |health| health.lag),
            };
            known.insert(member.id, Known { server: member.server, presence: None, seat: Some(seat) });
        }
        for told in self.servers().into_iter().filter(|told| told.region == server.config().region) {
            let presence = match told.status {
                Status::Alive => Presence::Alive,
                Status::Failed => Presence::Failed(told.since),
                Status::Leaving | Status::Left => Presence::Left,
            };
            let of_gossip = nomadd_raft::Server { name: told.name.to_string(), address: told.rpc };
            let entry = known.entry(told.id).or_insert(Known { server: of_gossip.clone(), presence: None, seat: None });
            // A server that came back under another name leaves its old one behind as failed or left.
            if entry.presence != Some(Presence::Alive) {
                entry.server = of_gossip;
                entry.presence = Some(presence);
            }
        }
        known
    }

    async fn follow(self) {
        let mut changes = self.0.gossip.changes();
        loop {
            let server = &self.0.server;
            if server.raft().configuration().members.is_empty() {
                self.bootstrap().await;
            } else if server.leads() {
                self.keep().await;
            }
            // Whether something changed or time passed, the servers are looked at.
            let _either = tokio::time::timeout(LOOK, changes.changed()).await;
            if changes.has_changed().is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Says something to the operator, once.
    fn complain(&self, sentence: String) {
        let mut last = self.0.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != sentence {
            tracing::error!("{sentence}");
            *last = sentence;
        }
    }

    async fn hello(&self, address: &str, bootstrap: bool) -> Result<ServerHelloResponse, RpcError> {
        let server = &self.0.server;
        let connection = server.dial(address)?;
        let request =
            ServerHelloRequest { id: server.raft().id().0, region: server.config().region.clone(), bootstrap };
        within(ANSWER, call(&*connection, Method::ServerHello, &request)).await
    }

    /// Makes the log of a new cluster, when all servers that are expected are there and none of them has one.
    ///
    /// Only the server with the lowest id does it, and only with the promise of every other not to do it with somebody else:
    /// two servers that see different members never both succeed.
    async fn bootstrap(&self) {
        let server = &self.0.server;
        let (own, expect) = (server.raft().id(), server.config().expect);
        if expect == 0 {
            return;
        }
        let mut there = self.alive_in(&server.config().region);
        there.sort_by_key(|told| told.id);
        if let Some(told) = there.iter().find(|told| told.expect != 0 && told.expect != expect) {
            self.complain(format!(
                "{} has bootstrap_expect = {}, and this server has {expect}: no cluster is formed before both have the same; change one of the two and restart it",
                told.name, told.expect
            ));
            return;
        }
        there.retain(|told| told.expect == expect);
        if there.len() < expect as usize || there.first().map(|told| told.id) != Some(own) {
            return;
        }
        if !server.promise(own.0) {
            return;
        }
        let mut servers = Vec::new();
        for told in &there {
            let address = nomadd_raft::Server { name: told.name.to_string(), address: told.rpc.clone() };
            servers.push((told.id, address));
            if told.id == own {
                continue;
            }
            match self.hello(&told.rpc, true).await {
                Ok(answer) if answer.bootstrapped => {
                    tracing::info!(server = %told.name, "there is a cluster already; waiting to be taken in");
                    return;
                }
                Ok(answer) if answer.id != told.id.0 => {
                    self.complain(format!(
                        "{} answers at the address of {}: see advertise.rpc of both",
                        answer.name, told.name
                    ));
                    return;
                }
                Ok(answer) if !answer.promised => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(server = %told.name, %error, "a server that is expected does not answer; no cluster is formed yet");
                    return;
                }
            }
        }
        match server.raft().bootstrap(servers).await {
            Ok(()) => {
                tracing::info!(servers = there.len(), "the servers that were expected are there: the cluster is formed")
            }
            Err(error) => tracing::error!(%error, "the cluster was not formed"),
        }
    }

    /// Brings the raft configuration up to what gossip says.
    async fn keep(&self) {
        let server = &self.0.server;
        let (settings, now) = (server.autopilot(), server.now());
        let known = self.known();
        let actions = {
            let mut memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
            decide(&known, &settings, &mut memory, now)
        };
        for action in actions {
            let done = tokio::time::timeout(ANSWER, self.perform(action.clone())).await;
            match done {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => {
                    tracing::warn!(?action, %reason, "the servers were not changed; it will be tried again")
                }
                Err(_) => tracing::warn!(?action, "the servers were not changed in time; it will be tried again"),
            }
        }
    }

    async fn perform(&self, action: Action) -> Result<(), String> {
        let (server, raft) = (&self.0.server, self.0.server.raft());
        match action {
            Action::Add(id, address) => {
                let answer = self.hello(&address.address, false).await.map_err(|error| error.to_string())?;
                if let Some(reason) = self.foreign(id, &answer) {
                    self.complain(reason);
                    return Ok(());
                }
                server.note_company(Company::Others);
                tracing::info!(name = %address.name, address = %address.address, "takes a server in");
                raft.add_learner(id, address).await.map_err(|error| error.to_string())
            }
            Action::Move(id, address) => {
                let answer = self.hello(&address.address, false).await.map_err(|error| error.to_string())?;
                if answer.id != id.0 {
                    return Err(format!("another server answers at {}", address.address));
                }
                raft.update_address(id, address).await.map_err(|error| error.to_string())
            }
            Action::Promote(id) => {
                tracing::info!(%id, "a server is healthy: it votes from now on");
                raft.promote(&[id]).await.map_err(|error| error.to_string())
            }
            Action::Remove(id, reason) => {
                tracing::info!(%id, reason, "removes a server");
                let removed = raft.remove(id).await.map_err(|error| error.to_string());
                server.look_for_company();
                removed
            }
        }
    }

    /// Why a server is not taken in.
    fn foreign(&self, id: ServerId, answer: &ServerHelloResponse) -> Option<String> {
        let server = &self.0.server;
        let name = &answer.name;
        if answer.id != id.0 {
            return Some(format!("{name} answers at the address of another server: see advertise.rpc of both"));
        }
        let used = server.state().command_set();
        if CommandSet::of(answer.commands) < used {
            return Some(format!(
                "{name} runs an older release, which knows commands up to set {}, and this cluster uses set {used}: it is not taken in; run the release of the others on it",
                CommandSet::of(answer.commands)
            ));
        }
        let own: Vec<NodeId> = server.raft().configuration().members.iter().map(|member| member.id.0).collect();
        let strangers = answer.members.iter().any(|member| !own.contains(&member.id));
        let knows_us = answer.members.iter().any(|member| own.contains(&member.id));
        if answer.bootstrapped && strangers && !knows_us {
            return Some(format!(
                "{name} belongs to another cluster already and is not taken in: if it should join this one, stop it, move its data_dir away and start it again"
            ));
        }
        None
    }

    /// Where autopilot stands.
    pub fn settings(&self) -> Settings {
        self.0.server.autopilot()
    }
    /// Since when each server is healthy.
    pub fn healthy_since(&self) -> Memory {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
