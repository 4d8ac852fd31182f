//! Nodes: the machines that run allocations, what they have and how they are.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::noun;
use crate::resources::NetworkResource;
use crate::value::{Duration, NodeId, Text, Time};
use crate::word::{Eligibility, NodeStatus};

noun! {
    /// A machine that runs allocations.
    pub struct Node {
        pub attributes: BTreeMap<Text, Text> = "Attributes",
        pub csi_controller_plugins: BTreeMap<String, CSIInfo> = "CSIControllerPlugins" [empty],
        pub csi_node_plugins: BTreeMap<String, CSIInfo> = "CSINodePlugins" [empty],
        pub cgroup_parent: String = "CgroupParent",
        pub computed_class: Text = "ComputedClass",
        pub create_index: u64 = "CreateIndex",
        pub datacenter: Text = "Datacenter",
        pub drain: bool = "Drain",
        pub drain_strategy: Option<DrainStrategy> = "DrainStrategy",
        pub drivers: BTreeMap<String, DriverInfo> = "Drivers",
        pub events: Vec<NodeEvent> = "Events",
        pub gc_volumes_on_node_gc: bool = "GCVolumesOnNodeGC",
        pub http_addr: String = "HTTPAddr",
        pub host_networks: BTreeMap<String, HostNetworkInfo> = "HostNetworks",
        pub host_volumes: BTreeMap<String, HostVolumeInfo> = "HostVolumes",
        pub id: NodeId = "ID",
        pub last_alloc_update_index: u64 = "LastAllocUpdateIndex",
        pub last_drain: Option<DrainMetadata> = "LastDrain",
        pub last_missed_heartbeat_index: u64 = "LastMissedHeartbeatIndex",
        pub links: BTreeMap<String, String> = "Links" [empty],
        pub meta: BTreeMap<Text, Text> = "Meta" [empty],
        pub modify_index: u64 = "ModifyIndex",
        pub name: Text = "Name",
        pub node_class: Text = "NodeClass",
        pub node_max_allocs: i64 = "NodeMaxAllocs",
        pub node_pool: Text = "NodePool",
        pub node_resources: NodeResources = "NodeResources",
        pub reserved_resources: NodeReservedResources = "ReservedResources",
        pub scheduling_eligibility: Eligibility = "SchedulingEligibility",
        pub status: NodeStatus = "Status",
        pub status_description: String = "StatusDescription",
        pub status_updated_at: i64 = "StatusUpdatedAt",
        pub tls_enabled: bool = "TLSEnabled",
    }

    /// What a driver said of itself.
    pub struct DriverInfo {
        pub attributes: BTreeMap<String, String> = "Attributes" [empty],
        pub detected: bool = "Detected",
        pub health_description: String = "HealthDescription",
        pub healthy: bool = "Healthy",
        pub update_time: Time = "UpdateTime",
    }

    /// A host folder that jobs may mount.
    pub struct HostVolumeInfo {
        pub id: String = "ID",
        pub name: String = "Name",
        pub path: String = "Path",
        pub read_only: bool = "ReadOnly",
    }

    /// A named network of the host.
    pub struct HostNetworkInfo {
        pub cidr: String = "CIDR",
        pub interface: String = "Interface",
        pub name: String = "Name",
        pub reserved_ports: String = "ReservedPorts",
    }

    /// How the last drain went.
    pub struct DrainMetadata {
        pub accessor_id: String = "AccessorID",
        pub meta: BTreeMap<String, String> = "Meta" [empty],
        pub started_at: Time = "StartedAt",
        pub status: String = "Status",
        pub updated_at: Time = "UpdatedAt",
    }

    /// How a node is being drained.
    pub struct DrainStrategy {
        pub deadline: Duration = "Deadline",
        pub force_deadline: Time = "ForceDeadline",
        pub ignore_system_jobs: bool = "IgnoreSystemJobs",
        pub started_at: Time = "StartedAt",
    }

    /// How a node shall be drained.
    pub struct DrainSpec {
        pub deadline: Duration = "Deadline",
        pub ignore_system_jobs: bool = "IgnoreSystemJobs",
    }

    /// Something that happened to a node.
    pub struct NodeEvent {
        pub create_index: u64 = "CreateIndex",
        pub details: BTreeMap<String, String> = "Details",
        pub message: String = "Message",
        pub subsystem: String = "Subsystem",
        pub timestamp: Time = "Timestamp",
    }

    /// What a node has.
    pub struct NodeResources {
        pub cpu: NodeCpuResources = "Cpu",
        pub devices: Vec<NodeDeviceResource> = "Devices",
        pub disk: NodeDiskResources = "Disk",
        pub max_dynamic_port: i64 = "MaxDynamicPort",
        pub memory: NodeMemoryResources = "Memory",
        pub min_dynamic_port: i64 = "MinDynamicPort",
        pub networks: Vec<NetworkResource> = "Networks",
        pub node_networks: Vec<NodeNetworkResource> = "NodeNetworks",
        pub processors: Option<Map<String, Value>> = "Processors",
    }

    /// CPU in MHz and cores.
    pub struct NodeCpuResources {
        pub cpu_shares: i64 = "CpuShares",
        pub reservable_cpu_cores: Vec<u16> = "ReservableCpuCores",
        pub total_cpu_cores: u64 = "TotalCpuCores",
    }

    /// Memory in MB.
    pub struct NodeMemoryResources {
        pub memory_mb: i64 = "MemoryMB",
    }

    /// Disk in MB.
    pub struct NodeDiskResources {
        pub disk_mb: i64 = "DiskMB",
    }

    /// A network device of a node.
    pub struct NodeNetworkResource {
        pub addresses: Vec<NodeNetworkAddress> = "Addresses",
        pub device: String = "Device",
        pub mac_address: String = "MacAddress",
        pub mode: String = "Mode",
        pub speed: i64 = "Speed",
    }

    /// An address of a network device; ports are given out per alias.
    pub struct NodeNetworkAddress {
        pub address: String = "Address",
        pub alias: String = "Alias",
        pub family: String = "Family",
        pub gateway: String = "Gateway",
        pub reserved_ports: String = "ReservedPorts",
    }

    /// What a node keeps for itself.
    pub struct NodeReservedResources {
        pub cpu: NodeReservedCpuResources = "Cpu",
        pub disk: NodeReservedDiskResources = "Disk",
        pub memory: NodeReservedMemoryResources = "Memory",
        pub networks: NodeReservedNetworkResources = "Networks",
    }

    /// Reserved CPU in MHz and cores.
    pub struct NodeReservedCpuResources {
        pub cpu_shares: u64 = "CpuShares",
        pub reserved_cpu_cores: Vec<u16> = "ReservedCpuCores",
    }

    /// Reserved memory in MB.
    pub struct NodeReservedMemoryResources {
        pub memory_mb: u64 = "MemoryMB",
    }

    /// Reserved disk in MB.
    pub struct NodeReservedDiskResources {
        pub disk_mb: u64 = "DiskMB",
    }

    /// Reserved host ports, such as `22,80,8000-8100`.
    pub struct NodeReservedNetworkResources {
        pub reserved_host_ports: String = "ReservedHostPorts",
    }

    /// A group of like devices.
    pub struct NodeDeviceResource {
        pub attributes: BTreeMap<String, Attribute> = "Attributes",
        pub instances: Vec<NodeDevice> = "Instances",
        pub name: String = "Name",
        pub kind: String = "Type",
        pub vendor: String = "Vendor",
    }

    /// One device.
    pub struct NodeDevice {
        pub health_description: String = "HealthDescription",
        pub healthy: bool = "Healthy",
        pub id: String = "ID",
        pub locality: Option<NodeDeviceLocality> = "Locality",
    }

    /// Where a device sits.
    pub struct NodeDeviceLocality {
        pub pci_bus_id: String = "PciBusID",
    }

    /// A typed attribute of a device.
    pub struct Attribute {
        pub bool_val: Option<bool> = "Bool" [omit],
        pub float_val: Option<f64> = "Float" [omit],
        pub int_val: Option<i64> = "Int" [omit],
        pub string_val: Option<String> = "String" [omit],
        pub unit: String = "Unit",
    }

    /// A CSI plugin instance on a node.
    pub struct CSIInfo {
        pub alloc_id: String = "AllocID",
        pub controller_info: Option<CSIControllerInfo> = "ControllerInfo" [omit],
        pub health_description: String = "HealthDescription",
        pub healthy: bool = "Healthy",
        pub node_info: Option<CSINodeInfo> = "NodeInfo" [omit],
        pub plugin_id: String = "PluginID",
        pub requires_controller_plugin: bool = "RequiresControllerPlugin",
        pub requires_topologies: bool = "RequiresTopologies",
        pub update_time: Time = "UpdateTime",
    }

    /// What a CSI node plugin can do.
    pub struct CSINodeInfo {
        pub accessible_topology: Option<CSITopology> = "AccessibleTopology",
        pub id: String = "ID",
        pub max_volumes: i64 = "MaxVolumes",
        pub requires_node_stage_volume: bool = "RequiresNodeStageVolume",
        pub supports_condition: bool = "SupportsCondition",
        pub supports_expand: bool = "SupportsExpand",
        pub supports_stats: bool = "SupportsStats",
    }

    /// What a CSI controller can do.
    pub struct CSIControllerInfo {
        pub supports_attach_detach: bool = "SupportsAttachDetach",
        pub supports_clone: bool = "SupportsClone",
        pub supports_condition: bool = "SupportsCondition",
        pub supports_create_delete: bool = "SupportsCreateDelete",
        pub supports_create_delete_snapshot: bool = "SupportsCreateDeleteSnapshot",
        pub supports_expand: bool = "SupportsExpand",
        pub supports_get: bool = "SupportsGet",
        pub supports_get_capacity: bool = "SupportsGetCapacity",
        pub supports_list_snapshots: bool = "SupportsListSnapshots",
        pub supports_list_volumes: bool = "SupportsListVolumes",
        pub supports_list_volumes_attached_nodes: bool = "SupportsListVolumesAttachedNodes",
        pub supports_read_only_attach: bool = "SupportsReadOnlyAttach",
    }

    /// Where a volume can be reached.
    pub struct CSITopology {
        pub segments: BTreeMap<String, String> = "Segments",
    }
}
