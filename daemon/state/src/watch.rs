//! What an apply changed, as keys that blocking queries wait for.

use nomadd_model::{AllocationId, DeploymentId, EvaluationId, NodeId};

use crate::key::JobKey;

/// A table; each has an index of its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Jobs and their versions.
    Jobs,
    /// Summaries of jobs.
    Summaries,
    /// Scaling events and policies.
    Scaling,
    /// Nodes.
    Nodes,
    /// Allocations.
    Allocations,
    /// Evaluations.
    Evaluations,
    /// Deployments.
    Deployments,
    /// Namespaces.
    Namespaces,
    /// Node pools.
    NodePools,
    /// The scheduler configuration.
    SchedulerConfiguration,
    /// Root keys, wrapped.
    RootKeys,
    /// The name of the cluster.
    Cluster,
}

impl Table {
    /// Every table, in order.
    pub const ALL: [Self; 12] = [
        Self::Jobs,
        Self::Summaries,
        Self::Scaling,
        Self::Nodes,
        Self::Allocations,
        Self::Evaluations,
        Self::Deployments,
        Self::Namespaces,
        Self::NodePools,
        Self::SchedulerConfiguration,
        Self::RootKeys,
        Self::Cluster,
    ];

    /// The name of the table; snapshots refer to it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Summaries => "job_summary",
            Self::Scaling => "scaling",
            Self::Nodes => "nodes",
            Self::Allocations => "allocs",
            Self::Evaluations => "evals",
            Self::Deployments => "deployment",
            Self::Namespaces => "namespaces",
            Self::NodePools => "node_pools",
            Self::SchedulerConfiguration => "scheduler_config",
            Self::RootKeys => "root_keys",
            Self::Cluster => "cluster_meta",
        }
    }
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchKey {
    /// Anything of a table.
    Table(Table),
    /// A job: its definition, status, versions.
    Job(JobKey),
    /// The allocations of a job.
    JobAllocations(JobKey),
    /// The evaluations of a job.
    JobEvaluations(JobKey),
    /// The deployments of a job.
    JobDeployments(JobKey),
    /// The summary of a job.
    Summary(JobKey),
    /// A node.
    Node(NodeId),
    /// The allocations of a node.
    NodeAllocations(NodeId),
    /// An allocation.
    Allocation(AllocationId),
    /// An evaluation.
    Evaluation(EvaluationId),
    /// A deployment.
    Deployment(DeploymentId),
}
