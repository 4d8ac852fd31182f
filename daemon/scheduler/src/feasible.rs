//! Feasibility: which nodes may run a group at all, before resources are looked at.
//!
//! Everything that nodes of one class share is decided once per class; only unique attributes and device health are
//! looked at node by node. Reasons have Nomad's texts, as metrics and `job why` show them.

use std::collections::BTreeMap;

use nomadd_model::{Job, Node, NodePool, Text};

use crate::ask::{Ask, Rule};
use crate::device;
use crate::fleet::Fleet;
use crate::target::datacenter_matches;

pub mod distinct;

/// Why a node is filtered.
pub type Reason = String;

/// The name of the pool that holds every node.
const ALL_POOL: &str = "all";

/// Whether the nodes of a class are a job's to use: its pool and its datacenters.
pub fn is_in_reach(job: &Job, node: &Node) -> bool {
    (*job.node_pool == *ALL_POOL
        || node.node_pool == job.node_pool
        || job.node_pool.is_empty() && &*node.node_pool == "default")
        && job.datacenters.iter().any(|pattern| datacenter_matches(pattern, &node.datacenter))
}

/// Decides for all nodes of a class, by one of them.
pub fn class_verdict(ask: &Ask<'_>, node: &Node) -> Result<(), Reason> {
    job_verdict(ask, node)?;
    check_drivers(ask, node)?;
    failing(ask.group_rules.iter().filter(|rule| !rule.unique), node)?;
    check_network(ask, node)?;
    check_volumes(ask, node)
}

/// The part of the class' verdict that is about the job and not the group.
pub fn job_verdict(ask: &Ask<'_>, node: &Node) -> Result<(), Reason> {
    failing(ask.job_rules.iter().filter(|rule| !rule.unique), node)
}

/// Whether nodes of one class may get different verdicts.
pub fn needs_node_verdict(ask: &Ask<'_>) -> bool {
    !ask.devices.is_empty() || ask.job_rules.iter().chain(&ask.group_rules).any(|rule| rule.unique)
}

/// Decides what a class leaves open.
pub fn node_verdict(ask: &Ask<'_>, node: &Node) -> Result<(), Reason> {
    failing(ask.job_rules.iter().chain(&ask.group_rules).filter(|rule| rule.unique), node)?;
    if !ask.devices.is_empty() && !device::has_devices(node, ask.devices.iter().map(|(_, request)| *request)) {
        return Err("missing devices".to_owned());
    }
    Ok(())
}

/// Both verdicts of one node.
pub fn verdict(ask: &Ask<'_>, node: &Node) -> Result<(), Reason> {
    class_verdict(ask, node)?;
    node_verdict(ask, node)
}

fn failing<'a>(mut rules: impl Iterator<Item = &'a Rule>, node: &Node) -> Result<(), Reason> {
    match rules.find(|rule| !rule.holds(node)) {
        Some(rule) => Err(rule.text.clone()),
        None => Ok(()),
    }
}

/// Drivers that a node lacks.
pub fn missing_drivers<'a>(ask: &Ask<'a>, node: &Node) -> Vec<&'a str> {
    let usable = |name: &str| match node.drivers.get(name) {
        Some(info) => info.detected && info.healthy,
        // Nodes of before driver health only say so in an attribute.
        None => node
            .attributes
            .get(format!("driver.{name}").as_str())
            .is_some_and(|value| matches!(value.as_str(), "1" | "true")),
    };
    ask.drivers.iter().copied().filter(|name| !usable(name)).collect()
}

fn check_drivers(ask: &Ask<'_>, node: &Node) -> Result<(), Reason> {
    if missing_drivers(ask, node).is_empty() { Ok(()) } else { Err("missing drivers".to_owned()) }
}

fn check_network(ask: &Ask<'_>, node: &Node) -> Result<(), Reason> {
    let Some(network) = ask.network else { return Ok(()) };
    let mode = network.mode.as_str();
    if !matches!(mode, "" | "host" | "none") {
        let has = node.node_resources.networks.iter().any(|found| found.mode == mode)
            || node.node_resources.node_networks.iter().any(|found| found.mode == mode);
        if !has {
            return Err("missing network".to_owned());
        }
    }
    for port in network.reserved_ports.iter().chain(&network.dynamic_ports) {
        let wanted = port.host_network.as_str();
        let known = |alias: &str| {
            let mut addresses = node.node_resources.node_networks.iter().flat_map(|network| &network.addresses);
            addresses.any(|address| address.alias == alias)
        };
        if !matches!(wanted, "" | "default") && !known(wanted) {
            return Err(format!("missing host network {wanted:?} for port {:?}", port.label));
        }
    }
    Ok(())
}

fn check_volumes(ask: &Ask<'_>, node: &Node) -> Result<(), Reason> {
    // A volume per allocation has the allocation's number in its name; any of them makes the node a candidate.
    let has = |source: &str, read_only: bool, per_allocation: bool| {
        node.host_volumes.iter().any(|(name, volume)| {
            let named = if per_allocation {
                name.strip_prefix(source).is_some_and(|rest| rest.starts_with('[') && rest.ends_with(']'))
            } else {
                name == source
            };
            named && (read_only || !volume.read_only)
        })
    };
    if ask.host_volumes.iter().all(|(source, read_only, per_allocation)| has(source, *read_only, *per_allocation)) {
        Ok(())
    } else {
        Err("missing compatible host volumes".to_owned())
    }
}

/// Whether the volumes of one allocation are on a node (only `per_alloc` depends on its number).
pub fn has_own_volumes(ask: &Ask<'_>, node: &Node, index: u64) -> bool {
    ask.host_volumes.iter().filter(|(_, _, per_allocation)| *per_allocation).all(|(source, read_only, _)| {
        node.host_volumes.get(&format!("{source}[{index}]")).is_some_and(|volume| *read_only || !volume.read_only)
    })
}

/// What was seen of the fleet for one job: how many nodes are in reach, by datacenter and by class.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Ready nodes by class, in the order of `Fleet::classes`; 0 for classes out of reach.
    pub by_class: Vec<u32>,
    /// Ready nodes in reach by datacenter.
    pub by_datacenter: BTreeMap<String, i64>,
    /// Their sum.
    pub total: i64,
    /// Ready nodes that are in the pool, in whatever datacenter.
    pub in_pool: i64,
}

impl Reach {
    /// Looks at a fleet for a job.
    pub fn new(fleet: &Fleet, job: &Job) -> Self {
        let mut reach = Self { by_class: vec![0; fleet.classes().len()], ..Self::default() };
        for (count, (class, ready)) in reach.by_class.iter_mut().zip(fleet.classes().iter().zip(fleet.ready_by_class()))
        {
            if is_in_reach(job, &class.sample) {
                *count = *ready;
            }
        }
        for (count, class) in reach.by_class.iter().zip(fleet.classes()) {
            if *count > 0 {
                *reach.by_datacenter.entry(class.sample.datacenter.to_string()).or_default() += i64::from(*count);
                reach.total += i64::from(*count);
            }
        }
        reach.in_pool = reach.total;
        reach
    }
}

/// The pool's own scheduler settings, where it has some.
pub fn pool_algorithm(pool: Option<&NodePool>) -> Option<Text> {
    let configuration = pool?.scheduler_configuration.as_ref()?;
    Some(Text::from(&configuration.scheduler_algorithm)).filter(|name| !name.is_empty())
}
