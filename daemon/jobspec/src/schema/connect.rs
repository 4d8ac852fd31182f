//! Service mesh blocks: they parse, and are refused when the job is registered.

use super::service::IDENTITY;
use super::task::{LOGS, RESOURCES, VOLUME_MOUNT};
use super::{
    Kind, Schema, argument, bool, duration, free, integer, keyed, labelled, many, map_block, one, schema, text,
    text_map, texts, unsigned,
};

pub(super) static CONNECT: Schema = schema(
    &[bool("native", "Native")],
    &[
        one("gateway", "Gateway", &GATEWAY),
        one("sidecar_service", "SidecarService", &SIDECAR_SERVICE),
        one("sidecar_task", "SidecarTask", &SIDECAR_TASK),
    ],
);

static SIDECAR_SERVICE: Schema = schema(
    &[
        texts("tags", "Tags"),
        text("port", "Port"),
        bool("disable_default_tcp_check", "DisableDefaultTCPCheck"),
        text_map("meta", "Meta"),
    ],
    &[one("proxy", "Proxy", &PROXY), map_block("meta", "Meta")],
);

static SIDECAR_TASK: Schema = schema(
    &[
        text("name", "Name"),
        text("driver", "Driver"),
        text("user", "User"),
        text_map("env", "Env"),
        text_map("meta", "Meta"),
        duration("kill_timeout", "KillTimeout"),
        duration("shutdown_delay", "ShutdownDelay"),
        text("kill_signal", "KillSignal"),
    ],
    &[
        free("config", "Config"),
        map_block("env", "Env"),
        one("resources", "Resources", &RESOURCES),
        map_block("meta", "Meta"),
        one("logs", "LogConfig", &LOGS),
        many("volume_mount", "VolumeMounts", &VOLUME_MOUNT),
        many("identity", "Identities", &IDENTITY),
    ],
);

static PROXY: Schema = schema(
    &[text("local_service_address", "LocalServiceAddress"), integer("local_service_port", "LocalServicePort")],
    &[
        one("expose", "Expose", &EXPOSE),
        many("upstreams", "Upstreams", &UPSTREAMS),
        one("transparent_proxy", "TransparentProxy", &TRANSPARENT_PROXY),
        free("config", "Config"),
    ],
);

static UPSTREAMS: Schema = schema(
    &[
        text("destination_name", "DestinationName"),
        text("destination_namespace", "DestinationNamespace"),
        text("destination_peer", "DestinationPeer"),
        text("destination_partition", "DestinationPartition"),
        text("destination_type", "DestinationType"),
        integer("local_bind_port", "LocalBindPort"),
        text("datacenter", "Datacenter"),
        text("local_bind_address", "LocalBindAddress"),
        text("local_bind_socket_path", "LocalBindSocketPath"),
        text("local_bind_socket_mode", "LocalBindSocketMode"),
    ],
    &[one("mesh_gateway", "MeshGateway", &MESH_GATEWAY), free("config", "Config")],
);

static MESH_GATEWAY: Schema = schema(&[text("mode", "Mode")], &[]);

static EXPOSE: Schema = schema(&[], &[many("path", "Paths", &EXPOSE_PATH)]);

static EXPOSE_PATH: Schema = schema(
    &[
        text("path", "Path"),
        text("protocol", "Protocol"),
        integer("local_path_port", "LocalPathPort"),
        text("listener_port", "ListenerPort"),
    ],
    &[],
);

static TRANSPARENT_PROXY: Schema = schema(
    &[
        text("uid", "UID"),
        unsigned("outbound_port", "OutboundPort"),
        texts("exclude_inbound_ports", "ExcludeInboundPorts"),
        argument("exclude_outbound_ports", "ExcludeOutboundPorts", Kind::Integers),
        texts("exclude_outbound_cidrs", "ExcludeOutboundCIDRs"),
        texts("exclude_uids", "ExcludeUIDs"),
        bool("no_dns", "NoDNS"),
    ],
    &[],
);

static GATEWAY: Schema = schema(
    &[],
    &[
        one("proxy", "Proxy", &GATEWAY_PROXY),
        one("ingress", "Ingress", &INGRESS),
        one("terminating", "Terminating", &TERMINATING),
        one("mesh", "Mesh", &MESH),
    ],
);

static MESH: Schema = schema(&[], &[]);

static GATEWAY_PROXY: Schema = schema(
    &[
        duration("connect_timeout", "ConnectTimeout"),
        bool("envoy_gateway_bind_tagged_addresses", "EnvoyGatewayBindTaggedAddresses"),
        bool("envoy_gateway_no_default_bind", "EnvoyGatewayNoDefaultBind"),
        text("envoy_dns_discovery_type", "EnvoyDNSDiscoveryType"),
    ],
    &[keyed("envoy_gateway_bind_addresses", "EnvoyGatewayBindAddresses", &BIND_ADDRESS), free("config", "Config")],
);

static BIND_ADDRESS: Schema = labelled(&["Name"], &[text("address", "Address"), integer("port", "Port")], &[]);

static INGRESS: Schema = schema(&[], &[one("tls", "TLS", &TLS), many("listener", "Listeners", &LISTENER)]);

static TLS: Schema = schema(
    &[
        bool("enabled", "Enabled"),
        text("tls_min_version", "TLSMinVersion"),
        text("tls_max_version", "TLSMaxVersion"),
        texts("cipher_suites", "CipherSuites"),
    ],
    &[one("sds", "SDS", &SDS)],
);

static SDS: Schema = schema(&[text("cluster_name", "ClusterName"), text("cert_resource", "CertResource")], &[]);

static LISTENER: Schema =
    schema(&[integer("port", "Port"), text("protocol", "Protocol")], &[many("service", "Services", &INGRESS_SERVICE)]);

static INGRESS_SERVICE: Schema = schema(
    &[
        text("name", "Name"),
        texts("hosts", "Hosts"),
        unsigned("max_connections", "MaxConnections"),
        unsigned("max_pending_requests", "MaxPendingRequests"),
        unsigned("max_concurrent_requests", "MaxConcurrentRequests"),
    ],
    &[
        one("tls", "TLS", &TLS),
        one("request_headers", "RequestHeaders", &HEADERS),
        one("response_headers", "ResponseHeaders", &HEADERS),
    ],
);

static HEADERS: Schema = schema(
    &[texts("remove", "Remove"), text_map("add", "Add"), text_map("set", "Set")],
    &[map_block("add", "Add"), map_block("set", "Set")],
);

static TERMINATING: Schema = schema(&[], &[many("service", "Services", &LINKED_SERVICE)]);

static LINKED_SERVICE: Schema = schema(
    &[
        text("name", "Name"),
        text("ca_file", "CAFile"),
        text("cert_file", "CertFile"),
        text("key_file", "KeyFile"),
        text("sni", "SNI"),
    ],
    &[],
);
