//! The fixed words of the cluster: statuses, kinds, reasons. Each is an enum, written as Nomad writes it.

use crate::words;

words! {
    /// What kind of work a job is.
    pub enum JobType { #[default] Service = "service", Batch = "batch", System = "system", SystemBatch = "sysbatch" }

    /// How a job is.
    pub enum JobStatus { #[default] Pending = "pending", Running = "running", Dead = "dead" }

    /// What servers want of an allocation.
    pub enum DesiredStatus { #[default] Run = "run", Stop = "stop", Evict = "evict" }

    /// What a client says of an allocation.
    pub enum ClientStatus {
        #[default] Pending = "pending", Running = "running", Complete = "complete", Failed = "failed", Lost = "lost", Unknown = "unknown",
    }

    /// How a node is.
    pub enum NodeStatus { #[default] Initializing = "initializing", Ready = "ready", Down = "down", Disconnected = "disconnected" }

    /// Whether a node takes new allocations.
    pub enum Eligibility { #[default] Eligible = "eligible", Ineligible = "ineligible" }

    /// How far an evaluation is.
    pub enum EvaluationStatus {
        #[default] Pending = "pending", Blocked = "blocked", Complete = "complete", Failed = "failed", Canceled = "canceled",
    }

    /// Why an evaluation was made.
    pub enum Trigger {
        #[default] JobRegister = "job-register",
        JobDeregister = "job-deregister",
        PeriodicJob = "periodic-job",
        NodeDrain = "node-drain",
        NodeUpdate = "node-update",
        AllocStop = "alloc-stop",
        Scheduled = "scheduled",
        RollingUpdate = "rolling-update",
        DeploymentWatcher = "deployment-watcher",
        FailedFollowUp = "failed-follow-up",
        MaxPlans = "max-plan-attempts",
        RetryFailedAlloc = "alloc-failure",
        Reschedule = "alloc-reschedule",
        QueuedAllocs = "queued-allocs",
        Preemption = "preemption",
        Scaling = "job-scaling",
        MaxDisconnectTimeout = "max-disconnect-timeout",
        Reconnect = "reconnect",
    }

    /// How far a deployment is.
    pub enum DeploymentStatus {
        #[default] Running = "running", Paused = "paused", Failed = "failed", Successful = "successful", Cancelled = "cancelled",
        Initializing = "initializing", Pending = "pending", Blocked = "blocked", Unblocking = "unblocking",
    }

    /// How a task is.
    pub enum TaskStatus { #[default] Pending = "pending", Running = "running", Dead = "dead" }

    /// What happened to a task.
    pub enum TaskEventKind {
        #[default] Received = "Received",
        Setup = "Task Setup",
        SetupFailure = "Setup Failure",
        DriverFailure = "Driver Failure",
        DriverMessage = "Driver",
        Started = "Started",
        Terminated = "Terminated",
        Restarting = "Restarting",
        NotRestarting = "Not Restarting",
        RestartSignal = "Restart Signaled",
        Signaling = "Signaling",
        Killing = "Killing",
        Killed = "Killed",
        FailedValidation = "Failed Validation",
        DownloadingArtifacts = "Downloading Artifacts",
        ArtifactDownloadFailed = "Failed Artifact Download",
        BuildingTaskDir = "Building Task Directory",
        SiblingFailed = "Sibling Task Failed",
        LeaderDead = "Leader Task Dead",
        MainDead = "Main Tasks Dead",
        ShutdownDelay = "Waiting for shutdown delay",
        SkippedShutdownDelay = "Skipping shutdown delay",
        DiskExceeded = "Disk Resources Exceeded",
        HookFailed = "Task hook failed",
        HookMessage = "Task hook message",
        RestoreFailed = "Failed Restoring Task",
        PluginUnhealthy = "Plugin became unhealthy",
        PluginHealthy = "Plugin became healthy",
        ClientReconnected = "Reconnected",
        Pausing = "Pausing",
        Running = "Running",
        NotEnforced = "Not Enforced",
        AllocUnhealthy = "Alloc Unhealthy",
    }
}

impl ClientStatus {
    /// Whether the client is done with it for good.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Lost)
    }
}
impl DesiredStatus {
    /// Whether servers no longer want it.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Stop | Self::Evict)
    }
}
impl EvaluationStatus {
    /// Whether nothing more happens to it.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Canceled)
    }
}
impl DeploymentStatus {
    /// Whether it still goes on.
    pub const fn is_active(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Paused | Self::Initializing | Self::Pending | Self::Blocked | Self::Unblocking
        )
    }
}
impl JobType {
    /// Whether one allocation runs on every fitting node.
    pub const fn is_system(self) -> bool {
        matches!(self, Self::System | Self::SystemBatch)
    }
    /// Whether its tasks are meant to end.
    pub const fn is_batch(self) -> bool {
        matches!(self, Self::Batch | Self::SystemBatch)
    }
}
