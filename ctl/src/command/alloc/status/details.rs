//! How an allocation is: addresses, checks, tasks with resources, use and events, scores of the placement.

use std::collections::BTreeSet;

use nomadd_model::{AllocationMetric, MemoryStats, ResourceUsage, TaskState, Time};

use super::{Whole, block};
use crate::context::Context;
use crate::show::placement;
use crate::table::{Block, Table};
use crate::text;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whole ids, times and scores.
    pub verbose: bool,
    /// All figures about the use of resources.
    pub stats: bool,
}

/// Bytes in a megabyte of a job.
const MEGABYTE: i64 = 1 << 20;

/// All parts, with an empty line between them.
pub fn text(whole: &Whole, options: Options, context: &Context, now: Time) -> String {
    let mut parts = vec![block::whole(whole, options.verbose, now)];
    parts.extend(addresses(whole, context));
    parts.extend(checks(whole, context));
    for name in block::order(whole) {
        if let Some(state) = whole.allocation.task_states.get(name.as_str()) {
            parts.extend(task(whole, &name, state, options, context));
        }
    }
    if let Some(metrics) = whole.allocation.metrics.as_ref().filter(|_| options.verbose) {
        parts.push(format!("{}\n{}", context.bold("Placement Metrics"), scores(metrics)));
    }
    parts.join("\n\n")
}

fn addresses(whole: &Whole, context: &Context) -> Option<String> {
    let shared = &whole.allocation.allocated_resources.shared;
    let network = shared.networks.first();
    let mut table = Table::new(&["Label", "Dynamic", "Address"]);
    let mut add = |label: &str, ip: &str, value: i64, to: i64| {
        // A fixed port is one that the job names.
        let fixed = network.is_some_and(|network| network.reserved_ports.iter().any(|port| port.label == label));
        let to = if to > 0 { format!(" -> {to}") } else { String::new() };
        let dynamic = if fixed { "no" } else { "yes" };
        table.row([format!("*{label}"), dynamic.to_owned(), format!("{ip}:{value}{to}")]);
    };
    for port in &shared.ports {
        add(&port.label, &port.host_ip, port.value, port.to);
    }
    if let Some(network) = network.filter(|_| shared.ports.is_empty()) {
        for port in network.dynamic_ports.iter().chain(&network.reserved_ports) {
            add(&port.label, &network.ip, port.value, port.to);
        }
    }
    let mode = network.map(|network| network.mode.as_str()).unwrap_or_default();
    let title = match mode {
        "" | "host" => "Allocation Addresses:".to_owned(),
        mode => format!("Allocation Addresses (mode = {mode:?}):"),
    };
    (!table.is_empty()).then(|| format!("{}\n{}", context.bold(&title), table.text()))
}

fn checks(whole: &Whole, context: &Context) -> Option<String> {
    let mut table = Table::new(&["Service", "Task", "Name", "Mode", "Status"]);
    for check in whole.checks.values() {
        let task = if check.task.is_empty() { "(group)" } else { &check.task };
        table.row([&check.service, task, &check.check, &check.mode, &check.status]);
    }
    (!table.is_empty()).then(|| format!("{}\n{}", context.bold("Nomad Service Checks:"), table.text()))
}

/// The parts about one task.
fn task(whole: &Whole, name: &str, state: &TaskState, options: Options, context: &Context) -> Vec<String> {
    let hook = block::lifecycle(whole, name);
    let hook = if hook.is_empty() { hook } else { format!(" ({hook})") };
    let title = context.bold(&format!("Task {name:?}{hook} is \"{}\"", state.state));
    let usage = whole.usage.as_ref().and_then(|usage| usage.tasks.get(name)?.resource_usage.as_ref());
    let mut parts = vec![format!("{title}\nTask Resources:\n{}", resources(whole, name, usage))];
    if let Some(usage) = usage.filter(|_| options.stats) {
        parts.extend(memory(usage).map(|table| format!("Memory Stats\n{table}")));
        parts.extend(cpu(usage).map(|table| format!("CPU Stats\n{table}")));
    }
    let times = Block::new()
        .with("Started At", text::utc(state.started_at))
        .with("Finished At", text::utc(state.finished_at))
        .with("Total Restarts", state.restarts)
        .with("Last Restart", text::utc(state.last_restart));
    parts.push(format!("Task Events:\n{}", times.text()));
    let mut events = Table::new(&["Time", "Type", "Description"]);
    for event in state.events.iter().rev() {
        let message = event.display_message();
        let message = if message.is_empty() { "<none>".to_owned() } else { message };
        events.row([text::local(event.time), event.kind.to_string(), message]);
    }
    parts.push(format!("Recent Events:\n{}", events.text()));
    parts
}

/// What a task may use, with what it does use before the slash.
fn resources(whole: &Whole, name: &str, usage: Option<&ResourceUsage>) -> String {
    let held = &whole.allocation.allocated_resources;
    let mut table = Table::new(&["CPU", "Memory", "Disk", "Addresses"]);
    let Some(task) = held.tasks.get(name) else { return table.text() };
    let size = |megabytes: i64| text::bytes(u64::try_from(megabytes.saturating_mul(MEGABYTE)).unwrap_or_default());
    let mut cpu = task.cpu.cpu_shares.to_string();
    let mut memory = size(task.memory.memory_mb);
    if let Some(stats) = usage.and_then(|usage| usage.cpu_stats.as_ref()) {
        cpu = format!("{}/{cpu}", stats.total_ticks.floor());
    }
    if let Some(stats) = usage.and_then(|usage| usage.memory_stats.as_ref()) {
        memory = format!("{}/{memory}", text::bytes(resident(stats)));
    }
    table.row([format!("{cpu} MHz"), memory, size(held.shared.disk_mb), addresses_of(task).unwrap_or_default()]);
    match task.memory.memory_max_mb {
        0 => {}
        max if max == task.memory.memory_mb => {}
        -1 => table.row(["", "Max: no limit", "", ""]),
        max => table.row(["", &format!("Max: {}", size(max)), "", ""]),
    }
    table.text()
}

/// The addresses of a task's own (old) network.
fn addresses_of(task: &nomadd_model::AllocatedTaskResources) -> Option<String> {
    let network = task.networks.first()?;
    let ports = network.dynamic_ports.iter().chain(&network.reserved_ports);
    let texts: Vec<String> = ports.map(|port| format!("{}: {}:{}", port.label, network.ip, port.value)).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// The memory that counts: the resident set, or what the kernel counts at all where that is not measured.
pub fn resident(stats: &MemoryStats) -> u64 {
    match stats.rss {
        0 if !stats.measured.iter().any(|name| name == "RSS") => stats.usage,
        rss => rss,
    }
}

fn memory(usage: &ResourceUsage) -> Option<String> {
    let stats = usage.memory_stats.as_ref()?;
    let measured: BTreeSet<&str> = stats.measured.iter().map(String::as_str).collect();
    let cells = measured.iter().filter_map(|name| {
        let value = match *name {
            "Cache" => stats.cache,
            "Kernel Max Usage" => stats.kernel_max_usage,
            "Kernel Usage" => stats.kernel_usage,
            "Mapped File" => stats.mapped_file,
            "Max Usage" => stats.max_usage,
            "RSS" => stats.rss,
            "Swap" => stats.swap,
            "Usage" => stats.usage,
            _ => return None,
        };
        Some(((*name).to_owned(), text::bytes(value)))
    });
    row(cells)
}

fn cpu(usage: &ResourceUsage) -> Option<String> {
    let stats = usage.cpu_stats.as_ref()?;
    let measured: BTreeSet<&str> = stats.measured.iter().map(String::as_str).collect();
    let percent = |value: f64| format!("{value:.2}%");
    let cells = measured.iter().filter_map(|name| {
        let value = match *name {
            "Percent" => percent(stats.percent),
            "System Mode" => percent(stats.system_mode),
            "User Mode" => percent(stats.user_mode),
            "Throttled Periods" => stats.throttled_periods.to_string(),
            "Throttled Time" => stats.throttled_time.to_string(),
            _ => return None,
        };
        Some(((*name).to_owned(), value))
    });
    row(cells)
}

/// A table of one row, with its header.
fn row(cells: impl Iterator<Item = (String, String)>) -> Option<String> {
    let (header, values): (Vec<String>, Vec<String>) = cells.unzip();
    let mut table = Table::new(&header);
    table.row(values);
    (!header.is_empty()).then(|| table.text())
}

/// Why it is where it is: the nodes that were looked at, with their scores.
fn scores(metrics: &AllocationMetric) -> String {
    let mut parts = placement::reasons(metrics, "  ");
    parts.retain(|line| !line.contains("No nodes were eligible"));
    let names: BTreeSet<&str> =
        metrics.score_meta_data.iter().flat_map(|node| node.scores.keys().map(String::as_str)).collect();
    if !metrics.score_meta_data.is_empty() {
        let mut header = vec!["Node"];
        header.extend(&names);
        header.push("final score");
        let mut table = Table::new(&header);
        for node in &metrics.score_meta_data {
            let mut row = vec![node.node_id.to_string()];
            row.extend(names.iter().map(|name| three_digits(node.scores.get(*name).copied().unwrap_or_default())));
            row.push(three_digits(node.norm_score));
            table.row(row);
        }
        parts.push(table.text());
    }
    parts.join("\n")
}

/// Three significant digits, as `%.3g` writes them.
fn three_digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    let written = format!("{value:.2e}");
    let exponent: i32 = written.rsplit_once('e').and_then(|(_, text)| text.parse().ok()).unwrap_or_default();
    if !(-4..3).contains(&exponent) {
        let (digits, _) = written.split_once('e').unwrap_or((&written, ""));
        let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
        return format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    let decimals = usize::try_from(2 - exponent).unwrap_or_default();
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests;
