//! What the API may ask of the agent around it: its description, its members, its metrics.

use std::collections::BTreeMap;

use nomadd_client::Client;
use nomadd_client::servers::Servers;
use nomadd_config::Config;
use nomadd_http::Control;
use nomadd_model::{AgentMember, AgentSelf, MetricsSummary, Time};
use nomadd_runtime::Runtime;
use nomadd_server::Server;

use crate::describe;
use crate::join;
use crate::measure::Measures;

/// The agent, as the API sees it.
pub struct AgentControl {
    pub config: Config,
    pub name: String,
    pub server: Option<Server>,
    /// The servers of an agent that is none itself.
    pub servers: Option<Servers>,
    /// Whether gossip is encrypted.
    pub encrypted: bool,
    pub client: Option<Client>,
    pub measures: Measures,
    pub started: Time,
    pub runtime: Runtime,
}

impl AgentControl {
    /// This agent as a member, when there is no gossip that says so.
    fn member(&self) -> AgentMember {
        let Some(server) = &self.server else { return AgentMember::default() };
        let own = format!("{}.{}", self.name, self.config.region);
        let told = nomadd_server::members::list(server).into_iter().flatten().find(|member| member.name == own);
        told.unwrap_or_else(|| {
            let tags = describe::tags(&self.config, &server.raft().id().to_string());
            let host = self.config.advertise_rpc.rsplit_once(':').map_or("", |(host, _)| host);
            AgentMember {
                name: own,
                addr: host.to_owned(),
                port: u64::from(self.config.ports.serf),
                tags: tags.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
                status: "alive".to_owned(),
                protocol_min: 1,
                protocol_max: 5,
                protocol_cur: 2,
                delegate_min: 2,
                delegate_max: 5,
                delegate_cur: 4,
            }
        })
    }

    fn stats(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let group = |rows: Vec<(&str, String)>| rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut stats = BTreeMap::from([("runtime".to_owned(), self.runtime_stats())]);
        if let Some(server) = &self.server {
            let raft = server.raft().stats();
            let regions = server.cluster().map_or(1, |cluster| cluster.regions().len());
            let nomad = group(vec![
                ("server", "true".into()),
                ("leader", raft.role.to_string().eq("Leader").to_string()),
                ("leader_addr", nomadd_server::status::leader(server)),
                ("bootstrap", (self.config.server.bootstrap_expect == 1).to_string()),
                ("known_regions", regions.to_string()),
            ]);
            stats.insert("nomad".to_owned(), nomad);
            let raft = group(vec![
                ("state", raft.role.to_string()),
                ("term", raft.term.to_string()),
                ("last_log_index", raft.last_log_index.to_string()),
                ("last_log_term", raft.last_log_term.to_string()),
                ("commit_index", raft.commit_index.to_string()),
                ("applied_index", raft.applied_index.to_string()),
                ("fsm_pending", raft.fsm_pending.to_string()),
                ("last_snapshot_index", raft.last_snapshot_index.to_string()),
                ("last_snapshot_term", raft.last_snapshot_term.to_string()),
                ("num_peers", raft.num_peers.to_string()),
            ]);
            stats.insert("raft".to_owned(), raft);
            if let Some(cluster) = server.cluster() {
                let gossip = cluster.gossip().stats();
                let serf = group(vec![
                    ("members", gossip.members.values().sum::<usize>().to_string()),
                    ("packets_received", gossip.received.to_string()),
                    ("packets_sent", gossip.sent.to_string()),
                    ("packets_dropped", gossip.dropped.total().to_string()),
                    ("encrypted", self.encrypted.to_string()),
                ]);
                stats.insert("serf".to_owned(), serf);
            }
        }
        if let Some(client) = &self.client {
            let rows = group(vec![
                ("node_id", client.node_id().to_string()),
                ("known_servers", self.known_servers().join(",")),
                ("num_allocations", client.allocations().len().to_string()),
                ("last_heartbeat", self.runtime.clock.now().since(client.last_contact()).to_string()),
            ]);
            stats.insert("client".to_owned(), rows);
        }
        stats
    }

    fn runtime_stats(&self) -> BTreeMap<String, String> {
        let tasks: usize = self.runtime.tasks.running().values().sum();
        BTreeMap::from([
            ("arch".to_owned(), std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64")),
            ("kernel.name".to_owned(), "linux".to_owned()),
            ("version".to_owned(), crate::VERSION.to_owned()),
            ("tasks".to_owned(), tasks.to_string()),
            ("cpu_count".to_owned(), std::thread::available_parallelism().map_or(1, usize::from).to_string()),
        ])
    }
}

impl Control for AgentControl {
    fn describe(&self) -> AgentSelf {
        AgentSelf {
            config: crate::effective::configuration(&self.config, &self.name),
            member: self.member(),
            stats: self.stats(),
        }
    }
    fn started_at(&self) -> Time {
        self.started
    }
    fn members(&self) -> Vec<AgentMember> {
        let told = self.server.as_ref().and_then(nomadd_server::members::list);
        told.unwrap_or_else(|| vec![self.member()])
    }
    fn servers(&self) -> Vec<String> {
        self.known_servers()
    }
    fn set_servers(&self, addresses: Vec<String>) -> Result<(), String> {
        let Some(servers) = &self.servers else {
            return Err(
                "the list of servers cannot be changed: this agent's client uses the server of the same process"
                    .to_owned(),
            );
        };
        let port = self.config.ports.rpc;
        servers.set(addresses.iter().map(|address| join::with_port(address, port)).collect());
        Ok(())
    }
    fn prometheus(&self) -> String {
        self.gauge();
        self.measures.prometheus()
    }
    fn metrics(&self) -> MetricsSummary {
        self.gauge();
        self.measures.summary(self.runtime.clock.now())
    }
}

impl AgentControl {
    fn known_servers(&self) -> Vec<String> {
        match &self.servers {
            Some(servers) => servers.addresses(),
            None => vec![self.config.advertise_rpc.clone()],
        }
    }

    /// Reads what is only worth reading when somebody asks.
    fn gauge(&self) {
        let set = |name: &'static str, value: f64| metrics::gauge!(name).set(value);
        set("nomad.client.uptime", self.runtime.clock.now().since(self.started).as_secs_f64());
        let Some(server) = &self.server else { return };
        let state = server.state();
        let mut jobs = [0.0_f64; 3];
        for job in state.jobs() {
            jobs[match job.status {
                nomadd_model::JobStatus::Pending => 0,
                nomadd_model::JobStatus::Running => 1,
                nomadd_model::JobStatus::Dead => 2,
            }] += 1.0;
        }
        set("nomad.nomad.job_status.pending", jobs[0]);
        set("nomad.nomad.job_status.running", jobs[1]);
        set("nomad.nomad.job_status.dead", jobs[2]);
        set("nomad.raft.appliedIndex", state.index() as f64);
    }
}
