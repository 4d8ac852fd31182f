//! What a task may use and which networks it wants, as written.

use std::collections::BTreeMap;

use crate::noun;
use crate::spec::{Affinity, Constraint};

noun! {
    /// What a task may use: CPU in MHz, memory in MB.
    pub struct Resources {
        pub cpu: Option<i64> = "CPU",
        pub cores: Option<i64> = "Cores",
        pub memory_mb: Option<i64> = "MemoryMB",
        pub memory_max_mb: Option<i64> = "MemoryMaxMB",
        pub disk_mb: Option<i64> = "DiskMB",
        pub networks: Option<Vec<NetworkResource>> = "Networks",
        pub devices: Option<Vec<RequestedDevice>> = "Devices",
        pub numa: Option<NUMAResource> = "NUMA",
        pub secrets_mb: Option<i64> = "SecretsMB",
        pub iops: Option<i64> = "IOPS",
    }

    /// NUMA wishes.
    pub struct NUMAResource {
        pub affinity: String = "Affinity",
        pub devices: Option<Vec<String>> = "Devices",
    }

    /// Devices that a task wants.
    pub struct RequestedDevice {
        pub name: String = "Name",
        pub count: Option<u64> = "Count",
        pub constraints: Option<Vec<Constraint>> = "Constraints",
        pub affinities: Option<Vec<Affinity>> = "Affinities",
    }

    /// A network that a group or task wants, or has.
    pub struct NetworkResource {
        pub mode: String = "Mode",
        pub device: String = "Device",
        pub cidr: String = "CIDR",
        pub ip: String = "IP",
        pub dns: Option<DNSConfig> = "DNS",
        pub reserved_ports: Option<Vec<Port>> = "ReservedPorts",
        pub dynamic_ports: Option<Vec<Port>> = "DynamicPorts",
        pub hostname: String = "Hostname",
        pub mbits: Option<i64> = "MBits",
        pub cni: Option<CNIConfig> = "CNI",
    }

    /// A port that a group wants.
    pub struct Port {
        pub label: String = "Label",
        pub value: i64 = "Value",
        pub to: i64 = "To",
        pub host_network: String = "HostNetwork",
        pub ignore_collision: bool = "IgnoreCollision",
    }

    /// Name servers, search domains and resolver options.
    pub struct DNSConfig {
        pub servers: Option<Vec<String>> = "Servers",
        pub searches: Option<Vec<String>> = "Searches",
        pub options: Option<Vec<String>> = "Options",
    }

    /// Arguments for CNI plugins.
    pub struct CNIConfig {
        pub args: Option<BTreeMap<String, String>> = "Args",
    }
}
