//! The processors: how many cores, how fast, how much of them jobs may use. Works in virtual machines without cpufreq.

use std::collections::BTreeSet;
use std::fs;

use nomadd_model::Node;
use serde_json::{Map, Value, json};

use crate::config::ClientConfig;
use crate::fingerprint::{FingerprintError, read, set};

/// What a core counts as when nothing says how fast it is, in MHz.
const FALLBACK_MHZ: u64 = 1000;

/// Adds cores, speed, totals and topology.
pub fn fingerprint(node: &mut Node, config: &ClientConfig) -> Result<(), FingerprintError> {
    let info = read("/proc/cpuinfo");
    let online = parse_list(&read("/sys/devices/system/cpu/online")).unwrap_or_default();
    let count = info.lines().filter(|line| line.starts_with("processor")).count().max(1);
    let cores: BTreeSet<u16> =
        if online.is_empty() { (0..u16::try_from(count).unwrap_or(u16::MAX)).collect() } else { online };
    let speed = speed(&info);
    let reservable = match &config.reservable_cores {
        Some(text) => list("client.reservable_cores", text, &cores)?,
        None => cores.clone(),
    };
    let reserved = list("client.reserved.cores", &config.reserved.cores, &cores)?;
    let usable: Vec<u16> = reservable.difference(&reserved).copied().collect();
    let number = cores.len() as u64;
    let total = config.cpu_total_compute.unwrap_or(number * speed);
    let per_core = total.checked_div(number).unwrap_or(0);
    let withheld = if reserved.is_empty() { config.reserved.cpu } else { reserved.len() as u64 * per_core };

    set(node, "cpu.arch", architecture(std::env::consts::ARCH));
    set(node, "cpu.modelname", field(&info, "model name").unwrap_or_default());
    set(node, "cpu.numcores", number);
    set(node, "cpu.frequency", speed);
    set(node, "cpu.reservablecores", usable.len());
    set(node, "cpu.totalcompute", total);
    set(node, "cpu.usablecompute", total.saturating_sub(withheld));
    let nodes = numa_nodes();
    set(node, "numa.node.count", nodes.len().max(1));
    for (id, cores) in &nodes {
        set(node, &format!("numa.node{id}.cores"), cores);
    }
    let resources = &mut node.node_resources.cpu;
    resources.cpu_shares = i64::try_from(total).unwrap_or(i64::MAX);
    resources.total_cpu_cores = number;
    resources.reservable_cpu_cores = usable;
    node.reserved_resources.cpu.cpu_shares = withheld;
    node.reserved_resources.cpu.reserved_cpu_cores = reserved.iter().copied().collect();
    node.node_resources.processors = Some(topology(&cores, &reserved, speed, config.cpu_total_compute, withheld));
    Ok(())
}

/// The topology in the API's form.
fn topology(
    cores: &BTreeSet<u16>,
    disabled: &BTreeSet<u16>,
    speed: u64,
    total: Option<u64>,
    withheld: u64,
) -> Map<String, Value> {
    let core = |id: &u16| {
        json!({
            "BaseSpeed": speed, "Disable": disabled.contains(id), "Grade": true, "GuessSpeed": 0, "ID": id,
            "MaxSpeed": 0, "NodeID": 0, "SocketID": 0,
        })
    };
    let topology = json!({
        "Cores": cores.iter().map(core).collect::<Vec<_>>(),
        "Distances": null,
        "Nodes": [0],
        "OverrideTotalCompute": total.unwrap_or(0),
        "OverrideWitholdCompute": withheld,
    });
    Map::from_iter([("Topology".to_owned(), topology)])
}

/// The speed of a core in MHz: of the kernel's driver, else as measured, else as the model's name says.
fn speed(info: &str) -> u64 {
    let driver = ["base_frequency", "cpuinfo_max_freq"].into_iter().find_map(|file| {
        let kilohertz: u64 = read(&format!("/sys/devices/system/cpu/cpu0/cpufreq/{file}")).parse().ok()?;
        (kilohertz > 0).then_some(kilohertz / 1000)
    });
    driver.or_else(|| speed_of(info)).unwrap_or(FALLBACK_MHZ)
}

fn speed_of(info: &str) -> Option<u64> {
    let measured = field(info, "cpu MHz").and_then(|text| text.parse::<f64>().ok()).filter(|mhz| *mhz >= 1.0);
    let named = || {
        let (_, ghz) = field(info, "model name")?.rsplit_once('@')?;
        ghz.trim().strip_suffix("GHz")?.trim().parse::<f64>().ok().map(|ghz| ghz * 1000.0)
    };
    measured.or_else(named).map(|mhz| mhz as u64)
}

fn field<'a>(info: &'a str, key: &str) -> Option<&'a str> {
    info.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// Go's names, which job files' constraints use.
fn architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

fn numa_nodes() -> Vec<(u32, String)> {
    let entries = fs::read_dir("/sys/devices/system/node");
    let names = entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let ids = names.filter_map(|name| name.strip_prefix("node")?.parse().ok());
    let mut nodes: Vec<(u32, String)> =
        ids.map(|id| (id, read(&format!("/sys/devices/system/node/node{id}/cpulist")))).collect();
    nodes.sort();
    nodes
}

fn list(key: &'static str, text: &str, known: &BTreeSet<u16>) -> Result<BTreeSet<u16>, FingerprintError> {
    let cores = parse_list(text).filter(|cores| cores.is_subset(known));
    cores.ok_or_else(|| FingerprintError::Cores { key, value: text.to_owned() })
}

/// A list such as `0-2,7`; "" is empty.
fn parse_list(text: &str) -> Option<BTreeSet<u16>> {
    let mut cores = BTreeSet::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        if first > last {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_of_a_virtual_machine_has_a_speed() {
        let info = "processor\t: 0\nmodel name\t: AMD EPYC\ncpu MHz\t\t: 2596.000\n";
        assert_eq!((speed_of(info), field(info, "model name")), (Some(2596), Some("AMD EPYC")));
        assert_eq!(speed_of("model name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\ncpu MHz : 0.000\n"), Some(2200));
        assert_eq!(speed_of("Hardware : BCM2835"), None);
    }

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(parse_list("0-2,7"), Some([0, 1, 2, 7].into()));
        assert_eq!(parse_list(""), Some([].into()));
        for bad in ["a", "3-1", "1-"] {
            assert_eq!(parse_list(bad), None, "{bad}");
        }
    }
}
