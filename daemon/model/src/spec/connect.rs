//! Consul Connect blocks: accepted in job files so that they parse, refused at registration.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::noun;
use crate::spec::{LogConfig, Resources, VolumeMount, WorkloadIdentity};
use crate::value::Duration;

noun! {
    /// A service mesh block (accepted in files, refused at registration).
    pub struct ConsulConnect {
        pub native: bool = "Native",
        pub gateway: Option<ConsulGateway> = "Gateway",
        pub sidecar_service: Option<ConsulSidecarService> = "SidecarService",
        pub sidecar_task: Option<SidecarTask> = "SidecarTask",
    }

    /// The `ConsulSidecarService` block.
    pub struct ConsulSidecarService {
        pub tags: Option<Vec<String>> = "Tags",
        pub port: String = "Port",
        pub proxy: Option<ConsulProxy> = "Proxy",
        pub disable_default_tcp_check: bool = "DisableDefaultTCPCheck",
        pub meta: Option<BTreeMap<String, String>> = "Meta",
    }

    /// The `ConsulProxy` block.
    pub struct ConsulProxy {
        pub local_service_address: String = "LocalServiceAddress",
        pub local_service_port: i64 = "LocalServicePort",
        pub expose: Option<ConsulExposeConfig> = "Expose",
        pub expose_config: Option<ConsulExposeConfig> = "ExposeConfig",
        pub upstreams: Option<Vec<ConsulUpstream>> = "Upstreams",
        pub transparent_proxy: Option<ConsulTransparentProxy> = "TransparentProxy",
        pub config: Option<Map<String, Value>> = "Config",
    }

    /// The `ConsulMeshGateway` block.
    pub struct ConsulMeshGateway {
        pub mode: String = "Mode",
    }

    /// The `ConsulUpstream` block.
    pub struct ConsulUpstream {
        pub destination_name: String = "DestinationName",
        pub destination_namespace: String = "DestinationNamespace",
        pub destination_peer: String = "DestinationPeer",
        pub destination_partition: String = "DestinationPartition",
        pub destination_type: String = "DestinationType",
        pub local_bind_port: i64 = "LocalBindPort",
        pub datacenter: String = "Datacenter",
        pub local_bind_address: String = "LocalBindAddress",
        pub local_bind_socket_path: String = "LocalBindSocketPath",
        pub local_bind_socket_mode: String = "LocalBindSocketMode",
        pub mesh_gateway: Option<ConsulMeshGateway> = "MeshGateway",
        pub config: Option<Map<String, Value>> = "Config",
    }

    /// The `ConsulTransparentProxy` block.
    pub struct ConsulTransparentProxy {
        pub uid: String = "UID",
        pub outbound_port: u64 = "OutboundPort",
        pub exclude_inbound_ports: Option<Vec<String>> = "ExcludeInboundPorts",
        pub exclude_outbound_ports: Option<Vec<u64>> = "ExcludeOutboundPorts",
        pub exclude_outbound_cidrs: Option<Vec<String>> = "ExcludeOutboundCIDRs",
        pub exclude_uids: Option<Vec<String>> = "ExcludeUIDs",
        pub no_dns: bool = "NoDNS",
    }

    /// The `ConsulExposeConfig` block.
    pub struct ConsulExposeConfig {
        pub paths: Option<Vec<ConsulExposePath>> = "Paths",
        pub path: Option<Vec<ConsulExposePath>> = "Path",
    }

    /// The `ConsulExposePath` block.
    pub struct ConsulExposePath {
        pub path: String = "Path",
        pub protocol: String = "Protocol",
        pub local_path_port: i64 = "LocalPathPort",
        pub listener_port: String = "ListenerPort",
    }

    /// The `ConsulGateway` block.
    pub struct ConsulGateway {
        pub proxy: Option<ConsulGatewayProxy> = "Proxy",
        pub ingress: Option<ConsulIngressConfigEntry> = "Ingress",
        pub terminating: Option<ConsulTerminatingConfigEntry> = "Terminating",
        pub mesh: Option<Map<String, Value>> = "Mesh",
    }

    /// The `ConsulGatewayBindAddress` block.
    pub struct ConsulGatewayBindAddress {
        pub name: String = "Name",
        pub address: String = "Address",
        pub port: i64 = "Port",
    }

    /// The `ConsulGatewayProxy` block.
    pub struct ConsulGatewayProxy {
        pub connect_timeout: Option<Duration> = "ConnectTimeout",
        pub envoy_gateway_bind_tagged_addresses: bool = "EnvoyGatewayBindTaggedAddresses",
        pub envoy_gateway_bind_addresses: Option<BTreeMap<String, ConsulGatewayBindAddress>> = "EnvoyGatewayBindAddresses",
        pub envoy_gateway_no_default_bind: bool = "EnvoyGatewayNoDefaultBind",
        pub envoy_dns_discovery_type: String = "EnvoyDNSDiscoveryType",
        pub config: Option<Map<String, Value>> = "Config",
    }

    /// The `ConsulGatewayTLSSDSConfig` block.
    pub struct ConsulGatewayTLSSDSConfig {
        pub cluster_name: String = "ClusterName",
        pub cert_resource: String = "CertResource",
    }

    /// The `ConsulGatewayTLSConfig` block.
    pub struct ConsulGatewayTLSConfig {
        pub enabled: bool = "Enabled",
        pub tls_min_version: String = "TLSMinVersion",
        pub tls_max_version: String = "TLSMaxVersion",
        pub cipher_suites: Option<Vec<String>> = "CipherSuites",
        pub sds: Option<ConsulGatewayTLSSDSConfig> = "SDS",
    }

    /// The `ConsulHTTPHeaderModifiers` block.
    pub struct ConsulHTTPHeaderModifiers {
        pub add: Option<BTreeMap<String, String>> = "Add",
        pub set: Option<BTreeMap<String, String>> = "Set",
        pub remove: Option<Vec<String>> = "Remove",
    }

    /// The `ConsulIngressService` block.
    pub struct ConsulIngressService {
        pub name: String = "Name",
        pub hosts: Option<Vec<String>> = "Hosts",
        pub tls: Option<ConsulGatewayTLSConfig> = "TLS",
        pub request_headers: Option<ConsulHTTPHeaderModifiers> = "RequestHeaders",
        pub response_headers: Option<ConsulHTTPHeaderModifiers> = "ResponseHeaders",
        pub max_connections: Option<u64> = "MaxConnections",
        pub max_pending_requests: Option<u64> = "MaxPendingRequests",
        pub max_concurrent_requests: Option<u64> = "MaxConcurrentRequests",
    }

    /// The `ConsulIngressListener` block.
    pub struct ConsulIngressListener {
        pub port: i64 = "Port",
        pub protocol: String = "Protocol",
        pub services: Option<Vec<ConsulIngressService>> = "Services",
    }

    /// The `ConsulIngressConfigEntry` block.
    pub struct ConsulIngressConfigEntry {
        pub tls: Option<ConsulGatewayTLSConfig> = "TLS",
        pub listeners: Option<Vec<ConsulIngressListener>> = "Listeners",
    }

    /// The `ConsulLinkedService` block.
    pub struct ConsulLinkedService {
        pub name: String = "Name",
        pub ca_file: String = "CAFile",
        pub cert_file: String = "CertFile",
        pub key_file: String = "KeyFile",
        pub sni: String = "SNI",
    }

    /// The `ConsulTerminatingConfigEntry` block.
    pub struct ConsulTerminatingConfigEntry {
        pub services: Option<Vec<ConsulLinkedService>> = "Services",
    }

    /// The `SidecarTask` block.
    pub struct SidecarTask {
        pub name: String = "Name",
        pub driver: String = "Driver",
        pub user: String = "User",
        pub config: Option<Map<String, Value>> = "Config",
        pub env: Option<BTreeMap<String, String>> = "Env",
        pub resources: Option<Resources> = "Resources",
        pub meta: Option<BTreeMap<String, String>> = "Meta",
        pub kill_timeout: Option<Duration> = "KillTimeout",
        pub log_config: Option<LogConfig> = "LogConfig",
        pub shutdown_delay: Option<Duration> = "ShutdownDelay",
        pub kill_signal: String = "KillSignal",
        pub volume_mounts: Option<Vec<VolumeMount>> = "VolumeMounts",
        pub identities: Option<Vec<WorkloadIdentity>> = "Identities",
    }
}
