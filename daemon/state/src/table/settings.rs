//! What is set cluster-wide: scheduler configuration, namespaces, node pools, root keys, the cluster's name.

use std::sync::Arc;

use nomadd_model::{
    AutopilotConfiguration, Duration, KeyId, Namespace, NodePool, PreemptionConfig, SchedulerConfiguration, Text,
};

use crate::command::CommandSet;
use crate::root_key::RootKey;
use crate::state::State;

/// The namespace that is always there.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";
/// The node pools that are always there; the second has every node.
pub(crate) const BUILT_IN_POOLS: [(&str, &str); 2] =
    [("default", "Default node pool."), ("all", "Node pool with all nodes in the cluster.")];
/// How long the identities of a pool's nodes count, unless the pool says otherwise: Nomad's 24 h.
pub(crate) const NODE_IDENTITY_TTL: Duration = Duration::from_secs(24 * 3600);

impl State {
    pub(crate) fn add_built_in(&mut self) {
        let namespace = Namespace {
            name: DEFAULT_NAMESPACE.to_owned(),
            description: "Default shared namespace".to_owned(),
            create_index: 1,
            modify_index: 1,
            ..Namespace::default()
        };
        self.namespaces.insert(DEFAULT_NAMESPACE.into(), Arc::new(namespace));
        for (name, description) in BUILT_IN_POOLS {
            let pool = NodePool {
                name: name.to_owned(),
                description: description.to_owned(),
                create_index: 1,
                modify_index: 1,
                node_identity_ttl: NODE_IDENTITY_TTL,
                ..NodePool::default()
            };
            self.node_pools.insert(name.into(), Arc::new(pool));
        }
        self.scheduler_configuration = Arc::new(SchedulerConfiguration {
            scheduler_algorithm: "binpack".to_owned(),
            preemption_config: PreemptionConfig { system_scheduler_enabled: true, ..PreemptionConfig::default() },
            ..SchedulerConfiguration::default()
        });
    }

    /// How schedulers work.
    pub fn scheduler_configuration(&self) -> &SchedulerConfiguration {
        &self.scheduler_configuration
    }
    /// How servers take care of each other, once the first leader has said so.
    pub fn autopilot_configuration(&self) -> Option<&AutopilotConfiguration> {
        self.autopilot_configuration.as_deref()
    }
    /// Whether tasks in a node pool may use more memory than they reserve: as the pool says, or else the cluster.
    pub fn memory_oversubscription(&self, pool: &str) -> bool {
        let of_pool = self.node_pool(pool).and_then(|pool| pool.scheduler_configuration.as_ref());
        of_pool
            .and_then(|configuration| configuration.memory_oversubscription_enabled)
            .unwrap_or(self.scheduler_configuration.memory_oversubscription_enabled)
    }
    /// A namespace.
    pub fn namespace(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.namespaces.get(name)
    }
    /// All namespaces by name.
    pub fn namespaces(&self) -> impl DoubleEndedIterator<Item = &Arc<Namespace>> {
        self.namespaces.values()
    }
    /// A node pool.
    pub fn node_pool(&self, name: &str) -> Option<&Arc<NodePool>> {
        self.node_pools.get(name)
    }
    /// All node pools by name.
    pub fn node_pools(&self) -> impl DoubleEndedIterator<Item = &Arc<NodePool>> {
        self.node_pools.values()
    }
    /// All root keys by id.
    pub fn root_keys(&self) -> impl DoubleEndedIterator<Item = &Arc<RootKey>> {
        self.root_keys.values()
    }
    /// A root key.
    pub fn root_key(&self, id: KeyId) -> Option<&Arc<RootKey>> {
        self.root_keys.get(&id)
    }
    /// The name of the cluster, once it has one.
    pub fn cluster_id(&self) -> Option<&Text> {
        self.cluster.as_ref().map(|cluster| &cluster.id)
    }
    /// The newest set of commands that the cluster may use: every server can apply it.
    pub const fn command_set(&self) -> CommandSet {
        self.command_set
    }
    /// The note of the last rehearsal of an upgrade.
    pub const fn rehearsal(&self) -> &Text {
        &self.rehearsal
    }
}
