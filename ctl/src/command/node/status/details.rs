//! How a node is: drivers, events, what is given out and used, allocations, attributes.

use std::collections::BTreeMap;

use nomadd_model::{AllocationListStub, ClientStatus, HostDiskStats, HostStats, Text, Time};

use super::{Whole, block};
use crate::command::alloc::status::details::resident;
use crate::context::Context;
use crate::show::allocations;
use crate::table::{Block, Table};
use crate::text::{self, Length, or_none};

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Only what it is, and its allocations.
    pub short: bool,
    /// All figures about the use of resources.
    pub stats: bool,
    /// Whole ids, drivers, attributes and metadata.
    pub verbose: bool,
}

/// Bytes in a megabyte of a node.
const MEGABYTE: u64 = 1 << 20;

/// All parts, with an empty line between them.
pub fn text(whole: &Whole, options: Options, context: &Context, now: Time) -> String {
    let titled = |title: &str, text: String| format!("{}\n{text}", context.bold(title));
    let mut parts = vec![block::node(whole, options.short, options.verbose)];
    if !options.short {
        if options.verbose {
            parts.extend(volumes(whole).map(|table| titled("Host Volumes", table)));
            parts.push(titled("Drivers", drivers(whole)));
        }
        parts.push(titled("Node Events", events(whole, options.verbose)));
        parts.push(titled("Allocated Resources", given_out(whole)));
        parts.push(titled("Allocation Resource Utilization", used(whole)));
        if let Some(stats) = &whole.stats {
            parts.push(titled("Host Resource Utilization", host(whole, stats)));
            if options.stats {
                parts.push(titled("CPU Stats", cpu(stats)));
                parts.push(titled("Memory Stats", memory(stats)));
                parts.push(titled("Disk Stats", disks(stats)));
            }
        }
    }
    parts.push(titled("Allocations", placed(&whole.allocations, options.verbose, now)));
    if options.verbose && !options.short {
        parts.push(titled("Attributes", pairs(&whole.node.attributes)));
        parts.push(titled("Meta", pairs(&whole.node.meta)));
    }
    parts.join("\n\n")
}

fn pairs(pairs: &BTreeMap<Text, Text>) -> String {
    let mut block = Block::new();
    for (key, value) in pairs {
        block.put(key, value);
    }
    block.text()
}

fn volumes(whole: &Whole) -> Option<String> {
    let mut table = Table::new(&["Name", "ReadOnly", "Source"]);
    for (name, volume) in &whole.node.host_volumes {
        table.row([name.clone(), volume.read_only.to_string(), volume.path.clone()]);
    }
    (!table.is_empty()).then(|| table.text())
}

fn drivers(whole: &Whole) -> String {
    let mut table = Table::new(&["Driver", "Detected", "Healthy", "Message", "Time"]);
    for (name, driver) in &whole.node.drivers {
        table.row([
            name.clone(),
            driver.detected.to_string(),
            driver.healthy.to_string(),
            or_none(&driver.health_description).to_owned(),
            text::local(driver.update_time),
        ]);
    }
    table.text()
}

fn events(whole: &Whole, verbose: bool) -> String {
    let mut table = match verbose {
        true => Table::new(&["Time", "Subsystem", "Message", "Details"]),
        false => Table::new(&["Time", "Subsystem", "Message"]),
    };
    for event in whole.node.events.iter().rev() {
        let subsystem = match event.details.get("driver") {
            Some(driver) => format!("Driver: {driver}"),
            None => event.subsystem.clone(),
        };
        let mut row = vec![text::local(event.timestamp), subsystem, event.message.clone()];
        if verbose {
            let details: Vec<String> = event.details.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            row.push(or_none(&details.join(" ")).to_owned());
        }
        table.row(row);
    }
    table.text()
}

/// What the node has for allocations: CPU in MHz, memory and disk in bytes.
fn capacity(whole: &Whole) -> (i64, u64, u64) {
    let (has, keeps) = (&whole.node.node_resources, &whole.node.reserved_resources);
    let megabytes = |has: i64, keeps: u64| u64::try_from(has).unwrap_or_default().saturating_sub(keeps) * MEGABYTE;
    (
        has.cpu.cpu_shares.saturating_sub(i64::try_from(keeps.cpu.cpu_shares).unwrap_or_default()),
        megabytes(has.memory.memory_mb, keeps.memory.memory_mb),
        megabytes(has.disk.disk_mb, keeps.disk.disk_mb),
    )
}

fn given_out(whole: &Whole) -> String {
    let (mut cpu, mut memory, mut disk, mut count) = (0, 0, 0, 0);
    for allocation in whole.allocations.iter().filter(|found| found.client_status == ClientStatus::Running) {
        count += 1;
        let Some(held) = &allocation.allocated_resources else { continue };
        disk += held.shared.disk_mb;
        for task in held.tasks.values() {
            cpu += task.cpu.cpu_shares;
            memory += task.memory.memory_mb;
        }
    }
    let size = |megabytes: i64| text::bytes(u64::try_from(megabytes).unwrap_or_default() * MEGABYTE);
    let (cpu_total, memory_total, disk_total) = capacity(whole);
    let mut table = Table::new(&["CPU", "Memory", "Disk", "Alloc Count"]);
    table.row([
        format!("{cpu}/{cpu_total} MHz"),
        format!("{}/{}", size(memory), text::bytes(memory_total)),
        format!("{}/{}", size(disk), text::bytes(disk_total)),
        count.to_string(),
    ]);
    table.text()
}

fn used(whole: &Whole) -> String {
    let (mut cpu, mut memory) = (0.0, 0);
    for usage in whole.usage.iter().filter_map(|usage| usage.resource_usage.as_ref()) {
        cpu += usage.cpu_stats.as_ref().map(|stats| stats.total_ticks).unwrap_or_default();
        memory += usage.memory_stats.as_ref().map(resident).unwrap_or_default();
    }
    let (cpu_total, memory_total, _) = capacity(whole);
    let mut table = Table::new(&["CPU", "Memory"]);
    table.row([
        format!("{}/{cpu_total} MHz", cpu.floor()),
        format!("{}/{}", text::bytes(memory), text::bytes(memory_total)),
    ]);
    table.text()
}

fn host(whole: &Whole, stats: &HostStats) -> String {
    let volume = whole.node.attributes.get("unique.storage.volume").map(|name| name.as_str()).unwrap_or_default();
    let disk = stats.disk_stats.iter().find(|disk| disk.device == volume).or(stats.alloc_dir_stats.as_ref());
    let size = |disk: &HostDiskStats| format!("{}/{}", text::bytes(disk.used), text::bytes(disk.size));
    let memory = stats.memory.clone().unwrap_or_default();
    let mut table = Table::new(&["CPU", "Memory", "Disk"]);
    table.row([
        format!("{}/{} MHz", stats.cpu_ticks_consumed.floor(), whole.node.node_resources.cpu.cpu_shares),
        format!("{}/{}", text::bytes(memory.used), text::bytes(memory.total)),
        disk.map(size).unwrap_or_else(|| "<none>".to_owned()),
    ]);
    table.text()
}

fn cpu(stats: &HostStats) -> String {
    let blocks = stats.cpu.iter().map(|cpu| {
        Block::new()
            .with("CPU", &cpu.cpu)
            .with("User", format!("{:.2}%", cpu.user))
            .with("System", format!("{:.2}%", cpu.system))
            .with("Idle", format!("{:.2}%", cpu.idle))
            .text()
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

fn memory(stats: &HostStats) -> String {
    let memory = stats.memory.clone().unwrap_or_default();
    Block::new()
        .with("Total", text::bytes(memory.total))
        .with("Available", text::bytes(memory.available))
        .with("Used", text::bytes(memory.used))
        .with("Free", text::bytes(memory.free))
        .text()
}

fn disks(stats: &HostStats) -> String {
    let blocks = stats.disk_stats.iter().map(|disk| {
        Block::new()
            .with("Device", &disk.device)
            .with("MountPoint", &disk.mountpoint)
            .with("Size", text::bytes(disk.size))
            .with("Used", text::bytes(disk.used))
            .with("Available", text::bytes(disk.available))
            .with("Used Percent", format!("{:.2}%", disk.used_percent))
            .with("Inodes Percent", format!("{:.2}%", disk.inodes_used_percent))
            .text()
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

/// The allocations; with whole ids the evaluation is shown, too, but not the node's name, which is known.
fn placed(found: &[AllocationListStub], verbose: bool, now: Time) -> String {
    if !verbose || found.is_empty() {
        return allocations::table(found, false, now);
    }
    let mut table =
        Table::new(&["ID", "Eval ID", "Node ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"]);
    for allocation in found {
        table.row([
            Length::Full.id(allocation.id),
            Length::Full.id(allocation.eval_id),
            Length::Full.id(allocation.node_id),
            allocation.task_group.to_string(),
            allocation.job_version.to_string(),
            allocation.desired_status.to_string(),
            allocation.client_status.to_string(),
            text::local(Time(allocation.create_time)),
            text::local(Time(allocation.modify_time)),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests;
