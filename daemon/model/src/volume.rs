//! Host and CSI volumes.

use std::collections::BTreeMap;

use crate::node::{CSIInfo, CSITopology};
use crate::noun;
use crate::spec::{CSIMountOptions, Constraint};
use crate::stub::AllocationListStub;
use crate::value::Time;

noun! {
    /// A host volume.
    pub struct HostVolume {
        pub allocations: Vec<AllocationListStub> = "Allocations" [omit],
        pub capacity_bytes: i64 = "CapacityBytes",
        pub constraints: Vec<Constraint> = "Constraints" [omit],
        pub create_index: u64 = "CreateIndex",
        pub create_time: i64 = "CreateTime",
        pub host_path: String = "HostPath",
        pub id: String = "ID",
        pub modify_index: u64 = "ModifyIndex",
        pub modify_time: i64 = "ModifyTime",
        pub name: String = "Name",
        pub namespace: String = "Namespace",
        pub node_id: String = "NodeID",
        pub node_pool: String = "NodePool",
        pub parameters: BTreeMap<String, String> = "Parameters" [omit],
        pub plugin_id: String = "PluginID",
        pub requested_capabilities: Vec<HostVolumeCapability> = "RequestedCapabilities",
        pub requested_capacity_max_bytes: i64 = "RequestedCapacityMaxBytes",
        pub requested_capacity_min_bytes: i64 = "RequestedCapacityMinBytes",
        pub state: String = "State",
    }

    /// How a host volume may be used.
    pub struct HostVolumeCapability {
        pub access_mode: String = "AccessMode",
        pub attachment_mode: String = "AttachmentMode",
    }

    /// A host volume in a list.
    pub struct HostVolumeStub {
        pub capacity_bytes: i64 = "CapacityBytes",
        pub create_index: u64 = "CreateIndex",
        pub create_time: i64 = "CreateTime",
        pub id: String = "ID",
        pub modify_index: u64 = "ModifyIndex",
        pub modify_time: i64 = "ModifyTime",
        pub name: String = "Name",
        pub namespace: String = "Namespace",
        pub node_id: String = "NodeID",
        pub node_pool: String = "NodePool",
        pub plugin_id: String = "PluginID",
        pub state: String = "State",
    }

    /// A CSI volume.
    pub struct CSIVolume {
        pub access_mode: String = "AccessMode",
        pub allocations: Vec<AllocationListStub> = "Allocations",
        pub attachment_mode: String = "AttachmentMode",
        pub capacity: i64 = "Capacity",
        pub clone_id: String = "CloneID",
        pub context: BTreeMap<String, String> = "Context",
        pub controller_required: bool = "ControllerRequired",
        pub controllers_expected: i64 = "ControllersExpected",
        pub controllers_healthy: i64 = "ControllersHealthy",
        pub create_index: u64 = "CreateIndex",
        pub create_time: i64 = "CreateTime",
        pub external_id: String = "ExternalID",
        pub id: String = "ID",
        pub modify_index: u64 = "ModifyIndex",
        pub modify_time: i64 = "ModifyTime",
        pub mount_options: Option<CSIMountOptions> = "MountOptions",
        pub name: String = "Name",
        pub namespace: String = "Namespace",
        pub nodes_expected: i64 = "NodesExpected",
        pub nodes_healthy: i64 = "NodesHealthy",
        pub parameters: BTreeMap<String, String> = "Parameters",
        pub plugin_id: String = "PluginID",
        pub provider: String = "Provider",
        pub provider_version: String = "ProviderVersion",
        pub requested_capabilities: Vec<CSIVolumeCapability> = "RequestedCapabilities",
        pub requested_capacity_max: i64 = "RequestedCapacityMax",
        pub requested_capacity_min: i64 = "RequestedCapacityMin",
        pub requested_topologies: Option<CSITopologyRequest> = "RequestedTopologies",
        pub resource_exhausted: Time = "ResourceExhausted",
        pub schedulable: bool = "Schedulable",
        pub snapshot_id: String = "SnapshotID",
        pub topologies: Vec<CSITopology> = "Topologies",
    }

    /// How a CSI volume may be used.
    pub struct CSIVolumeCapability {
        pub access_mode: String = "AccessMode",
        pub attachment_mode: String = "AttachmentMode",
    }

    /// Where a volume must or should be.
    pub struct CSITopologyRequest {
        pub preferred: Vec<CSITopology> = "Preferred",
        pub required: Vec<CSITopology> = "Required",
    }

    /// A CSI volume in a list.
    pub struct CSIVolumeListStub {
        pub access_mode: String = "AccessMode",
        pub attachment_mode: String = "AttachmentMode",
        pub controller_required: bool = "ControllerRequired",
        pub controllers_expected: i64 = "ControllersExpected",
        pub controllers_healthy: i64 = "ControllersHealthy",
        pub create_index: u64 = "CreateIndex",
        pub create_time: i64 = "CreateTime",
        pub current_readers: i64 = "CurrentReaders",
        pub current_writers: i64 = "CurrentWriters",
        pub external_id: String = "ExternalID",
        pub id: String = "ID",
        pub modify_index: u64 = "ModifyIndex",
        pub modify_time: i64 = "ModifyTime",
        pub name: String = "Name",
        pub namespace: String = "Namespace",
        pub nodes_expected: i64 = "NodesExpected",
        pub nodes_healthy: i64 = "NodesHealthy",
        pub plugin_id: String = "PluginID",
        pub provider: String = "Provider",
        pub resource_exhausted: Time = "ResourceExhausted",
        pub schedulable: bool = "Schedulable",
        pub topologies: Vec<CSITopology> = "Topologies",
    }

    /// A CSI plugin.
    pub struct CSIPlugin {
        pub allocations: Vec<AllocationListStub> = "Allocations",
        pub controller_required: bool = "ControllerRequired",
        pub controllers: BTreeMap<String, CSIInfo> = "Controllers",
        pub controllers_expected: i64 = "ControllersExpected",
        pub controllers_healthy: i64 = "ControllersHealthy",
        pub create_index: u64 = "CreateIndex",
        pub create_time: i64 = "CreateTime",
        pub id: String = "ID",
        pub modify_index: u64 = "ModifyIndex",
        pub modify_time: i64 = "ModifyTime",
        pub nodes: BTreeMap<String, CSIInfo> = "Nodes",
        pub nodes_expected: i64 = "NodesExpected",
        pub nodes_healthy: i64 = "NodesHealthy",
        pub provider: String = "Provider",
        pub version: String = "Version",
    }

    /// A CSI plugin in a list.
    pub struct CSIPluginListStub {
        pub controller_required: bool = "ControllerRequired",
        pub controllers_expected: i64 = "ControllersExpected",
        pub controllers_healthy: i64 = "ControllersHealthy",
        pub create_index: u64 = "CreateIndex",
        pub id: String = "ID",
        pub modify_index: u64 = "ModifyIndex",
        pub nodes_expected: i64 = "NodesExpected",
        pub nodes_healthy: i64 = "NodesHealthy",
        pub provider: String = "Provider",
    }
}
