//! How servers take care of each other, as the cluster keeps it.

use crate::noun;
use crate::value::Duration;

noun! {
    /// Autopilot's configuration. In the API its spans are texts such as `200ms`; the HTTP room writes them so.
    pub struct AutopilotConfiguration {
        pub cleanup_dead_servers: bool = "CleanupDeadServers",
        pub last_contact_threshold: Duration = "LastContactThreshold",
        pub max_trailing_logs: u64 = "MaxTrailingLogs",
        pub min_quorum: u64 = "MinQuorum",
        pub server_stabilization_time: Duration = "ServerStabilizationTime",
        pub create_index: u64 = "CreateIndex",
        pub modify_index: u64 = "ModifyIndex",
    }
}
