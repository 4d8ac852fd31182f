//! Offers: the ports, cores and devices that one allocation gets on one node.
//!
//! A node's table is made from its allocations when the first candidate asks, and kept for the evaluation. Groups that
//! ask for none of these never come here. Called by the placer.

use std::collections::BTreeSet;
use std::sync::Arc;

use nomadd_model::{AllocatedResources, Node};

use crate::ask::Ask;
use crate::device::DeviceTable;
use crate::ids::Random;
use crate::network::PortTable;
use crate::rank::binpack::Amount;

/// What is taken of a node one by one.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    ports: PortTable,
    cores: BTreeSet<u16>,
    devices: DeviceTable,
}

impl Ledger {
    /// A node with the allocations that hold something of it.
    pub fn new<'a>(node: &Node, held: impl Iterator<Item = &'a AllocatedResources>) -> Self {
        let mut ledger = Self { ports: PortTable::new(node), cores: BTreeSet::new(), devices: DeviceTable::default() };
        for resources in held {
            ledger.add(resources);
        }
        ledger
    }

    fn add(&mut self, resources: &AllocatedResources) {
        self.ports.add(resources);
        self.devices.add(resources);
        self.cores.extend(resources.tasks.values().flat_map(|task| &task.cpu.reserved_cores));
    }

    /// What an allocation of the group gets here, taken from the ledger; else the dimension that is exhausted.
    pub fn offer(
        &mut self,
        ask: &Ask<'_>,
        node: &Node,
        random: &mut Random,
    ) -> Result<Arc<AllocatedResources>, String> {
        let mut trial = self.clone();
        let mut resources = (*ask.template).clone();
        if let Some(network) = ask.network {
            let (network, ports) = trial.ports.assign(network, random).map_err(|error| format!("network: {error}"))?;
            resources.shared.networks.push(network);
            resources.shared.ports = ports;
        }
        for (task, network) in &ask.task_networks {
            let (mut network, ports) =
                trial.ports.assign(network, random).map_err(|error| format!("network: {error}"))?;
            if let Some(first) = ports.first() {
                network.ip = first.host_ip.to_string();
                network.device = trial.ports.device_of(&first.host_ip);
            }
            if let Some(held) = resources.tasks.get_mut(*task) {
                held.networks.push(network);
            }
        }
        for (task, request) in &ask.devices {
            let (device, _) = trial.devices.assign(node, request).map_err(|error| format!("devices: {error}"))?;
            if let Some(held) = resources.tasks.get_mut(*task) {
                held.devices.push(device);
            }
        }
        if ask.cores > 0 {
            let mut free =
                usable_cores(node).into_iter().filter(|core| !trial.cores.contains(core)).collect::<Vec<_>>();
            if free.len() < ask.cores {
                return Err("cores".to_owned());
            }
            free.truncate(ask.cores);
            let mut free = free.into_iter();
            for task in ask.group.tasks.iter().filter(|task| task.resources.cores > 0) {
                let wanted = usize::try_from(task.resources.cores).unwrap_or_default();
                let cores: Vec<u16> = free.by_ref().take(wanted).collect();
                if let Some(held) = resources.tasks.get_mut(&task.name) {
                    held.cpu.cpu_shares = core_shares(node, cores.len());
                    held.cpu.reserved_cores = cores;
                }
            }
            trial.cores.extend(resources.tasks.values().flat_map(|task| &task.cpu.reserved_cores));
        }
        *self = trial;
        Ok(Arc::new(resources))
    }
}

/// The cores that allocations may reserve.
pub fn usable_cores(node: &Node) -> Vec<u16> {
    let reserved = &node.reserved_resources.cpu.reserved_cpu_cores;
    node.node_resources.cpu.reservable_cpu_cores.iter().copied().filter(|core| !reserved.contains(core)).collect()
}

/// The MHz of that many cores.
pub fn core_shares(node: &Node, cores: usize) -> i64 {
    let cpu = &node.node_resources.cpu;
    let total = i64::try_from(cpu.total_cpu_cores).unwrap_or_default();
    if total <= 0 { 0 } else { cpu.cpu_shares / total * i64::try_from(cores).unwrap_or_default() }
}

/// What an allocation of the group uses of a node, reserved cores included.
pub fn amount_on(ask: &Ask<'_>, node: &Node) -> Amount {
    let mut amount = ask.amount;
    if ask.cores > 0 {
        amount.cpu += core_shares(node, ask.cores);
    }
    amount
}
