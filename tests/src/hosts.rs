//! Hosts of a test on this machine: network namespaces that are joined by a bridge, and whose cable can be pulled.
//!
//! Needs root. Only the network is the host's own; files and processes are this machine's.

use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

/// Networks are not used twice by the tests of one process.
static LAST: AtomicU16 = AtomicU16::new(0);

/// A network of hosts; it goes with this.
pub struct Network {
    bridge: String,
    subnet: String,
    hosts: Vec<Host>,
}

/// One host.
#[derive(Clone, Debug)]
pub struct Host {
    /// The namespace, below `/run/netns`.
    pub namespace: String,
    /// Its address, which this machine reaches, too.
    pub address: String,
    cable: String,
}

fn ip(arguments: &str) -> bool {
    let ran = Command::new("ip").args(arguments.split(' ')).output();
    ran.is_ok_and(|ran| ran.status.success())
}

fn must(arguments: &str) {
    assert!(ip(arguments), "ip {arguments}: failed; network namespaces need root");
}

impl Network {
    /// A network without hosts.
    pub fn new() -> Self {
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let id = std::process::id();
        let subnet = format!("10.{}.{}", 64 + id % 128, (id / 128 + u32::from(number) * 7) % 250);
        let bridge = format!("nmb{id}-{number}");
        must(&format!("link add {bridge} type bridge"));
        must(&format!("addr add {subnet}.254/24 dev {bridge}"));
        must(&format!("link set {bridge} up"));
        Self { bridge, subnet, hosts: Vec::new() }
    }

    /// One more host.
    pub fn host(&mut self) -> Host {
        let number = self.hosts.len() + 1;
        let namespace = format!("{}-{number}", self.bridge);
        let (cable, plug) = (format!("{}h{number}", self.bridge), format!("{}p{number}", self.bridge));
        let address = format!("{}.{number}", self.subnet);
        must(&format!("netns add {namespace}"));
        must(&format!("link add {cable} type veth peer name {plug}"));
        must(&format!("link set {plug} netns {namespace}"));
        must(&format!("link set {cable} master {} up", self.bridge));
        must(&format!("-n {namespace} link set lo up"));
        must(&format!("-n {namespace} link set {plug} name eth0"));
        must(&format!("-n {namespace} addr add {address}/24 dev eth0"));
        must(&format!("-n {namespace} link set eth0 up"));
        let host = Host { namespace, address, cable };
        self.hosts.push(host.clone());
        host
    }

    /// Nothing comes from the host or reaches it any more.
    pub fn pull(&self, host: &Host) {
        must(&format!("link set {} down", host.cable));
    }

    /// It is back.
    pub fn plug(&self, host: &Host) {
        must(&format!("link set {} up", host.cable));
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            ip(&format!("netns del {}", host.namespace));
            ip(&format!("link del {}", host.cable));
        }
        ip(&format!("link del {}", self.bridge));
    }
}
