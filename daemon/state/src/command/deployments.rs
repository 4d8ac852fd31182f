//! Commands about deployments.

use nomadd_model::{AllocationId, DeploymentId, DeploymentStatusUpdate, Evaluation, Text, noun};

use super::jobs::JobRegister;

noun! {
    /// A new status of a deployment. A finished one is not changed any more.
    pub struct DeploymentStatusSet {
        pub update: DeploymentStatusUpdate = "Update",
        pub evaluation: Option<Evaluation> = "Evaluation",
        /// An earlier version to go back to.
        pub revert: Option<JobRegister> = "Revert",
    }

    /// Promotes the canaries of the named groups, or of all when none is named.
    pub struct DeploymentPromote {
        pub id: DeploymentId = "ID",
        pub groups: Vec<Text> = "Groups",
        pub evaluation: Option<Evaluation> = "Evaluation",
    }

    /// Sets the health of allocations of a deployment.
    pub struct DeploymentAllocHealth {
        pub id: DeploymentId = "ID",
        pub healthy: Vec<AllocationId> = "Healthy",
        pub unhealthy: Vec<AllocationId> = "Unhealthy",
        pub update: Option<DeploymentStatusUpdate> = "Update",
        pub evaluation: Option<Evaluation> = "Evaluation",
        pub revert: Option<JobRegister> = "Revert",
    }

    /// Removes deployments (garbage collection); active ones are kept.
    pub struct DeploymentDelete {
        pub ids: Vec<DeploymentId> = "IDs",
    }
}
