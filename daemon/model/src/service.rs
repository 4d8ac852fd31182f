//! The canonical service and its checks.

use std::collections::BTreeMap;

use crate::noun;
use crate::spec::{ConsulConnect, ServiceWeights, WorkloadIdentity};
use crate::value::{Duration, Text};

noun! {
    /// A service that a group or task offers.
    pub struct Service {
        pub address: String = "Address",
        pub address_mode: String = "AddressMode",
        pub canary_meta: BTreeMap<String, String> = "CanaryMeta",
        pub canary_tags: Vec<String> = "CanaryTags",
        pub checks: Vec<ServiceCheck> = "Checks",
        pub cluster: String = "Cluster",
        pub connect: Option<ConsulConnect> = "Connect",
        pub enable_tag_override: bool = "EnableTagOverride",
        pub identity: Option<WorkloadIdentity> = "Identity",
        pub kind: String = "Kind",
        pub meta: BTreeMap<String, String> = "Meta",
        pub name: String = "Name",
        pub namespace: Text = "Namespace",
        pub on_update: String = "OnUpdate",
        pub port_label: String = "PortLabel",
        pub provider: String = "Provider",
        pub tagged_addresses: BTreeMap<String, String> = "TaggedAddresses",
        pub tags: Vec<String> = "Tags",
        pub task_name: String = "TaskName",
        pub weights: Option<ServiceWeights> = "Weights",
    }

    /// A health check of a service.
    pub struct ServiceCheck {
        pub address_mode: String = "AddressMode",
        pub advertise: String = "Advertise" [omit],
        pub args: Vec<String> = "Args",
        pub body: String = "Body",
        pub check_restart: Option<CheckRestart> = "CheckRestart",
        pub command: String = "Command",
        pub expose: bool = "Expose",
        pub failures_before_critical: i64 = "FailuresBeforeCritical",
        pub failures_before_warning: i64 = "FailuresBeforeWarning",
        pub grpc_service: String = "GRPCService",
        pub grpc_use_tls: bool = "GRPCUseTLS",
        pub header: BTreeMap<String, Vec<String>> = "Header",
        pub initial_status: String = "InitialStatus",
        pub interval: Duration = "Interval",
        pub method: String = "Method",
        pub name: String = "Name",
        pub notes: String = "Notes",
        pub on_update: String = "OnUpdate",
        pub path: String = "Path",
        pub port_label: String = "PortLabel",
        pub protocol: String = "Protocol",
        pub success_before_passing: i64 = "SuccessBeforePassing",
        pub tls_server_name: String = "TLSServerName",
        pub tls_skip_verify: bool = "TLSSkipVerify",
        pub task_name: String = "TaskName",
        pub timeout: Duration = "Timeout",
        pub kind: String = "Type",
    }

    /// When failing checks restart a task.
    pub struct CheckRestart {
        pub grace: Duration = "Grace",
        pub ignore_warnings: bool = "IgnoreWarnings",
        pub limit: i64 = "Limit",
    }
}
