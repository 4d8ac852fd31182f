//! What allocations hold on a node, what a node has, and whether one more fits.
//!
//! The same arithmetic serves the scheduler, the plan applier and apply's own check, so that they cannot disagree. Sums are
//! kept running per node; nothing here looks at more than one node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use nomadd_model::{AllocatedResources, AllocatedTaskResources, NetworkResource, Node, TaskGroup, Text};

use crate::ports::PortRanges;

/// A group of like devices on a node: vendor, type, name.
pub type DeviceKey = (String, String, String);

/// What one allocation holds: CPU in MHz, memory and disk in MB, and what nobody else may have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Footprint {
    /// MHz.
    pub cpu_shares: i64,
    /// MB that are guaranteed.
    pub memory_mb: i64,
    /// MB that may be used at most.
    pub memory_max_mb: i64,
    /// MB.
    pub disk_mb: i64,
    /// Cores that nobody else uses, ascending.
    pub cores: Vec<u16>,
    /// Host ports.
    pub ports: Vec<HeldPort>,
    /// Device instances.
    pub devices: Vec<(DeviceKey, String)>,
}

/// A host port on an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPort {
    /// The address of the host; ports of different addresses do not collide.
    pub address: Text,
    /// The port.
    pub port: u16,
    /// The job says that others may use it too.
    pub shared: bool,
}

impl Footprint {
    /// What these resources hold. Tasks that do not run at the same time (prestart and poststop hooks beside the main
    /// tasks) share: the largest phase counts, sidecars count always.
    pub fn of(resources: &AllocatedResources) -> Self {
        // A negative amount would make room that is not there.
        let mut footprint = Self { disk_mb: resources.shared.disk_mb.max(0), ..Self::default() };
        let [mut sidecars, mut before, mut main, mut after] = [(0i64, 0i64, 0i64); 4];
        for (name, task) in &resources.tasks {
            let phase = match resources.task_lifecycles.get(name).and_then(Option::as_ref) {
                Some(hook) if hook.hook == "prestart" => {
                    if hook.sidecar {
                        &mut sidecars
                    } else {
                        &mut before
                    }
                }
                Some(hook) if hook.hook == "poststop" => &mut after,
                _ => &mut main,
            };
            let maximum = if task.memory.memory_max_mb > 0 { task.memory.memory_max_mb } else { task.memory.memory_mb };
            phase.0 = phase.0.saturating_add(task.cpu.cpu_shares.max(0));
            phase.1 = phase.1.saturating_add(task.memory.memory_mb.max(0));
            phase.2 = phase.2.saturating_add(maximum.max(0));
            footprint.add_exclusive(task);
        }
        footprint.cpu_shares = before.0.max(main.0).max(after.0).saturating_add(sidecars.0);
        footprint.memory_mb = before.1.max(main.1).max(after.1).saturating_add(sidecars.1);
        footprint.memory_max_mb = before.2.max(main.2).max(after.2).saturating_add(sidecars.2);
        for port in &resources.shared.ports {
            footprint.add_port(&port.host_ip, port.value);
        }
        if resources.shared.ports.is_empty() {
            resources.shared.networks.iter().for_each(|network| footprint.add_network(network));
        }
        footprint.cores.sort_unstable();
        footprint
    }

    /// As `of`, with the ports that the group lets others use too.
    pub fn of_group(resources: &AllocatedResources, group: &TaskGroup) -> Self {
        let mut footprint = Self::of(resources);
        let shared = |value: u16| {
            let mut asked = group.networks.iter().flat_map(|network| &network.reserved_ports);
            asked.any(|port| port.ignore_collision && port.value == i64::from(value))
        };
        for port in &mut footprint.ports {
            port.shared = shared(port.port);
        }
        footprint
    }

    /// Whether two hold the same.
    pub fn same(a: &Self, b: &Self) -> bool {
        let ports = |footprint: &Self| -> BTreeSet<(Text, u16)> {
            footprint.ports.iter().map(|port| (port.address.clone(), port.port)).collect()
        };
        (a.cpu_shares, a.memory_mb, a.memory_max_mb, a.disk_mb)
            == (b.cpu_shares, b.memory_mb, b.memory_max_mb, b.disk_mb)
            && (&a.cores, &a.devices) == (&b.cores, &b.devices)
            && ports(a) == ports(b)
    }

    fn add_exclusive(&mut self, task: &AllocatedTaskResources) {
        self.cores.extend(&task.cpu.reserved_cores);
        task.networks.iter().for_each(|network| self.add_network(network));
        for device in &task.devices {
            let key = (device.vendor.clone(), device.kind.clone(), device.name.clone());
            self.devices.extend(device.device_ids.iter().map(|id| (key.clone(), id.clone())));
        }
    }
    fn add_network(&mut self, network: &NetworkResource) {
        let address = Text::from(&network.ip);
        for port in network.reserved_ports.iter().chain(&network.dynamic_ports) {
            self.add_port(&address, port.value);
        }
    }
    fn add_port(&mut self, address: &Text, value: i64) {
        if let Ok(port @ 1..) = u16::try_from(value) {
            self.ports.push(HeldPort { address: address.clone(), port, shared: false });
        }
    }
}

/// What a node has for allocations: all of it less what it keeps for itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capacity {
    /// MHz.
    pub cpu_shares: i64,
    /// MB.
    pub memory_mb: i64,
    /// MB.
    pub disk_mb: i64,
    /// Cores that can be given out, ascending.
    pub cores: Vec<u16>,
    /// How many allocations at most; 0: any number.
    pub max_allocations: u64,
    /// Ports that the node keeps on every address.
    pub reserved_ports: PortRanges,
    /// Ports that the node keeps on one address.
    pub reserved_ports_of: BTreeMap<Text, PortRanges>,
    /// Instances of each group of devices.
    pub devices: BTreeMap<DeviceKey, BTreeSet<String>>,
}

impl Capacity {
    /// What a node has.
    pub fn of(node: &Node) -> Self {
        let (has, keeps) = (&node.node_resources, &node.reserved_resources);
        let less = |has: i64, keeps: u64| has.saturating_sub(i64::try_from(keeps).unwrap_or(i64::MAX)).max(0);
        let mut cores: Vec<u16> = has
            .cpu
            .reservable_cpu_cores
            .iter()
            .copied()
            .filter(|core| !keeps.cpu.reserved_cpu_cores.contains(core))
            .collect();
        cores.sort_unstable();
        let addresses = has.node_networks.iter().flat_map(|network| &network.addresses);
        Self {
            cpu_shares: less(has.cpu.cpu_shares, keeps.cpu.cpu_shares),
            memory_mb: less(has.memory.memory_mb, keeps.memory.memory_mb),
            disk_mb: less(has.disk.disk_mb, keeps.disk.disk_mb),
            cores,
            max_allocations: u64::try_from(node.node_max_allocs).unwrap_or_default(),
            reserved_ports: PortRanges::parse(&keeps.networks.reserved_host_ports),
            reserved_ports_of: addresses
                .filter(|address| !address.reserved_ports.is_empty())
                .map(|address| (Text::from(&address.address), PortRanges::parse(&address.reserved_ports)))
                .collect(),
            devices: has
                .devices
                .iter()
                .map(|group| {
                    let key = (group.vendor.clone(), group.kind.clone(), group.name.clone());
                    (key, group.instances.iter().map(|instance| instance.id.clone()).collect())
                })
                .collect(),
        }
    }
}

/// Running sums over the allocations that hold resources on a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeUsage {
    /// How many allocations hold something.
    pub allocations: u32,
    /// MHz.
    pub cpu_shares: i64,
    /// MB that are guaranteed.
    pub memory_mb: i64,
    /// MB that may be used at most.
    pub memory_max_mb: i64,
    /// MB.
    pub disk_mb: i64,
    cores: Vec<(u16, u32)>,
    ports: BTreeMap<Text, Vec<(u16, u32)>>,
    devices: BTreeMap<DeviceKey, BTreeMap<String, u32>>,
}

/// Why an allocation does not fit, in Nomad's words for dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// A core is taken, or cannot be reserved.
    Cores,
    /// Not enough MHz.
    Cpu,
    /// Not enough memory.
    Memory,
    /// Not enough disk.
    Disk,
    /// The node takes no more allocations.
    Allocations,
    /// A device is taken, or gone.
    Devices,
    /// A port is taken, or reserved.
    Port {
        /// The port.
        port: u16,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cores => f.write_str("cores"),
            Self::Cpu => f.write_str("cpu"),
            Self::Memory => f.write_str("memory"),
            Self::Disk => f.write_str("disk"),
            Self::Allocations => f.write_str("max allocation exceeded"),
            Self::Devices => f.write_str("device oversubscribed"),
            Self::Port { port } => write!(f, "reserved alloc port collision: {port}"),
        }
    }
}

fn count(counts: &[(u16, u32)], key: u16) -> u32 {
    counts.binary_search_by_key(&key, |entry| entry.0).ok().and_then(|at| counts.get(at)).map_or(0, |entry| entry.1)
}

fn add(counts: &mut Vec<(u16, u32)>, key: u16) {
    match counts.binary_search_by_key(&key, |entry| entry.0) {
        Ok(at) => counts[at].1 += 1,
        Err(at) => counts.insert(at, (key, 1)),
    }
}

fn subtract(counts: &mut Vec<(u16, u32)>, key: u16) {
    if let Ok(at) = counts.binary_search_by_key(&key, |entry| entry.0) {
        counts[at].1 -= 1;
        if counts[at].1 == 0 {
            counts.remove(at);
        }
    }
}

impl NodeUsage {
    /// Counts one more allocation.
    pub fn add(&mut self, footprint: &Footprint) {
        self.allocations = self.allocations.saturating_add(1);
        self.cpu_shares = self.cpu_shares.saturating_add(footprint.cpu_shares);
        self.memory_mb = self.memory_mb.saturating_add(footprint.memory_mb);
        self.memory_max_mb = self.memory_max_mb.saturating_add(footprint.memory_max_mb);
        self.disk_mb = self.disk_mb.saturating_add(footprint.disk_mb);
        footprint.cores.iter().for_each(|core| add(&mut self.cores, *core));
        for port in &footprint.ports {
            if let Some(ports) = self.ports.get_mut(&port.address) {
                add(ports, port.port);
            } else {
                self.ports.insert(port.address.clone(), vec![(port.port, 1)]);
            }
        }
        for (key, id) in &footprint.devices {
            *self.devices.entry(key.clone()).or_default().entry(id.clone()).or_default() += 1;
        }
    }

    /// Counts one allocation less; it must have been counted.
    pub fn subtract(&mut self, footprint: &Footprint) {
        self.allocations = self.allocations.saturating_sub(1);
        self.cpu_shares = self.cpu_shares.saturating_sub(footprint.cpu_shares);
        self.memory_mb = self.memory_mb.saturating_sub(footprint.memory_mb);
        self.memory_max_mb = self.memory_max_mb.saturating_sub(footprint.memory_max_mb);
        self.disk_mb = self.disk_mb.saturating_sub(footprint.disk_mb);
        footprint.cores.iter().for_each(|core| subtract(&mut self.cores, *core));
        for port in &footprint.ports {
            if let Some(ports) = self.ports.get_mut(&port.address) {
                subtract(ports, port.port);
                if ports.is_empty() {
                    self.ports.remove(&port.address);
                }
            }
        }
        for (key, id) in &footprint.devices {
            let Some(group) = self.devices.get_mut(key) else { continue };
            if let Some(count) = group.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    group.remove(id);
                }
            }
            if group.is_empty() {
                self.devices.remove(key);
            }
        }
    }

    /// Whether one more allocation fits; the first dimension that does not is told, in Nomad's order.
    pub fn fits(&self, capacity: &Capacity, more: &Footprint) -> Result<(), Misfit> {
        let twice = |cores: &[u16]| cores.windows(2).any(|pair| pair[0] == pair[1]);
        let free = |core: &u16| capacity.cores.binary_search(core).is_ok() && count(&self.cores, *core) == 0;
        if !more.cores.iter().all(free) || twice(&more.cores) {
            return Err(Misfit::Cores);
        }
        let over = |used: i64, more: i64, has: i64| more > 0 && used.saturating_add(more) > has;
        if over(self.cpu_shares, more.cpu_shares, capacity.cpu_shares) {
            return Err(Misfit::Cpu);
        }
        if over(self.memory_mb, more.memory_mb, capacity.memory_mb) {
            return Err(Misfit::Memory);
        }
        if over(self.disk_mb, more.disk_mb, capacity.disk_mb) {
            return Err(Misfit::Disk);
        }
        if capacity.max_allocations > 0 && u64::from(self.allocations) >= capacity.max_allocations {
            return Err(Misfit::Allocations);
        }
        for (at, (key, id)) in more.devices.iter().enumerate() {
            let there = capacity.devices.get(key).is_some_and(|group| group.contains(id));
            let taken = self.devices.get(key).is_some_and(|group| group.contains_key(id));
            if !there || taken || more.devices[..at].iter().any(|earlier| earlier == &more.devices[at]) {
                return Err(Misfit::Devices);
            }
        }
        for (at, port) in more.ports.iter().enumerate() {
            let again = |earlier: &HeldPort| earlier.port == port.port && earlier.address == port.address;
            let taken = self.port_holders(&port.address, port.port) > 0 || more.ports[..at].iter().any(again);
            if !port.shared && (taken || capacity.reserves_port(&port.address, port.port)) {
                return Err(Misfit::Port { port: port.port });
            }
        }
        Ok(())
    }

    /// Whether two allocations hold the same core, port or device.
    pub fn holds_something_twice(&self) -> bool {
        self.cores.iter().any(|entry| entry.1 > 1)
            || self.ports.values().flatten().any(|entry| entry.1 > 1)
            || self.devices.values().flat_map(BTreeMap::values).any(|count| *count > 1)
    }
    /// How many allocations hold a port of an address.
    pub fn port_holders(&self, address: &str, port: u16) -> u32 {
        self.ports.get(address).map_or(0, |ports| count(ports, port))
    }
    /// All held ports of an address, ascending.
    pub fn ports_of(&self, address: &str) -> impl Iterator<Item = u16> {
        self.ports.get(address).into_iter().flatten().map(|entry| entry.0)
    }
    /// All addresses with held ports.
    pub fn addresses(&self) -> impl Iterator<Item = &Text> {
        self.ports.keys()
    }
    /// Whether a core is reserved by an allocation.
    pub fn core_is_taken(&self, core: u16) -> bool {
        count(&self.cores, core) > 0
    }
    /// All cores that allocations reserve, ascending.
    pub fn cores(&self) -> impl Iterator<Item = u16> {
        self.cores.iter().map(|entry| entry.0)
    }
    /// Whether an instance of a device is held.
    pub fn device_is_taken(&self, key: &DeviceKey, id: &str) -> bool {
        self.devices.get(key).is_some_and(|group| group.contains_key(id))
    }
}

impl Capacity {
    /// Whether the node keeps a port of an address for itself.
    pub fn reserves_port(&self, address: &str, port: u16) -> bool {
        self.reserved_ports.contains(port)
            || self.reserved_ports_of.get(address).is_some_and(|ports| ports.contains(port))
    }
}
