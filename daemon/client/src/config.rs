//! How a node is set up. Made by the binary from the agent's configuration; nothing here reads files or the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nomadd_driver::DriverConfig;
use nomadd_driver::registry::Switch;
use nomadd_model::Duration;
use nomadd_network::Bridge;

/// The setup of a client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where the node's identity and the state of its allocations are kept (`client.state_dir`).
    pub state_dir: PathBuf,
    /// Below which the allocations' directories are (`client.alloc_dir`).
    pub alloc_dir: PathBuf,
    /// The node's name; "" is the host's name.
    pub name: String,
    /// The region.
    pub region: String,
    /// The datacenter.
    pub datacenter: String,
    /// The class, or "".
    pub node_class: String,
    /// The pool.
    pub node_pool: String,
    /// The operator's own facts.
    pub meta: BTreeMap<String, String>,
    /// Where the agent's HTTP API can be reached, `host:port`.
    pub http_address: String,
    /// Attributes that only the binary knows, such as `nomad.version`.
    pub attributes: BTreeMap<String, String>,
    /// The network device whose addresses tasks get; `None` takes the one of the default route, `lo` when `loopback`.
    pub network_interface: Option<String>,
    /// Whether the node uses the loopback device (`-dev`).
    pub loopback: Loopback,
    /// Its speed in Mbit/s where the kernel does not know; 0 is 1000.
    pub network_speed: i64,
    /// Overrides the measured total of all cores, in MHz.
    pub cpu_total_compute: Option<u64>,
    /// Overrides the measured memory, in MB.
    pub memory_total_mb: Option<u64>,
    /// Overrides the measured disk, in MB.
    pub disk_total_mb: Option<u64>,
    /// Overrides the measured free disk, in MB.
    pub disk_free_mb: Option<u64>,
    /// The cores that tasks may have for themselves, such as `0-2,7`; `None` is all.
    pub reservable_cores: Option<String>,
    /// What the host keeps for itself.
    pub reserved: Reserved,
    /// Folders that jobs may mount, by name.
    pub host_volumes: BTreeMap<String, HostVolume>,
    /// Named networks, by name.
    pub host_networks: BTreeMap<String, HostNetwork>,
    /// The family of addresses that ports are given out on first; `None` is IPv4.
    pub preferred_family: Option<Family>,
    /// How networks of allocations are made.
    pub network: NetworkConfig,
    /// The first dynamic port.
    pub min_dynamic_port: u16,
    /// The last dynamic port.
    pub max_dynamic_port: u16,
    /// The longest `kill_timeout` that a job may have.
    pub max_kill_timeout: Duration,
    /// How many allocations the node takes; 0 is no limit.
    pub node_max_allocs: i64,
    /// The parent of the tasks' cgroups.
    pub cgroup_parent: String,
    /// Who runs the processes.
    pub supervisor: nomadd_supervisor::Choice,
    /// Whether the system's journal gets a copy of what tasks write.
    pub journal: nomadd_supervisor::Journal,
    /// The executor's binary; `None` finds it beside the program.
    pub executor: Option<PathBuf>,
    /// Resource limits of every task that sets no other (what the agent was started with, if it raised its own).
    pub task_rlimits: Vec<nomadd_supervisor::Rlimit>,
    /// The drivers' configuration (`plugin "raw_exec" { config { … } }`).
    pub drivers: DriverConfig,
    /// `client.options` of old configurations, such as `env.denylist`.
    pub options: BTreeMap<String, String>,
    /// When allocations that are over are removed.
    pub gc: GcConfig,
}

/// Whether a node uses the loopback device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loopback {
    /// The device of the default route.
    #[default]
    Avoid,
    /// `lo`.
    Use,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// How networks of allocations are made.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Folders of CNI plugins.
    pub plugins: Vec<PathBuf>,
    /// The folder of the operator's CNI configurations.
    pub configurations: PathBuf,
    /// The bridge that groups share.
    pub bridge: Bridge,
    /// From where the ports of a group on the bridge lead in.
    pub reach: Reach,
}

/// From where the ports of a group on the bridge lead in. Those of a named host network always do from its address only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// From every address of the host.
    #[default]
    EveryAddress,
    /// From the address that the port was given out on.
    OwnAddress,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let nomadd_network::Config { plugins, configurations, bridge, .. } =
            nomadd_network::Config::new(PathBuf::new(), PathBuf::new());
        Self { plugins, configurations, bridge, reach: Reach::default() }
    }
}

/// What the host keeps for itself.
#[derive(Clone, Debug, Default)]
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

/// A folder that jobs may mount.
#[derive(Clone, Debug)]
pub struct HostVolume {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it may only be read.
    pub read_only: bool,
}

/// A named network: a device, or the addresses within a range.
#[derive(Clone, Debug, Default)]
pub struct HostNetwork {
    /// The range of its addresses, or "".
    pub cidr: String,
    /// Its device, or "".
    pub interface: String,
    /// Its ports that are not given out.
    pub reserved_ports: String,
}

/// When allocations that are over are removed.
#[derive(Clone, Debug)]
pub struct GcConfig {
    /// How often the node looks.
    pub interval: Duration,
    /// How many are removed at a time.
    pub parallel: usize,
    /// Percent of the disk in use from which on.
    pub disk_usage_threshold: f64,
    /// Percent of the inodes in use from which on.
    pub inode_usage_threshold: f64,
    /// How many allocations a node holds before it removes those that are over.
    pub max_allocs: usize,
}

impl Default for GcConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            parallel: 2,
            disk_usage_threshold: 80.0,
            inode_usage_threshold: 70.0,
            max_allocs: 50,
        }
    }
}

impl ClientConfig {
    /// Nomad's defaults, with the directories below `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            state_dir: data_dir.join("client"),
            alloc_dir: data_dir.join("alloc"),
            name: String::new(),
            region: "global".to_owned(),
            datacenter: "dc1".to_owned(),
            node_class: String::new(),
            node_pool: "default".to_owned(),
            meta: BTreeMap::new(),
            http_address: String::new(),
            attributes: BTreeMap::new(),
            network_interface: None,
            loopback: Loopback::Avoid,
            network_speed: 0,
            cpu_total_compute: None,
            memory_total_mb: None,
            disk_total_mb: None,
            disk_free_mb: None,
            reservable_cores: None,
            reserved: Reserved::default(),
            host_volumes: BTreeMap::new(),
            host_networks: BTreeMap::new(),
            preferred_family: None,
            network: NetworkConfig::default(),
            min_dynamic_port: 20_000,
            max_dynamic_port: 32_000,
            max_kill_timeout: Duration::from_secs(30),
            node_max_allocs: 0,
            cgroup_parent: "nomad.slice".to_owned(),
            supervisor: nomadd_supervisor::Choice::Auto,
            journal: nomadd_supervisor::Journal::default(),
            executor: None,
            task_rlimits: Vec::new(),
            drivers: DriverConfig::default(),
            options: BTreeMap::new(),
            gc: GcConfig::default(),
        }
    }

    /// The setup of `agent -dev`: the loopback device, raw_exec, nothing removed before the disk is full.
    pub fn dev(data_dir: impl Into<PathBuf>) -> Self {
        let mut config = Self::new(data_dir);
        config.loopback = Loopback::Use;
        config.gc = GcConfig {
            interval: Duration::from_secs(600),
            disk_usage_threshold: 99.0,
            inode_usage_threshold: 99.0,
            ..GcConfig::default()
        };
        config.drivers.raw_exec.enabled = true;
        config.drivers.docker.volumes = true;
        config.drivers.mock_driver = Switch::On;
        config
    }
}
