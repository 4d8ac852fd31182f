//! The whole replicated state. A clone is cheap and never changes: it is the snapshot that readers hold.
//!
//! Tables are persistent maps of shared values; what lies where is said in `table/`. Only `apply/` and `snapshot/` write.

use imbl::{OrdMap, OrdSet};
use std::sync::Arc;

use nomadd_model::{
    Allocation, AllocationId, AutopilotConfiguration, Deployment, DeploymentId, Evaluation, EvaluationId, KeyId,
    Namespace, NodeId, NodePool, SchedulerConfiguration, Text,
};

use crate::command::{ClusterIdSet, CommandSet};
use crate::key::JobKey;
use crate::root_key::RootKey;
use crate::table::jobs::JobRecord;
use crate::table::nodes::NodeRecord;
use crate::watch::Table;

/// The replicated state as of one index of the log.
#[derive(Clone, PartialEq)]
pub struct State {
    pub(crate) index: u64,
    pub(crate) table_indexes: [u64; Table::ALL.len()],
    /// The number that the next job record gets; indexes refer to jobs by number.
    pub(crate) next_number: u64,
    pub(crate) jobs: OrdMap<JobKey, Arc<JobRecord>>,
    pub(crate) children: OrdSet<(JobKey, JobKey)>,
    pub(crate) nodes: OrdMap<NodeId, Arc<NodeRecord>>,
    /// The number of the newest batch of what each node said of its allocations. Apart from the records of nodes: it changes often,
    /// and nobody who watches nodes need look again.
    pub(crate) reports: OrdMap<NodeId, u64>,
    pub(crate) allocations: OrdMap<AllocationId, Arc<Allocation>>,
    pub(crate) allocations_by_job: OrdSet<(u64, AllocationId)>,
    pub(crate) allocations_by_node: OrdSet<(NodeId, AllocationId)>,
    pub(crate) allocations_by_evaluation: OrdSet<(EvaluationId, AllocationId)>,
    pub(crate) allocations_by_deployment: OrdSet<(DeploymentId, AllocationId)>,
    /// Allocations that are not done and yet hold nothing: their room was promised to a successor, or taken from them.
    pub(crate) released: OrdSet<AllocationId>,
    pub(crate) evaluations: OrdMap<EvaluationId, Arc<Evaluation>>,
    pub(crate) evaluations_by_job: OrdSet<(u64, EvaluationId)>,
    pub(crate) deployments: OrdMap<DeploymentId, Arc<Deployment>>,
    pub(crate) deployments_by_job: OrdSet<(u64, u64, DeploymentId)>,
    pub(crate) namespaces: OrdMap<Text, Arc<Namespace>>,
    pub(crate) node_pools: OrdMap<Text, Arc<NodePool>>,
    pub(crate) scheduler_configuration: Arc<SchedulerConfiguration>,
    pub(crate) autopilot_configuration: Option<Arc<AutopilotConfiguration>>,
    pub(crate) root_keys: OrdMap<KeyId, Arc<RootKey>>,
    pub(crate) cluster: Option<Arc<ClusterIdSet>>,
    pub(crate) command_set: CommandSet,
    pub(crate) rehearsal: Text,
}

impl State {
    /// The state before the first entry of the log: the built-in namespace and node pools, Nomad's scheduler settings.
    pub fn new() -> Self {
        let mut state = Self {
            index: 0,
            table_indexes: [0; Table::ALL.len()],
            next_number: 1,
            jobs: OrdMap::new(),
            children: OrdSet::new(),
            nodes: OrdMap::new(),
            allocations: OrdMap::new(),
            reports: OrdMap::new(),
            allocations_by_job: OrdSet::new(),
            allocations_by_node: OrdSet::new(),
            allocations_by_evaluation: OrdSet::new(),
            allocations_by_deployment: OrdSet::new(),
            released: OrdSet::new(),
            evaluations: OrdMap::new(),
            evaluations_by_job: OrdSet::new(),
            deployments: OrdMap::new(),
            deployments_by_job: OrdSet::new(),
            namespaces: OrdMap::new(),
            node_pools: OrdMap::new(),
            scheduler_configuration: Arc::default(),
            autopilot_configuration: None,
            root_keys: OrdMap::new(),
            cluster: None,
            command_set: CommandSet::FIRST,
            rehearsal: Text::default(),
        };
        state.add_built_in();
        state
    }

    /// The index of the last applied entry.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The index of the last change of a table.
    pub const fn table_index(&self, table: Table) -> u64 {
        self.table_indexes[table as usize]
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("index", &self.index)
            .field("jobs", &self.jobs.len())
            .field("nodes", &self.nodes.len())
            .field("allocations", &self.allocations.len())
            .finish_non_exhaustive()
    }
}
