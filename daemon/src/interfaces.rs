//! The interfaces of this host, for addresses in the configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nomadd_config::{Interface, Interfaces};

/// Reads the interfaces; a host that does not tell has none.
pub fn read() -> Interfaces {
    let default_routes = default_routes();
    let mut interfaces: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in getifaddrs().into_iter().flatten() {
        let interface = interfaces.entry(entry.interface_name.clone()).or_insert_with(|| Interface {
            default_route: default_routes.contains(&entry.interface_name),
            name: entry.interface_name.clone(),
            addresses: Vec::new(),
            up: entry.flags.contains(InterfaceFlags::IFF_UP),
            loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
        });
        let address = entry.address.as_ref().and_then(address_of);
        let prefix = entry.netmask.as_ref().and_then(address_of).map_or(0, prefix_length);
        if let Some(address) = address {
            interface.addresses.push((address, prefix));
        }
    }
    Interfaces(interfaces.into_values().collect())
}

fn address_of(storage: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
        (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
        (_, Some(v6)) => Some(IpAddr::V6(v6.ip())),
        _ => None,
    }
}

fn prefix_length(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(v4) => u32::from(v4).count_ones(),
        IpAddr::V6(v6) => u128::from(v6).count_ones(),
    };
    u8::try_from(ones).unwrap_or(u8::MAX)
}

/// The interfaces with a default route, from the kernel's table.
fn default_routes() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let mut names = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [name, "00000000", ..] = fields.as_slice() {
            names.push((*name).to_owned());
        }
    }
    names
}
