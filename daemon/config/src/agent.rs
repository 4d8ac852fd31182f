//! The typed configuration of an agent: total, validated, with Nomad's defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use nomadd_model::Duration;
use serde_json::Value;

/// Whether this is `agent -dev`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Files and flags decide; everything is on disk.
    #[default]
    Configured,
    /// Server and client in one, on loopback, in a temporary folder.
    Development,
}

/// The configuration of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Whether this is `agent -dev`.
    pub mode: Mode,
    /// The region.
    pub region: String,
    /// The datacenter.
    pub datacenter: String,
    /// The name of this agent; empty is the host's name.
    pub name: String,
    /// Where everything is kept; `None` only in development.
    pub data_dir: Option<PathBuf>,
    /// What is logged, and where.
    pub log: Log,
    /// The address that listeners bind, before `addresses`.
    pub bind_addr: String,
    /// Ports by listener.
    pub ports: Ports,
    /// The addresses that the HTTP API is served at; the first is the main one.
    pub http: Vec<SocketAddr>,
    /// The addresses that RPC is served at.
    pub rpc: Vec<SocketAddr>,
    /// The addresses that gossip is served at; the first is used.
    pub serf: Vec<SocketAddr>,
    /// `HOST:PORT` of the HTTP API as others reach it.
    pub advertise_http: String,
    /// `HOST:PORT` of the RPC port as others reach it.
    pub advertise_rpc: String,
    /// `HOST:PORT` of gossip as others reach it.
    pub advertise_serf: String,
    /// Transport security.
    pub tls: Tls,
    /// How servers take care of each other, in a new cluster.
    pub autopilot: Autopilot,
    /// Whether debug endpoints answer.
    pub enable_debug: bool,
    /// SIGINT leaves in order and exits 0.
    pub leave_on_interrupt: bool,
    /// SIGTERM leaves in order and exits 0.
    pub leave_on_terminate: bool,
    /// Headers that every HTTP answer carries.
    pub response_headers: BTreeMap<String, String>,
    /// How many HTTP connections one address may have.
    pub http_max_conns_per_client: usize,
    /// How metrics are gathered.
    pub telemetry: Telemetry,
    /// The server half.
    pub server: Server,
    /// The client half.
    pub client: Client,
    /// Driver configuration by driver, as written.
    pub plugins: BTreeMap<String, Value>,
    /// The files that made it, in order.
    pub files: Vec<String>,
}

/// What is logged, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `TRACE`, `DEBUG`, `INFO`, `WARN` or `ERROR`.
    pub level: String,
    /// Whether lines are JSON.
    pub json: bool,
    /// A file that gets the log, too.
    pub file: Option<PathBuf>,
    /// The age at which the file is rotated; 0 never.
    pub rotate_duration: Duration,
    /// The size at which the file is rotated, in bytes; 0 never.
    pub rotate_bytes: u64,
    /// How many rotated files are kept; 0 keeps all.
    pub rotate_max_files: usize,
}

/// Ports by listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The HTTP API.
    pub http: u16,
    /// Server to server and client to server.
    pub rpc: u16,
    /// Gossip.
    pub serf: u16,
}

/// How metrics are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Whether `/v1/metrics?format=prometheus` answers.
    pub prometheus_metrics: bool,
    /// How often gauges are read.
    pub collection_interval: Duration,
}

/// The server half.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Whether this agent is a server.
    pub enabled: bool,
    /// How many servers form a new cluster; 0 waits until others take this one in.
    pub bootstrap_expect: u64,
    /// The first key of gossip, base64; empty is none.
    pub encrypt: Secret,
    /// Whom to join.
    pub join: Join,
    /// Where the server keeps its things; default `data_dir/server`.
    pub data_dir: Option<PathBuf>,
    /// How many evaluations are worked on at a time; `None` is the number of cores.
    pub num_schedulers: Option<usize>,
    /// Ages at which things are removed.
    pub gc: ServerGc,
    /// How long a node may be late.
    pub heartbeat_grace: Duration,
    /// The shortest time between two heartbeats.
    pub min_heartbeat_ttl: Duration,
    /// How many heartbeats all nodes together may send per second.
    pub max_heartbeats_per_second: f64,
    /// How long a new leader waits for each node.
    pub failover_heartbeat_ttl: Duration,
    /// Entries after which a snapshot is taken.
    pub raft_snapshot_threshold: u64,
    /// How often that is looked at.
    pub raft_snapshot_interval: Duration,
    /// Entries that are kept after a snapshot.
    pub raft_trailing_logs: u64,
    /// The priority of a job that names none.
    pub job_default_priority: i64,
    /// The highest priority.
    pub job_max_priority: i64,
    /// The largest job file that is kept, in bytes.
    pub job_max_source_size: usize,
    /// How many versions of a job are kept.
    pub job_tracked_versions: u64,
    /// The scheduler configuration of a new cluster.
    pub scheduler: Scheduler,
}

/// Whom to join, and how persistently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// Joined once; the agent does not start when none answers.
    pub start: Vec<String>,
    /// Tried again and again; `exec:COMMAND` prints addresses.
    pub retry: Vec<String>,
    /// After so many rounds the agent gives up and ends; 0 never.
    pub retry_max: u64,
    /// The pause between two rounds.
    pub retry_interval: Duration,
}

/// A text that is not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(..)" })
    }
}

/// Transport security.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whether the HTTP API is served with TLS.
    pub http: bool,
    /// Whether RPC is spoken with TLS.
    pub rpc: bool,
    /// Whether servers must prove to be servers of their region.
    pub verify_server_hostname: bool,
    /// Whether clients of the HTTP API need a certificate.
    pub verify_https_client: bool,
    /// Whether RPC without TLS is taken, too, while a cluster changes over.
    pub rpc_upgrade_mode: bool,
    /// The authority's certificate.
    pub ca_file: Option<PathBuf>,
    /// This agent's certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// How servers take care of each other, in a new cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Autopilot {
    /// Whether dead servers are removed.
    pub cleanup_dead_servers: bool,
    /// How long a server may be without contact and healthy.
    pub last_contact_threshold: Duration,
    /// How many entries a healthy server may be behind.
    pub max_trailing_logs: u64,
    /// How many voters are kept, whatever happens.
    pub min_quorum: u64,
    /// How long a new server must be healthy before it votes.
    pub server_stabilization_time: Duration,
}

/// Ages at which the server removes things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerGc {
    /// Nodes that are down.
    pub node: Duration,
    /// How often jobs are looked through.
    pub job_interval: Duration,
    /// Dead jobs.
    pub job: Duration,
    /// Evaluations.
    pub evaluation: Duration,
    /// Evaluations of batch jobs.
    pub batch_evaluation: Duration,
    /// Deployments.
    pub deployment: Duration,
}

/// The scheduler configuration of a new cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// `binpack` or `spread`.
    pub algorithm: String,
    /// Whether `memory_max` counts.
    pub memory_oversubscription: bool,
    /// Whether registrations are refused.
    pub reject_job_registration: bool,
    /// Whether the broker is paused.
    pub pause_eval_broker: bool,
    /// How many nodes are looked at where affinities or spreads rule.
    pub node_limit: u64,
    /// Which schedulers may preempt.
    pub preempt_batch: bool,
    /// Same.
    pub preempt_system: bool,
    /// Same.
    pub preempt_service: bool,
    /// Same.
    pub preempt_system_batch: bool,
}

/// The client half.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Whether this agent is a client.
    pub enabled: bool,
    /// Servers, `HOST` or `HOST:PORT` of their RPC port.
    pub servers: Vec<String>,
    /// More servers.
    pub join: Join,
    /// Where the client keeps its state; default `data_dir/client`.
    pub state_dir: Option<PathBuf>,
    /// Where allocations live; default `data_dir/alloc`.
    pub alloc_dir: Option<PathBuf>,
    /// The class.
    pub node_class: String,
    /// The pool.
    pub node_pool: String,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Old-style options.
    pub options: BTreeMap<String, String>,
    /// The interface that ports are given out on; empty is the one with the default route.
    pub network_interface: String,
    /// `ipv4`, `ipv6` or empty.
    pub preferred_address_family: String,
    /// Mbit/s; 0 is what the interface says.
    pub network_speed: i64,
    /// MHz; 0 is measured.
    pub cpu_total_compute: i64,
    /// MB; 0 is measured.
    pub memory_total_mb: i64,
    /// MB; 0 is measured.
    pub disk_total_mb: i64,
    /// MB; 0 is measured.
    pub disk_free_mb: i64,
    /// Cores that tasks may reserve, such as `0-3`; empty is all.
    pub reservable_cores: String,
    /// The longest `kill_timeout`.
    pub max_kill_timeout: Duration,
    /// The first dynamic port.
    pub min_dynamic_port: u16,
    /// The last dynamic port.
    pub max_dynamic_port: u16,
    /// What the host keeps for itself.
    pub reserved: Reserved,
    /// When allocations are removed.
    pub gc: ClientGc,
    /// How the node is drained when the agent leaves in order; `None`: it is not.
    pub drain_on_shutdown: Option<Drain>,
    /// Host folders by name.
    pub host_volumes: BTreeMap<String, HostVolume>,
    /// What of the host tasks with a root of their own see there, by the host's paths; empty is the usual.
    pub chroot_env: BTreeMap<String, String>,
    /// Host networks by name.
    pub host_networks: BTreeMap<String, HostNetwork>,
    /// How networks of allocations are made.
    pub network: ClientNetwork,
    /// The cgroup below which tasks live.
    pub cgroup_parent: String,
    /// Who runs the tasks' processes: `auto`, `systemd` or `direct`. Not Nomad's.
    pub supervisor: String,
    /// Whether the system's journal gets a copy of what tasks write. Not Nomad's.
    pub journal: bool,
    /// How many allocations may live here; 0 is no limit.
    pub node_max_allocs: i64,
    /// Whether `alloc exec` is refused.
    pub disable_remote_exec: bool,
    /// Whether a new node waits for an operator before it takes allocations.
    pub default_ineligible: bool,
}

/// How networks of allocations are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientNetwork {
    /// Folders of CNI plugins.
    pub cni_path: Vec<PathBuf>,
    /// The folder of the operator's CNI configurations.
    pub cni_config_dir: PathBuf,
    /// The bridge's device.
    pub bridge_name: String,
    /// Its IPv4 addresses.
    pub bridge_subnet: String,
    /// Its IPv6 addresses, or "".
    pub bridge_subnet6: String,
    /// Whether an allocation reaches itself by a port of the host.
    pub hairpin: bool,
    /// Whether ports of the default host network lead in from all of the host's addresses.
    pub wildcard: bool,
}

/// What the host keeps for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    /// MHz.
    pub cpu: u64,
    /// Cores, such as `0-1`.
    pub cores: String,
    /// MB.
    pub memory_mb: u64,
    /// MB.
    pub disk_mb: u64,
    /// Ports, such as `22,80,8000-8100`.
    pub ports: String,
}

/// How a node is drained when its agent leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long allocations may take to move.
    pub deadline: Duration,
    /// Whether system jobs stay.
    pub ignore_system_jobs: bool,
    /// Whether everything is stopped at once, without waiting for `migrate` blocks.
    pub force: bool,
}

/// When the client removes allocations that are over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClientGc {
    /// How often that is looked at.
    pub interval: Duration,
    /// How many are removed at a time.
    pub parallel_destroys: usize,
    /// Percent of the disk.
    pub disk_usage_threshold: f64,
    /// Percent of the inodes.
    pub inode_usage_threshold: f64,
    /// How many allocations are kept.
    pub max_allocs: usize,
}

/// A host folder that jobs may mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostVolume {
    /// The folder.
    pub path: PathBuf,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// A named network of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNetwork {
    /// Addresses in this network.
    pub cidr: String,
    /// Addresses of this interface.
    pub interface: String,
    /// Ports that jobs do not get here.
    pub reserved_ports: String,
}
