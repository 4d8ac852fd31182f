//! What hosts, allocations and tasks use right now.

use std::collections::BTreeMap;

use crate::noun;
use crate::value::{Bytes, Time};

noun! {
    /// What a host uses.
    pub struct HostStats {
        pub alloc_dir_stats: Option<HostDiskStats> = "AllocDirStats",
        pub cpu: Vec<HostCPUStats> = "CPU",
        pub cpu_ticks_consumed: f64 = "CPUTicksConsumed",
        pub device_stats: Vec<DeviceGroupStats> = "DeviceStats",
        pub disk_stats: Vec<HostDiskStats> = "DiskStats",
        pub memory: Option<HostMemoryStats> = "Memory",
        pub timestamp: i64 = "Timestamp",
        pub uptime: u64 = "Uptime",
    }

    /// Memory in bytes.
    pub struct HostMemoryStats {
        pub available: u64 = "Available",
        pub free: u64 = "Free",
        pub total: u64 = "Total",
        pub used: u64 = "Used",
    }

    /// CPU time in percent.
    pub struct HostCPUStats {
        pub cpu: String = "CPU",
        pub idle: f64 = "Idle",
        pub system: f64 = "System",
        pub total_percent: f64 = "TotalPercent",
        pub total_ticks: f64 = "TotalTicks",
        pub user: f64 = "User",
    }

    /// A file system, in bytes.
    pub struct HostDiskStats {
        pub available: u64 = "Available",
        pub device: String = "Device",
        pub inodes_used_percent: f64 = "InodesUsedPercent",
        pub mountpoint: String = "Mountpoint",
        pub size: u64 = "Size",
        pub used: u64 = "Used",
        pub used_percent: f64 = "UsedPercent",
    }

    /// What devices report.
    pub struct DeviceGroupStats {
        pub instance_stats: BTreeMap<String, DeviceStats> = "InstanceStats",
        pub name: String = "Name",
        pub kind: String = "Type",
        pub vendor: String = "Vendor",
    }

    /// What one device reports.
    pub struct DeviceStats {
        pub stats: Option<StatObject> = "Stats",
        pub summary: Option<StatValue> = "Summary",
        pub timestamp: Time = "Timestamp",
    }

    /// A tree of figures.
    pub struct StatObject {
        pub attributes: BTreeMap<String, StatValue> = "Attributes",
        pub nested: BTreeMap<String, StatObject> = "Nested",
    }

    /// A figure.
    pub struct StatValue {
        pub bool_val: Option<bool> = "BoolVal" [omit],
        pub desc: String = "Desc" [omit],
        pub float_denominator_val: Option<f64> = "FloatDenominatorVal" [omit],
        pub float_numerator_val: Option<f64> = "FloatNumeratorVal" [omit],
        pub int_denominator_val: Option<i64> = "IntDenominatorVal" [omit],
        pub int_numerator_val: Option<i64> = "IntNumeratorVal" [omit],
        pub string_val: Option<String> = "StringVal" [omit],
        pub unit: String = "Unit" [omit],
    }

    /// Memory of a task, in bytes.
    pub struct MemoryStats {
        pub cache: u64 = "Cache",
        pub kernel_max_usage: u64 = "KernelMaxUsage",
        pub kernel_usage: u64 = "KernelUsage",
        pub mapped_file: u64 = "MappedFile",
        pub max_usage: u64 = "MaxUsage",
        pub measured: Vec<String> = "Measured",
        pub rss: u64 = "RSS",
        pub swap: u64 = "Swap",
        pub usage: u64 = "Usage",
    }

    /// CPU of a task.
    pub struct CpuStats {
        pub measured: Vec<String> = "Measured",
        pub percent: f64 = "Percent",
        pub system_mode: f64 = "SystemMode",
        pub throttled_periods: u64 = "ThrottledPeriods",
        pub throttled_time: u64 = "ThrottledTime",
        pub total_ticks: f64 = "TotalTicks",
        pub user_mode: f64 = "UserMode",
    }

    /// What a task uses.
    pub struct ResourceUsage {
        pub cpu_stats: Option<CpuStats> = "CpuStats",
        pub device_stats: Vec<DeviceGroupStats> = "DeviceStats",
        pub memory_stats: Option<MemoryStats> = "MemoryStats",
    }

    /// What a task uses, and when that was read.
    pub struct TaskResourceUsage {
        pub pids: BTreeMap<String, ResourceUsage> = "Pids",
        pub resource_usage: Option<ResourceUsage> = "ResourceUsage",
        pub timestamp: i64 = "Timestamp",
    }

    /// What an allocation uses.
    pub struct AllocResourceUsage {
        pub resource_usage: Option<ResourceUsage> = "ResourceUsage",
        pub tasks: BTreeMap<String, TaskResourceUsage> = "Tasks",
        pub timestamp: i64 = "Timestamp",
    }

    /// A file in an allocation's directory.
    pub struct AllocFileInfo {
        pub content_type: String = "ContentType" [omit],
        pub file_mode: String = "FileMode",
        pub is_dir: bool = "IsDir",
        pub mod_time: Time = "ModTime",
        pub name: String = "Name",
        pub size: i64 = "Size",
    }

    /// A piece of a file that is followed.
    pub struct StreamFrame {
        pub data: Bytes = "Data" [omit],
        pub file: String = "File" [omit],
        pub file_event: String = "FileEvent" [omit],
        pub offset: i64 = "Offset" [omit],
    }

    /// The result of a check.
    pub struct AllocCheckStatus {
        pub check: String = "Check",
        pub group: String = "Group",
        pub id: String = "ID",
        pub mode: String = "Mode",
        pub output: String = "Output",
        pub service: String = "Service",
        pub status: String = "Status",
        pub status_code: i64 = "StatusCode",
        pub task: String = "Task",
        pub timestamp: i64 = "Timestamp",
    }
}
