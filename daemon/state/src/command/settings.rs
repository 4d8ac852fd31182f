//! Commands about what is set cluster-wide: the scheduler, namespaces, node pools, root keys, the cluster's name.

use nomadd_model::{AutopilotConfiguration, KeyId, Namespace, NodePool, SchedulerConfiguration, Text, noun};

use crate::root_key::RootKey;

noun! {
    /// Sets autopilot's configuration; with `check_index` only if it still has that modify index.
    pub struct AutopilotConfigurationSet {
        pub config: AutopilotConfiguration = "Config",
        pub check_index: Option<u64> = "CheckIndex",
    }

    /// Sets the scheduler configuration.
    pub struct SchedulerConfigurationSet {
        pub config: SchedulerConfiguration = "Config",
        /// The modify index that it must have (check-and-set).
        pub check_index: Option<u64> = "CheckIndex",
    }

    /// Writes namespaces.
    pub struct NamespaceUpsert {
        pub namespaces: Vec<Namespace> = "Namespaces",
    }

    /// Removes namespaces; all or none.
    pub struct NamespaceDelete {
        pub names: Vec<Text> = "Names",
    }

    /// Writes node pools.
    pub struct NodePoolUpsert {
        pub pools: Vec<NodePool> = "Pools",
    }

    /// Removes node pools; all or none.
    pub struct NodePoolDelete {
        pub names: Vec<Text> = "Names",
    }

    /// Writes a root key. One that is active makes the other active ones inactive.
    pub struct RootKeyUpsert {
        pub key: RootKey = "Key",
    }

    /// Removes a root key.
    pub struct RootKeyDelete {
        pub id: KeyId = "ID",
    }

    /// Gives the cluster its name; a second one is ignored.
    pub struct ClusterIdSet {
        pub id: Text = "ID",
        pub create_time: i64 = "CreateTime",
    }
}
