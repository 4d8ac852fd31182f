//! The host's network devices and addresses, and which of them tasks' ports are given out on.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use nomadd_model::{HostNetworkInfo, NetworkResource, Node, NodeNetworkAddress, NodeNetworkResource};

use crate::config::{ClientConfig, Family, HostNetwork, Loopback};
use crate::context::Context;
use crate::fingerprint::{FingerprintError, read, set};

/// The alias of the addresses that a port gets when the job names no host network.
const DEFAULT_ALIAS: &str = "default";
/// In Mbit/s, when nothing says how fast a device is.
const FALLBACK_SPEED: i64 = 1000;

/// A network device that has addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address, or "".
    pub mac: String,
    /// Its addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
}

/// Adds devices, addresses and the node's own address.
pub fn fingerprint(node: &mut Node, config: &ClientConfig) -> Result<(), FingerprintError> {
    let mut interfaces = interfaces();
    let preferred = |address: &IpAddr| address.is_ipv6() == (config.preferred_family == Some(Family::V6));
    interfaces.iter_mut().for_each(|interface| interface.addresses.sort_by_key(|address| !preferred(address)));
    let chosen = choose(&interfaces, config)?;
    bridges(node, config);
    // The preferred family is first.
    if let Some(address) = chosen.and_then(|interface| interface.addresses.first()) {
        set(node, "unique.network.ip-address", address);
    }
    let default = chosen.map(|interface| interface.name.as_str()).unwrap_or_default();
    if let Some(interface) = chosen {
        let speed = speed(&interface.name, config);
        for address in &interface.addresses {
            node.node_resources.networks.push(NetworkResource {
                cidr: format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }),
                device: interface.name.clone(),
                ip: address.to_string(),
                mbits: speed,
                mode: "host".to_owned(),
                ..NetworkResource::default()
            });
        }
    }
    for interface in &interfaces {
        let addresses = aliased(interface, default, &config.host_networks);
        if !addresses.is_empty() {
            node.node_resources.node_networks.push(NodeNetworkResource {
                addresses,
                device: interface.name.clone(),
                mac_address: interface.mac.clone(),
                mode: "host".to_owned(),
                speed: speed(&interface.name, config),
            });
        }
    }
    host_networks(node, config)?;
    node.node_resources.min_dynamic_port = i64::from(config.min_dynamic_port);
    node.node_resources.max_dynamic_port = i64::from(config.max_dynamic_port);
    node.reserved_resources.networks.reserved_host_ports.clone_from(&config.reserved.ports);
    Ok(())
}

/// The kinds of networks that groups can have besides the host's: the bridge, and those that the operator keeps as files.
fn bridges(node: &mut Node, config: &ClientConfig) {
    let network = &config.network;
    let mut modes = Vec::new();
    if rustix::process::geteuid().is_root() && nomadd_network::fingerprint::has_bridges() {
        set(node, "nomad.bridge.hairpin_mode", network.bridge.hairpin == nomadd_network::Hairpin::On);
        modes.push("bridge".to_owned());
    }
    match nomadd_network::configuration::all(&network.configurations) {
        Ok((found, problems)) => {
            modes.extend(found.into_iter().map(|configuration| format!("cni/{}", configuration.name)));
            for problem in problems {
                tracing::warn!(error = crate::allocation::launch::chain(&problem), "a CNI network is left out");
            }
        }
        Err(error) => tracing::warn!(error = crate::allocation::launch::chain(&error), "no CNI networks"),
    }
    for mode in modes {
        node.node_resources.networks.push(NetworkResource { mode: mode.clone(), ..NetworkResource::default() });
        node.node_resources.node_networks.push(NodeNetworkResource { mode, ..NodeNetworkResource::default() });
    }
}

/// Finds out which CNI plugins there are, which takes them tens of milliseconds each, and has the node registered anew with that.
pub async fn plugins(context: Arc<Context>) {
    let versions = nomadd_network::fingerprint::plugins(&context.config.network.plugins).await;
    if versions.is_empty() {
        return;
    }
    context.change_node(|node| {
        for (name, version) in &versions {
            set(node, &format!("plugins.cni.version.{name}"), version);
        }
    });
    context.metadata.register_anew();
}

fn host_networks(node: &mut Node, config: &ClientConfig) -> Result<(), FingerprintError> {
    for (name, network) in &config.host_networks {
        let HostNetwork { cidr, interface, reserved_ports } = network;
        let known = node.node_resources.node_networks.iter();
        if !known.flat_map(|network| &network.addresses).any(|address| address.alias == *name) {
            let reason = format!("no device {interface:?} with an address in {cidr:?}");
            return Err(FingerprintError::HostNetwork { name: name.clone(), reason });
        }
        let (cidr, interface, reserved_ports) = (cidr.clone(), interface.clone(), reserved_ports.clone());
        let info = HostNetworkInfo { cidr, interface, name: name.clone(), reserved_ports };
        node.host_networks.insert(name.clone(), info);
    }
    Ok(())
}

/// The device whose addresses tasks get: the operator's, the loopback, or the one of the default route.
fn choose<'a>(interfaces: &'a [Interface], config: &ClientConfig) -> Result<Option<&'a Interface>, FingerprintError> {
    let named = |name: &str| interfaces.iter().find(|interface| interface.name == name);
    if let Some(name) = config.network_interface.as_deref().filter(|name| !name.is_empty()) {
        let known = || interfaces.iter().map(|interface| interface.name.clone()).collect();
        let missing = || FingerprintError::NoInterface { name: name.to_owned(), known: known() };
        return named(name).map(Some).ok_or_else(missing);
    }
    if config.loopback == Loopback::Use {
        return Ok(named("lo"));
    }
    let route = default_device(&read("/proc/net/route")).or_else(|| default_device6(&read("/proc/net/ipv6_route")));
    let routed = route.and_then(|name| named(&name));
    Ok(routed.or_else(|| interfaces.iter().find(|interface| interface.name != "lo")).or_else(|| named("lo")))
}

/// The aliases under which the addresses of a device are offered; addresses without one are not.
fn aliased(interface: &Interface, default: &str, networks: &BTreeMap<String, HostNetwork>) -> Vec<NodeNetworkAddress> {
    let mut offered = Vec::new();
    for address in &interface.addresses {
        let mut offer = |alias: &str, reserved_ports: &str| {
            offered.push(NodeNetworkAddress {
                address: address.to_string(),
                alias: alias.to_owned(),
                family: if address.is_ipv4() { "ipv4" } else { "ipv6" }.to_owned(),
                gateway: String::new(),
                reserved_ports: reserved_ports.to_owned(),
            });
        };
        if interface.name == default {
            offer(DEFAULT_ALIAS, "");
        }
        for (name, HostNetwork { cidr, interface: device, reserved_ports }) in networks {
            let in_range = cidr.is_empty() || contains(cidr, *address);
            let on_device = device.is_empty() || *device == interface.name;
            if in_range && on_device && !(cidr.is_empty() && device.is_empty()) {
                offer(name, reserved_ports);
            }
        }
    }
    offered
}

/// Whether an address is in a range such as `10.0.0.0/8`.
fn contains(cidr: &str, address: IpAddr) -> bool {
    let (network, length) = cidr.split_once('/').unwrap_or((cidr, "128"));
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0);
            u32::from(network) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0);
            u128::from(network) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

fn speed(device: &str, config: &ClientConfig) -> i64 {
    if config.network_speed > 0 {
        return config.network_speed;
    }
    let known = read(&format!("/sys/class/net/{device}/speed")).parse::<i64>();
    known.ok().filter(|speed| *speed > 0).unwrap_or(FALLBACK_SPEED)
}

/// The device of the IPv4 default route with the lowest metric, from /proc/net/route.
fn default_device(routes: &str) -> Option<String> {
    let routes = routes.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [device, destination, _, _, _, _, metric, mask, ..] = words[..] else { return None };
        let metric = metric.parse::<u64>().ok()?;
        (destination == "00000000" && mask == "00000000").then(|| (metric, device.to_owned()))
    });
    routes.min().map(|(_, device)| device)
}

/// The device of the IPv6 default route, from /proc/net/ipv6_route.
fn default_device6(routes: &str) -> Option<String> {
    routes.lines().find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (destination, length, device) = (words.first()?, words.get(1)?, words.last()?);
        let default = destination.bytes().all(|byte| byte == b'0') && *length == "00" && *device != "lo";
        default.then(|| (*device).to_owned())
    })
}

/// The host's devices that are up and have addresses that others can use.
fn interfaces() -> Vec<Interface> {
    use nix::net::if_::InterfaceFlags;
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    let Ok(entries) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    for entry in entries.filter(|entry| entry.flags.contains(InterfaceFlags::IFF_UP)) {
        let Some(address) = entry.address else { continue };
        let address = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (_, Some(v6)) => IpAddr::V6(v6.ip()),
            _ => continue,
        };
        if is_usable(address) {
            let name = entry.interface_name;
            let interface =
                found.entry(name.clone()).or_insert_with(|| Interface { mac: mac(&name), name, addresses: Vec::new() });
            interface.addresses.push(address);
        }
    }
    let mut interfaces: Vec<Interface> = found.into_values().collect();
    interfaces.iter_mut().for_each(|interface| interface.addresses.sort());
    interfaces
}

/// Link-local addresses mean nothing to others.
fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_link_local() && address != Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(address) => !address.is_unicast_link_local() && address != Ipv6Addr::UNSPECIFIED,
    }
}

fn mac(device: &str) -> String {
    let mac = fs::read_to_string(format!("/sys/class/net/{device}/address")).unwrap_or_default();
    let mac = mac.trim();
    if mac == "00:00:00:00:00:00" { String::new() } else { mac.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_names_the_device() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth1\t00000000\t0100000A\t0003\t0\t0\t200\t00000000\t0\t0\t0\n\
            eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n";
        assert_eq!(default_device(routes).as_deref(), Some("eth0"));
        assert_eq!(default_device("Iface\n"), None);
        let zero = "0".repeat(32);
        let routes = format!("{zero} 00 {zero} 00 fe80 00000400 0 0 00000003 eth2\n");
        assert_eq!(default_device6(&routes).as_deref(), Some("eth2"));
    }

    #[test]
    fn an_address_is_offered_under_every_name_that_fits() {
        let interface = Interface {
            name: "eth0".to_owned(),
            mac: String::new(),
            addresses: vec!["10.1.2.3".parse().unwrap(), "fd00::1".parse().unwrap()],
        };
        let network = |cidr: &str, interface: &str| HostNetwork {
            cidr: cidr.to_owned(),
            interface: interface.to_owned(),
            reserved_ports: String::new(),
        };
        let networks = [
            ("inner".to_owned(), network("10.0.0.0/8", "")),
            ("other".to_owned(), network("", "eth1")),
            ("six".to_owned(), network("fd00::/8", "eth0")),
        ];
        let offered = aliased(&interface, "eth0", &networks.into());
        let pairs: Vec<_> = offered.iter().map(|offer| format!("{}={}", offer.alias, offer.address)).collect();
        assert_eq!(pairs, ["default=10.1.2.3", "inner=10.1.2.3", "default=fd00::1", "six=fd00::1"]);
    }

    #[test]
    fn ranges_hold_their_addresses() {
        for (range, address, holds) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("10.0.0.0/8", "fd00::1", false),
            ("nonsense", "10.0.0.1", false),
        ] {
            assert_eq!(contains(range, address.parse().unwrap()), holds, "{range} {address}");
        }
    }
}
