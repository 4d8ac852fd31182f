//! Commands about allocations: plans, what clients say, what servers want.

use nomadd_model::{
    AllocDeploymentStatus, AllocNetworkStatus, AllocationId, ClientStatus, DesiredTransition, Evaluation, Plan,
    SmallMap, TaskState, Text, Time, noun,
};

noun! {
    /// What a client says of one allocation.
    pub struct AllocationClientUpdate {
        pub id: AllocationId = "ID",
        pub client_status: ClientStatus = "ClientStatus",
        pub client_description: Text = "ClientDescription",
        /// All tasks; empty: as they were.
        pub task_states: SmallMap<Text, TaskState> = "TaskStates",
        /// Health as the client judges it; absent: as it was.
        pub deployment_status: Option<AllocDeploymentStatus> = "DeploymentStatus",
        /// Absent: as it was.
        pub network_status: Option<Box<AllocNetworkStatus>> = "NetworkStatus",
        /// When the client saw it; zero: when it is applied.
        pub time: Time = "Time",
        /// The number of its node's batch. Not taken after a batch with a higher one; zero: taken in any order.
        pub number: u64 = "Number",
    }

    /// What clients say of their allocations; unknown ones are ignored.
    pub struct AllocationClientUpdates {
        pub updates: Vec<AllocationClientUpdate> = "Updates",
        pub evaluations: Vec<Evaluation> = "Evaluations",
    }

    /// What servers want to happen to one allocation; absent parts stay as they are.
    pub struct AllocationTransition {
        pub id: AllocationId = "ID",
        pub transition: DesiredTransition = "Transition",
    }

    /// What servers want to happen to allocations.
    pub struct AllocationDesiredTransitions {
        pub transitions: Vec<AllocationTransition> = "Transitions",
        pub evaluations: Vec<Evaluation> = "Evaluations",
    }

    /// Plans to be checked and committed, in order.
    pub struct PlanResults {
        pub plans: Vec<Plan> = "Plans",
        /// Written with them (jobs whose allocations were preempted).
        pub evaluations: Vec<Evaluation> = "Evaluations",
    }
}
