//! What the API may ask of the agent around it: its description, its members, its metrics.

use std::collections::BTreeMap;

use nomadd_client::Client;
use nomadd_config::Config;
use nomadd_http::Control;
use nomadd_model::{AgentMember, AgentSelf, MetricsSummary, Time};
use nomadd_raft::Raft;
use nomadd_runtime::Runtime;
use nomadd_server::Server;

use crate::measure::Measures;

/// The agent, as the API sees it.
pub struct AgentControl {
    pub config: Config,
    pub name: String,
    pub raft: Raft,
    pub server: Server,
    pub client: Option<Client>,
    pub measures: Measures,
    pub started: Time,
    pub runtime: Runtime,
}

impl AgentControl {
    fn member(&self) -> AgentMember {
        let (host, port) = self.config.advertise_rpc.rsplit_once(':').unwrap_or((&self.config.advertise_rpc, "0"));
        let tags = BTreeMap::from(
            [
                ("role", "nomad"),
                ("region", &self.config.region),
                ("dc", &self.config.datacenter),
                ("build", crate::NOMAD_VERSION),
                ("nomadd", crate::VERSION),
                ("vsn", "1"),
                ("raft_vsn", "3"),
                ("port", port),
                ("rpc_addr", host),
                ("id", &self.raft.id().to_string()),
                ("expect", "1"),
                ("bootstrap", "1"),
                ("revision", ""),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        AgentMember {
            name: format!("{}.{}", self.name, self.config.region),
            addr: host.to_owned(),
            port: u64::from(self.config.ports.serf),
            tags,
            status: "alive".to_owned(),
            protocol_min: 1,
            protocol_max: 5,
            protocol_cur: 2,
            delegate_min: 2,
            delegate_max: 5,
            delegate_cur: 4,
        }
    }

    fn stats(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let raft = self.raft.stats();
        let leader = nomadd_server::status::leader(&self.server);
        let group = |rows: Vec<(&str, String)>| rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut stats = BTreeMap::from([
            (
                "nomad".to_owned(),
                group(vec![
                    ("server", "true".into()),
                    ("leader", raft.role.to_string().eq("Leader").to_string()),
                    ("leader_addr", leader),
                    ("bootstrap", "true".into()),
                    ("known_regions", "1".into()),
                ]),
            ),
            (
                "raft".to_owned(),
                group(vec![
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
                ]),
            ),
            ("runtime".to_owned(), self.runtime_stats()),
        ]);
        if let Some(client) = &self.client {
            let rows = group(vec![
                ("node_id", client.node_id().to_string()),
                ("known_servers", self.config.advertise_rpc.clone()),
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
        vec![self.member()]
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
    /// Reads what is only worth reading when somebody asks.
    fn gauge(&self) {
        let state = self.server.state();
        let set = |name: &'static str, value: f64| metrics::gauge!(name).set(value);
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
        set("nomad.client.uptime", self.runtime.clock.now().since(self.started).as_secs_f64());
        set("nomad.raft.appliedIndex", state.index() as f64);
    }
}
