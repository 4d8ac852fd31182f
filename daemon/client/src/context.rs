//! What every part of a running client shares.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use nomadd_driver::Registry;
use nomadd_model::Node;
use nomadd_network::Networks;
use nomadd_rpc::Connection;
use nomadd_runtime::{Pool, Runtime};
use nomadd_supervisor::Supervisor;

use crate::config::ClientConfig;
use crate::identity::Identity;
use crate::metadata::Dynamic;
use crate::store::Store;
use crate::updates::Updates;

/// What every part of a running client shares.
pub struct Context {
    /// The setup.
    pub config: ClientConfig,
    /// Who the node is.
    pub identity: Identity,
    /// The surroundings.
    pub runtime: Runtime,
    /// For files: apart from the runtime's pool, so that a start does not wait for the scheduler.
    pub pool: Pool,
    /// For files that move between nodes: apart from `pool`, so that starts do not wait for them.
    pub transfers: Pool,
    /// The way to servers.
    pub connection: Arc<dyn Connection>,
    /// Runs processes.
    pub supervisor: Arc<dyn Supervisor>,
    /// Knows what a task's configuration means.
    pub drivers: Registry,
    /// The networks of allocations.
    pub networks: Networks,
    /// The local state.
    pub store: Store,
    /// What operators changed of the node's metadata.
    pub metadata: Dynamic,
    /// What servers have to be told.
    pub updates: Updates,
    /// The agent's own environment, as far as tasks may see it.
    pub host_environment: BTreeMap<String, String>,
    node: RwLock<Arc<Node>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// The parts that a context is made of.
pub struct Parts {
    /// The setup.
    pub config: ClientConfig,
    /// Who the node is.
    pub identity: Identity,
    /// The surroundings.
    pub runtime: Runtime,
    /// The way to servers.
    pub connection: Arc<dyn Connection>,
    /// Runs processes.
    pub supervisor: Arc<dyn Supervisor>,
    /// Knows what a task's configuration means.
    pub drivers: Registry,
    /// The networks of allocations.
    pub networks: Networks,
    /// The local state.
    pub store: Store,
    /// What operators changed of the node's metadata.
    pub metadata: Dynamic,
    /// What the host has.
    pub node: Node,
}

/// How many files are worked on at a time.
const FILE_WORK: usize = 8;
/// How many allocations' files come or go at a time.
const TRANSFERS: usize = 4;

impl Context {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let Parts { config, identity, runtime, connection, supervisor, drivers, networks, store, metadata, mut node } =
            parts;
        metadata.lay_over(&mut node);
        let host_environment = host_environment(&config, std::env::vars_os());
        let (pool, transfers) = (Pool::threads(FILE_WORK), Pool::threads(TRANSFERS));
        let updates = Updates::default();
        let node = RwLock::new(Arc::new(node));
        Self {
            config,
            identity,
            runtime,
            pool,
            transfers,
            connection,
            supervisor,
            drivers,
            networks,
            store,
            metadata,
            updates,
            host_environment,
            node,
        }
    }
    /// What the host has.
    pub fn node(&self) -> Arc<Node> {
        Arc::clone(&self.node.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// Changes what the node tells of itself; servers learn it with its next registration.
    pub fn change_node(&self, change: impl FnOnce(&mut Node)) {
        change(Arc::make_mut(&mut self.node.write().unwrap_or_else(PoisonError::into_inner)));
    }
}

/// Names of the agent's environment that tasks do not see unless the operator says so: they hold credentials.
const HIDDEN: [&str; 12] = [
    "CONSUL_TOKEN",
    "CONSUL_HTTP_TOKEN",
    "CONSUL_HTTP_TOKEN_FILE",
    "NOMAD_TOKEN",
    "NOMAD_LICENSE",
    "VAULT_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "DIGITALOCEAN_TOKEN",
];

fn host_environment(
    config: &ClientConfig,
    variables: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> BTreeMap<String, String> {
    let own = config.options.get("env.denylist").or_else(|| config.options.get("env.blacklist"));
    let hidden: Vec<&str> = match own {
        Some(list) => list.split(',').map(str::trim).collect(),
        None => HIDDEN.to_vec(),
    };
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !hidden.contains(&name.as_str()) && !name.starts_with("NOMADD_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_do_not_see_the_agents_credentials() {
        let variables = [("PATH", "/bin"), ("VAULT_TOKEN", "x"), ("NOMADD_EXECUTOR", "y"), ("MINE", "z")];
        let names = |config: &ClientConfig| {
            let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            host_environment(config, variables).into_keys().collect::<Vec<_>>()
        };
        let mut config = ClientConfig::new("/nowhere");
        assert_eq!(names(&config), ["MINE", "PATH"]);
        config.options.insert("env.denylist".to_owned(), "MINE".to_owned());
        assert_eq!(names(&config), ["PATH", "VAULT_TOKEN"]);
    }
}
