//! What a node is: the first block of its status.

use nomadd_model::{Duration, Node};

use super::Whole;
use crate::table::Block;

/// The block; a short one has no uptime, a verbose one leaves out what gets a table of its own.
pub fn node(whole: &Whole, short: bool, verbose: bool) -> String {
    let node = &whole.node;
    let mut block = Block::new()
        .with("ID", node.id)
        .with("Name", &node.name)
        .with("Node Pool", &node.node_pool)
        .with("Class", &node.node_class)
        .with("DC", &node.datacenter)
        .with("Drain", drain(node))
        .with("Eligibility", node.scheduling_eligibility)
        .with("Status", node.status)
        .with("CSI Controllers", names(node.csi_controller_plugins.keys()))
        .with("CSI Drivers", names(node.csi_node_plugins.keys()));
    if let Some(stats) = whole.stats.as_ref().filter(|_| !short) {
        block.put("Uptime", Duration::from_secs(i64::try_from(stats.uptime).unwrap_or_default()));
    }
    if short || !verbose {
        block.put("Host Volumes", names(node.host_volumes.keys()));
        block.put("Host Networks", names(node.host_networks.keys()));
        block.put("CSI Volumes", "");
        block.put(if short { "Drivers" } else { "Driver Status" }, drivers(node));
    }
    block.text()
}

/// Whether it is being drained, until when, and whether system jobs stay.
fn drain(node: &Node) -> String {
    let Some(drain) = &node.drain_strategy else { return node.drain.to_string() };
    let until = match drain.deadline.0 {
        0 => "no deadline".to_owned(),
        deadline if deadline < 0 => "force drain".to_owned(),
        _ => format!("{} deadline", crate::text::local(drain.force_deadline)),
    };
    format!("true; {until}{}", if drain.ignore_system_jobs { "; ignoring system jobs" } else { "" })
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(",")
}

/// The drivers that were found; those that do not work say so.
fn drivers(node: &Node) -> String {
    let found = node.drivers.iter().filter(|(_, driver)| driver.detected);
    let named = found.map(|(name, driver)| if driver.healthy { name.clone() } else { format!("{name} (unhealthy)") });
    named.collect::<Vec<_>>().join(",")
}
