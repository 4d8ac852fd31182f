//! Who holds a port of the host: programs that listen, whoever started them. Looked at before a task is told that a port is its.
//!
//! TCP only: that another program has bound the same number for UDP does not keep a task from listening for TCP, and which of the
//! two a task wants nobody says.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A program that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Where.
    pub address: SocketAddr,
    /// Who, if /proc tells: process id and name.
    pub process: Option<(u32, String)>,
    /// The allocation that its environment names, or "".
    pub allocation: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.process {
            Some((pid, name)) => write!(f, "process {pid} ({name}) listens on {}", self.address)?,
            None => write!(f, "another program listens on {}", self.address)?,
        }
        if self.allocation.is_empty() { Ok(()) } else { write!(f, " (allocation {})", self.allocation) }
    }
}

/// The listening sockets of this network namespace: one look for any number of ports.
#[derive(Debug, Default)]
pub struct Listeners(Vec<(SocketAddr, u64)>);

impl Listeners {
    /// Looks.
    pub fn read() -> Self {
        // Of the thread, not the process: tests live in a namespace of their own.
        let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/thread-self/net/{name}")));
        Self(tables.iter().flatten().flat_map(|table| table.lines().filter_map(listening)).collect())
    }

    /// Who would be in the way of a listener at this address and port.
    pub fn holder(&self, ip: IpAddr, port: u16) -> Option<Holder> {
        let in_the_way = |(address, _): &&(SocketAddr, u64)| {
            let other = address.ip();
            // An IPv6 socket on all addresses takes IPv4 as well, unless it says otherwise: it is believed to.
            let all = other.is_unspecified() && (other.is_ipv6() || ip.is_ipv4());
            address.port() == port && (all || other.to_canonical() == ip.to_canonical() || ip.is_unspecified())
        };
        let (address, inode) = self.0.iter().find(in_the_way)?;
        let pid = owner(*inode);
        let process = pid.map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            (pid, name.trim().to_owned())
        });
        Some(Holder { address: *address, process, allocation: pid.map(allocation).unwrap_or_default() })
    }
}

/// A line of /proc/net/tcp or tcp6 that is about a listening socket: its address and inode.
fn listening(line: &str) -> Option<(SocketAddr, u64)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, _remote, state) = (words.next()?, words.next()?, words.next()?);
    if state != "0A" {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Each group of eight digits is a word in the byte order of the machine.
    let word = |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))
        }
        _ => return None,
    };
    let inode = words.nth(5)?.parse().ok()?;
    Some((SocketAddr::new(ip, port), inode))
}

/// The process that has a socket open; the kernel keeps no way from one to the other, so all are asked.
fn owner(inode: u64) -> Option<u32> {
    let wanted = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let mut links = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        if links.any(|link| link.as_os_str() == wanted.as_str()) {
            return Some(pid);
        }
    }
    None
}

/// The allocation that a process was started for.
fn allocation(pid: u32) -> String {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let found = environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"NOMAD_ALLOC_ID="));
    found.map(|id| String::from_utf8_lossy(id).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x";
        assert_eq!(listening(line), Some(("127.0.0.1:8080".parse().unwrap(), 4711)));
        let connected = line.replace(" 0A ", " 01 ");
        assert_eq!(listening(&connected), None);
        let six = line.replace("0100007F:1F90", "00000000000000000000000001000000:0050");
        assert_eq!(listening(&six), Some(("[::1]:80".parse().unwrap(), 4711)));
        assert_eq!(listening("  sl  local_address rem_address   st"), None);
    }

    #[test]
    fn a_listener_on_all_addresses_is_in_the_way_of_each() {
        let table = |address: &str| Listeners(vec![(address.parse().unwrap(), 0)]);
        for (listener, ip, expected) in [
            ("0.0.0.0:80", "10.0.0.1", true),
            ("[::]:80", "10.0.0.1", true),
            ("[::]:80", "fd00::1", true),
            ("0.0.0.0:80", "fd00::1", false),
            ("10.0.0.2:80", "10.0.0.1", false),
            ("10.0.0.2:80", "0.0.0.0", true),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1", true),
            ("10.0.0.1:81", "10.0.0.1", false),
        ] {
            let found = table(listener).holder(ip.parse().unwrap(), 80).is_some();
            assert_eq!(found, expected, "{listener} {ip}");
        }
    }

    #[test]
    fn the_process_that_listens_is_named() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let holder = Listeners::read().holder(address.ip(), address.port()).unwrap();
        assert_eq!(holder.process.as_ref().unwrap().0, std::process::id());
        assert!(holder.to_string().contains(&format!("process {} (", std::process::id())), "{holder}");
        drop(socket);
        assert_eq!(Listeners::read().holder(address.ip(), address.port()), None);
    }
}
