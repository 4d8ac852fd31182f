//! What a task may use, wanted and allocated: CPU in MHz, memory and disk in MB, networks, ports, devices.

use crate::group::Affinity;
use crate::noun;
use crate::small_map::SmallMap;
use crate::spec::{CNIConfig, Constraint, DNSConfig, NUMAResource, TaskLifecycle};
use crate::value::Text;

noun! {
    /// What a task may use: CPU in MHz, memory in MB.
    pub struct Resources {
        pub cpu: i64 = "CPU",
        pub cores: i64 = "Cores",
        pub devices: Vec<RequestedDevice> = "Devices",
        pub disk_mb: i64 = "DiskMB",
        pub iops: i64 = "IOPS",
        pub memory_mb: i64 = "MemoryMB",
        pub memory_max_mb: i64 = "MemoryMaxMB",
        pub numa: Option<NUMAResource> = "NUMA",
        pub networks: Vec<NetworkResource> = "Networks",
        pub secrets_mb: i64 = "SecretsMB",
    }

    /// Devices that a task wants.
    pub struct RequestedDevice {
        pub affinities: Vec<Affinity> = "Affinities",
        pub constraints: Vec<Constraint> = "Constraints",
        pub count: u64 = "Count",
        pub name: String = "Name",
    }

    /// A network that a group or task wants, or has.
    pub struct NetworkResource {
        pub cidr: String = "CIDR" [omit],
        pub cni: Option<CNIConfig> = "CNI" [omit],
        pub dns: Option<DNSConfig> = "DNS" [omit],
        pub device: String = "Device" [omit],
        pub dynamic_ports: Vec<Port> = "DynamicPorts" [omit],
        pub hostname: String = "Hostname" [omit],
        pub ip: String = "IP" [omit],
        pub mbits: i64 = "MBits" [omit],
        pub mode: String = "Mode" [omit],
        pub reserved_ports: Vec<Port> = "ReservedPorts" [omit],
    }

    /// A port that a group wants.
    pub struct Port {
        pub host_network: String = "HostNetwork" [omit],
        pub ignore_collision: bool = "IgnoreCollision" [omit],
        pub label: String = "Label" [omit],
        pub to: i64 = "To" [omit],
        pub value: i64 = "Value" [omit],
    }

    /// What an allocation holds on its node.
    pub struct AllocatedResources {
        pub shared: AllocatedSharedResources = "Shared",
        pub task_lifecycles: SmallMap<Text, Option<TaskLifecycle>> = "TaskLifecycles",
        pub tasks: SmallMap<Text, AllocatedTaskResources> = "Tasks",
    }

    /// What one task holds on its node.
    pub struct AllocatedTaskResources {
        pub cpu: AllocatedCpuResources = "Cpu",
        pub devices: Vec<AllocatedDeviceResource> = "Devices",
        pub memory: AllocatedMemoryResources = "Memory",
        pub networks: Vec<NetworkResource> = "Networks",
    }

    /// What the tasks of an allocation hold together.
    pub struct AllocatedSharedResources {
        pub disk_mb: i64 = "DiskMB",
        pub networks: Vec<NetworkResource> = "Networks",
        pub ports: Vec<PortMapping> = "Ports",
    }

    /// A port that was given out.
    pub struct PortMapping {
        pub host_ip: Text = "HostIP",
        pub label: Text = "Label",
        pub to: i64 = "To" [omit],
        pub value: i64 = "Value",
    }

    /// CPU in MHz, and the cores that nobody else uses.
    pub struct AllocatedCpuResources {
        pub cpu_shares: i64 = "CpuShares",
        pub reserved_cores: Vec<u16> = "ReservedCores",
    }

    /// Memory in MB: guaranteed, and the limit (0: the same, -1: none).
    pub struct AllocatedMemoryResources {
        pub memory_mb: i64 = "MemoryMB",
        pub memory_max_mb: i64 = "MemoryMaxMB",
    }

    /// Device instances that were given out.
    pub struct AllocatedDeviceResource {
        pub device_ids: Vec<String> = "DeviceIDs",
        pub name: String = "Name",
        pub kind: String = "Type",
        pub vendor: String = "Vendor",
    }
}
