//! Services and their checks, as written.

use std::collections::BTreeMap;

use crate::noun;
use crate::spec::{ConsulConnect, WorkloadIdentity};
use crate::value::Duration;

noun! {
    /// A service that a group or task offers.
    pub struct Service {
        pub name: String = "Name",
        pub tags: Option<Vec<String>> = "Tags",
        pub canary_tags: Option<Vec<String>> = "CanaryTags",
        pub enable_tag_override: bool = "EnableTagOverride",
        pub port_label: String = "PortLabel",
        pub address_mode: String = "AddressMode",
        pub address: String = "Address",
        pub checks: Option<Vec<ServiceCheck>> = "Checks",
        pub check_restart: Option<CheckRestart> = "CheckRestart",
        pub connect: Option<ConsulConnect> = "Connect",
        pub meta: Option<BTreeMap<String, String>> = "Meta",
        pub canary_meta: Option<BTreeMap<String, String>> = "CanaryMeta",
        pub tagged_addresses: Option<BTreeMap<String, String>> = "TaggedAddresses",
        pub task_name: String = "TaskName",
        pub on_update: String = "OnUpdate",
        pub identity: Option<WorkloadIdentity> = "Identity",
        pub weights: Option<ServiceWeights> = "Weights",
        pub provider: String = "Provider",
        pub cluster: String = "Cluster",
        pub kind: String = "Kind",
    }

    /// A health check of a service.
    pub struct ServiceCheck {
        pub name: String = "Name",
        pub kind: String = "Type",
        pub command: String = "Command",
        pub args: Option<Vec<String>> = "Args",
        pub path: String = "Path",
        pub protocol: String = "Protocol",
        pub port_label: String = "PortLabel",
        pub expose: bool = "Expose",
        pub address_mode: String = "AddressMode",
        pub advertise: String = "Advertise",
        pub interval: Duration = "Interval",
        pub timeout: Duration = "Timeout",
        pub initial_status: String = "InitialStatus",
        pub notes: String = "Notes",
        pub tls_server_name: String = "TLSServerName",
        pub tls_skip_verify: bool = "TLSSkipVerify",
        pub header: Option<BTreeMap<String, Option<Vec<String>>>> = "Header",
        pub method: String = "Method",
        pub check_restart: Option<CheckRestart> = "CheckRestart",
        pub grpc_service: String = "GRPCService",
        pub grpc_use_tls: bool = "GRPCUseTLS",
        pub task_name: String = "TaskName",
        pub success_before_passing: i64 = "SuccessBeforePassing",
        pub failures_before_critical: i64 = "FailuresBeforeCritical",
        pub failures_before_warning: i64 = "FailuresBeforeWarning",
        pub body: String = "Body",
        pub on_update: String = "OnUpdate",
    }

    /// When failing checks restart a task.
    pub struct CheckRestart {
        pub limit: i64 = "Limit",
        pub grace: Option<Duration> = "Grace",
        pub ignore_warnings: bool = "IgnoreWarnings",
    }

    /// The DNS weights of a service.
    pub struct ServiceWeights {
        pub passing: i64 = "Passing",
        pub warning: i64 = "Warning",
    }
}
