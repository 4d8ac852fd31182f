//! Ports: which a group gets on a node, address by address.
//!
//! Static ports go to the first address of their host network where they are free, dynamic ones are drawn at random
//! from the node's range. Called by `offer`; the plan's re-check repeats the collision test.

use std::collections::BTreeSet;

use nomadd_model::{AllocatedResources, NetworkResource, Node, NodeNetworkAddress, Port, PortMapping, Text};

use crate::ids::Random;

/// Nomad's range for dynamic ports, where a node does not say otherwise.
const DYNAMIC_RANGE: (i64, i64) = (20_000, 32_000);
const RANDOM_TRIES: usize = 20;

/// The ports of one node.
#[derive(Debug, Clone, Default)]
pub struct PortTable {
    addresses: Vec<Address>,
    /// The address that the network of an allocation shows.
    first_host_address: String,
    dynamic: (i64, i64),
    reserved: Vec<(i64, i64)>,
}

#[derive(Debug, Clone, Default)]
struct Address {
    ip: Text,
    alias: String,
    device: String,
    reserved: Vec<(i64, i64)>,
    used: BTreeSet<i64>,
}

/// Why a node has no ports for a group; the text is Nomad's dimension without its `network: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// A static port is taken on every address.
    #[error("reserved port collision {label}={port}")]
    Collision {
        /// The port's label.
        label: String,
        /// Its number.
        port: i64,
    },
    /// No such port.
    #[error("invalid port {0} (out of range)")]
    OutOfRange(i64),
    /// The node has no address of the host network.
    #[error("no addresses available for {0} network")]
    NoAddress(String),
    /// Every dynamic port is taken.
    #[error("dynamic port selection failed")]
    Exhausted,
}

impl PortTable {
    /// The ports that a node has and keeps for itself.
    pub fn new(node: &Node) -> Self {
        let resources = &node.node_resources;
        let mut addresses = Vec::new();
        for network in &resources.node_networks {
            for NodeNetworkAddress { address, alias, reserved_ports, .. } in &network.addresses {
                addresses.push(Address {
                    ip: Text::from(address),
                    alias: alias.clone(),
                    device: network.device.clone(),
                    reserved: parse_ranges(reserved_ports),
                    used: BTreeSet::new(),
                });
            }
        }
        // Nodes that only know the older form have one unnamed network with an address.
        if addresses.is_empty() {
            for network in resources.networks.iter().filter(|network| !network.ip.is_empty()) {
                addresses.push(Address {
                    ip: Text::from(&network.ip),
                    alias: "default".to_owned(),
                    device: network.device.clone(),
                    ..Address::default()
                });
            }
        }
        let first_host_address = resources
            .node_networks
            .iter()
            .filter(|network| network.mode.is_empty() || network.mode == "host")
            .find_map(|network| network.addresses.first())
            .map(|address| address.address.clone())
            .or_else(|| addresses.first().map(|address| address.ip.to_string()))
            .unwrap_or_default();
        let (low, high) = (resources.min_dynamic_port, resources.max_dynamic_port);
        Self {
            addresses,
            first_host_address,
            dynamic: if low > 0 && high >= low { (low, high) } else { DYNAMIC_RANGE },
            reserved: parse_ranges(&node.reserved_resources.networks.reserved_host_ports),
        }
    }

    /// The device of an address, as the networks of tasks name it.
    pub fn device_of(&self, ip: &str) -> String {
        let found = self.addresses.iter().find(|address| &*address.ip == ip);
        found.map(|address| address.device.clone()).unwrap_or_default()
    }

    /// Marks the ports of an allocation as taken.
    pub fn add(&mut self, resources: &AllocatedResources) {
        for PortMapping { host_ip, value, .. } in &resources.shared.ports {
            self.take(host_ip, *value);
        }
        for network in resources.tasks.values().flat_map(|task| &task.networks) {
            for port in network.reserved_ports.iter().chain(&network.dynamic_ports) {
                self.take(&network.ip, port.value);
            }
        }
    }

    fn take(&mut self, ip: &str, port: i64) {
        for address in self.addresses.iter_mut().filter(|address| &*address.ip == ip) {
            address.used.insert(port);
        }
    }

    fn is_free(&self, address: &Address, port: i64) -> bool {
        !address.used.contains(&port)
            && !self.reserved.iter().chain(&address.reserved).any(|(low, high)| (*low..=*high).contains(&port))
    }

    /// The ports of a network ask, taken from the table. On an error the table is as before.
    pub fn assign(
        &mut self,
        ask: &NetworkResource,
        random: &mut Random,
    ) -> Result<(NetworkResource, Vec<PortMapping>), PortError> {
        let mut network = ask.clone();
        network.ip.clone_from(&self.first_host_address);
        let mut taken: Vec<(usize, i64)> = Vec::new();
        let mut mappings = Vec::new();
        let result = (|| {
            for port in &mut network.reserved_ports {
                let at = self.find_static(port)?;
                self.give(at, port, &mut taken, &mut mappings);
            }
            for port in &mut network.dynamic_ports {
                let (at, value) = self.find_dynamic(port, random)?;
                port.value = value;
                self.give(at, port, &mut taken, &mut mappings);
            }
            Ok(())
        })();
        if let Err(error) = result {
            for (at, port) in taken {
                if let Some(address) = self.addresses.get_mut(at) {
                    address.used.remove(&port);
                }
            }
            return Err(error);
        }
        Ok((network, mappings))
    }

    fn give(&mut self, at: usize, port: &mut Port, taken: &mut Vec<(usize, i64)>, mappings: &mut Vec<PortMapping>) {
        let Some(address) = self.addresses.get_mut(at) else { return };
        if address.used.insert(port.value) {
            taken.push((at, port.value));
        }
        if port.to == -1 {
            port.to = port.value;
        }
        mappings.push(PortMapping {
            host_ip: address.ip.clone(),
            label: Text::from(&port.label),
            to: port.to,
            value: port.value,
        });
    }

    fn addresses_of(&self, port: &Port) -> Result<Vec<usize>, PortError> {
        let alias = if port.host_network.is_empty() { "default" } else { &port.host_network };
        let found: Vec<usize> = self
            .addresses
            .iter()
            .enumerate()
            .filter(|(_, address)| address.alias == alias || alias == "default" && address.alias.is_empty())
            .map(|(at, _)| at)
            .collect();
        if found.is_empty() { Err(PortError::NoAddress(alias.to_owned())) } else { Ok(found) }
    }

    fn find_static(&self, port: &Port) -> Result<usize, PortError> {
        let addresses = self.addresses_of(port)?;
        if !(0..=65_535).contains(&port.value) {
            return Err(PortError::OutOfRange(port.value));
        }
        addresses
            .into_iter()
            .find(|at| {
                port.ignore_collision
                    || self.addresses.get(*at).is_some_and(|address| self.is_free(address, port.value))
            })
            .ok_or_else(|| PortError::Collision { label: port.label.clone(), port: port.value })
    }

    fn find_dynamic(&self, port: &Port, random: &mut Random) -> Result<(usize, i64), PortError> {
        let (low, high) = self.dynamic;
        for at in self.addresses_of(port)? {
            let Some(address) = self.addresses.get(at) else { continue };
            for _ in 0..RANDOM_TRIES {
                let value = low + random.below((high - low).max(1) as u64) as i64;
                if self.is_free(address, value) {
                    return Ok((at, value));
                }
            }
            let free: Vec<i64> = (low..=high).filter(|value| self.is_free(address, *value)).collect();
            if let Some(value) = free.get(random.below(free.len() as u64) as usize) {
                return Ok((at, *value));
            }
        }
        Err(PortError::Exhausted)
    }
}

/// Reads `22,80,8000-8100`; what is no port is skipped (the agent's configuration refuses it).
fn parse_ranges(text: &str) -> Vec<(i64, i64)> {
    text.split(',')
        .filter_map(|part| {
            let part = part.trim();
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use nomadd_model::NodeNetworkResource;

    use super::*;

    fn node(addresses: &[(&str, &str)]) -> Node {
        let mut node = Node::default();
        node.node_resources.node_networks = vec![NodeNetworkResource {
            mode: "host".into(),
            device: "eth0".into(),
            addresses: addresses
                .iter()
                .map(|(ip, alias)| NodeNetworkAddress {
                    address: (*ip).into(),
                    alias: (*alias).into(),
                    ..NodeNetworkAddress::default()
                })
                .collect(),
            ..NodeNetworkResource::default()
        }];
        node
    }

    fn fixed(label: &str, value: i64, host_network: &str) -> NetworkResource {
        let port = Port { label: label.into(), value, host_network: host_network.into(), ..Port::default() };
        NetworkResource { reserved_ports: vec![port], ..NetworkResource::default() }
    }

    fn random() -> Random {
        Random::new(1, nomadd_model::EvaluationId::NONE)
    }

    #[test]
    fn a_static_port_fits_once_per_address() {
        let mut table = PortTable::new(&node(&[("10.0.0.1", "default"), ("::1", "default")]));
        let ask = fixed("http", 8080, "");
        let (_, first) = table.assign(&ask, &mut random()).unwrap();
        assert_eq!(&*first[0].host_ip, "10.0.0.1");
        let (_, second) = table.assign(&ask, &mut random()).unwrap();
        assert_eq!(&*second[0].host_ip, "::1");
        let error = table.assign(&ask, &mut random()).unwrap_err();
        assert_eq!(error.to_string(), "reserved port collision http=8080");
    }

    #[test]
    fn a_host_network_decides_the_address_and_must_exist() {
        let mut table = PortTable::new(&node(&[("10.0.0.1", "default"), ("192.168.0.1", "private")]));
        let (network, ports) = table.assign(&fixed("db", 5432, "private"), &mut random()).unwrap();
        assert_eq!(&*ports[0].host_ip, "192.168.0.1");
        assert_eq!(network.ip, "10.0.0.1");
        let error = table.assign(&fixed("db", 5432, "public"), &mut random()).unwrap_err();
        assert_eq!(error.to_string(), "no addresses available for public network");
        let error = table.assign(&fixed("db", 70_000, ""), &mut random()).unwrap_err();
        assert_eq!(error.to_string(), "invalid port 70000 (out of range)");
    }

    #[test]
    fn dynamic_ports_fill_the_whole_range_and_then_fail_without_a_trace() {
        let mut node = node(&[("10.0.0.1", "default")]);
        node.node_resources.min_dynamic_port = 20_000;
        node.node_resources.max_dynamic_port = 20_003;
        node.reserved_resources.networks.reserved_host_ports = "22,20001-20001".into();
        let mut table = PortTable::new(&node);
        let port = Port { label: "p".into(), to: -1, ..Port::default() };
        let ask = NetworkResource { dynamic_ports: vec![port.clone()], ..NetworkResource::default() };
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let (network, ports) = table.assign(&ask, &mut random()).unwrap();
            assert_eq!((network.dynamic_ports[0].value, network.dynamic_ports[0].to), (ports[0].value, ports[0].value));
            seen.insert(ports[0].value);
        }
        assert_eq!(seen, BTreeSet::from([20_000, 20_002, 20_003]));
        assert_eq!(table.assign(&ask, &mut random()).unwrap_err().to_string(), "dynamic port selection failed");
    }
}
