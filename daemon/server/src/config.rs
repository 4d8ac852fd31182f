//! What a server has to be told: names, limits, spans, and how to check a driver's configuration.

use std::path::PathBuf;
use std::sync::Arc;

use nomadd_model::{Duration, SchedulerConfiguration, Text};
use nomadd_rpc::Dial;
use serde_json::Value;

use crate::autopilot::Settings;

/// Checks the configuration of a task for a driver; the error is one sentence.
pub type DriverCheck = Arc<dyn Fn(&str, &Value) -> Result<(), String> + Send + Sync>;

/// The configuration of a server.
#[derive(Clone)]
pub struct Config {
    /// The region.
    pub region: Text,
    /// The datacenter of this agent.
    pub datacenter: Text,
    /// The name of this server, without the region.
    pub name: Text,
    /// The id of this server, a UUID's text.
    pub id: Text,
    /// The address that others reach this server's RPC at, such as `10.0.0.1:4647`.
    pub rpc_address: Text,
    /// The version that this server tells others.
    pub version: Text,
    /// How many servers form a new cluster; 0 waits for others to take this one in.
    pub expect: u32,
    /// How servers take care of each other, in a new cluster.
    pub autopilot: Settings,
    /// Opens connections with other servers; without it there are none.
    pub dial: Option<Arc<dyn Dial>>,
    /// The folder for what only this server keeps (its keystore); made when absent.
    pub folder: PathBuf,
    /// How many evaluations are worked on at a time; 0: none here.
    pub schedulers: usize,
    /// How nodes are watched.
    pub heartbeats: Heartbeats,
    /// When what is over is removed.
    pub collection: Collection,
    /// How evaluations are delivered.
    pub broker: crate::broker::Limits,
    /// The highest priority of a job.
    pub job_max_priority: i64,
    /// The priority of a job that names none.
    pub job_default_priority: i64,
    /// How many versions of a job are kept.
    pub job_tracked_versions: u64,
    /// The largest source of a job that is kept, in bytes.
    pub job_max_source_size: usize,
    /// The scheduler configuration of a new cluster.
    pub scheduler: SchedulerConfiguration,
    /// Checks the configuration of tasks.
    pub driver_check: DriverCheck,
}

/// How nodes are watched.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeats {
    /// How long a node may be late.
    pub grace: Duration,
    /// The shortest time between two heartbeats of a node.
    pub min_ttl: Duration,
    /// How many heartbeats all nodes together may send per second.
    pub max_per_second: f64,
    /// How long a new leader waits for each node.
    pub failover_ttl: Duration,
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            min_ttl: Duration::from_secs(10),
            max_per_second: 50.0,
            failover_ttl: Duration::from_secs(300),
        }
    }
}

/// When what is over is removed.
#[derive(Clone, Copy, Debug)]
pub struct Collection {
    /// How often evaluations, deployments and nodes are looked through.
    pub interval: Duration,
    /// How often jobs are looked through.
    pub job_interval: Duration,
    /// The age at which an evaluation goes.
    pub evaluation_age: Duration,
    /// The age at which an evaluation of a batch job goes.
    pub batch_evaluation_age: Duration,
    /// The age at which a dead job goes.
    pub job_age: Duration,
    /// The age at which a finished deployment goes.
    pub deployment_age: Duration,
    /// The age at which a node that is down goes.
    pub node_age: Duration,
}

impl Default for Collection {
    fn default() -> Self {
        const HOUR: i64 = 3600;
        Self {
            interval: Duration::from_secs(300),
            job_interval: Duration::from_secs(300),
            evaluation_age: Duration::from_secs(HOUR),
            batch_evaluation_age: Duration::from_secs(24 * HOUR),
            job_age: Duration::from_secs(4 * HOUR),
            deployment_age: Duration::from_secs(HOUR),
            node_age: Duration::from_secs(24 * HOUR),
        }
    }
}

/// Nomad's scheduler configuration of a new cluster.
pub fn default_scheduler_configuration() -> SchedulerConfiguration {
    let mut config = SchedulerConfiguration { scheduler_algorithm: "binpack".into(), ..Default::default() };
    config.preemption_config.system_scheduler_enabled = true;
    config
}

impl Config {
    /// Nomad's defaults for a server that keeps its own things in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            region: "global".into(),
            datacenter: "dc1".into(),
            name: "server".into(),
            id: "00000000-0000-4000-8000-000000000001".into(),
            rpc_address: "127.0.0.1:4647".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            expect: 1,
            autopilot: Settings::default(),
            dial: None,
            folder,
            schedulers: std::thread::available_parallelism().map_or(1, usize::from),
            heartbeats: Heartbeats::default(),
            collection: Collection::default(),
            broker: crate::broker::Limits::default(),
            job_max_priority: 100,
            job_default_priority: 50,
            job_tracked_versions: 6,
            job_max_source_size: 1_000_000,
            scheduler: default_scheduler_configuration(),
            driver_check: Arc::new(|_, _| Ok(())),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("name", &self.name).field("region", &self.region).finish_non_exhaustive()
    }
}
