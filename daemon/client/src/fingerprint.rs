//! What a node is and has. One file per kind of fact; all of it takes a few milliseconds, because `agent -dev` waits for it.
//!
//! A fingerprint reads the host (mostly /proc and /sys) and adds to the node; what cannot be found out is left out.

mod cgroups;
mod cpu;
mod drivers;
mod host;
mod memory;
mod network;
mod signals;
pub(crate) mod storage;

use nomadd_driver::Registry;
use nomadd_model::{HostVolumeInfo, Node, NodeId, NodeStatus, Text, Time};

use crate::config::ClientConfig;

pub use network::{Interface, plugins};

/// Why what a host has cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// The operator names a device that is not there.
    #[error("network_interface {name:?} does not exist on this host or has no address; one of {} is expected", known.join(", "))]
    NoInterface {
        /// The name.
        name: String,
        /// What is there.
        known: Vec<String>,
    },
    /// The operator names a network that is not there.
    #[error("host_network {name:?} has no address on this host: {reason}")]
    HostNetwork {
        /// The network's name.
        name: String,
        /// What was looked for.
        reason: String,
    },
    /// A list of cores is none.
    #[error("{key} = {value:?} is not a list of cores like 0-2,7 of this host's")]
    Cores {
        /// The key of the configuration.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// A volume's folder is missing.
    #[error("host_volume {name:?}: there is no folder {}", path.display())]
    HostVolume {
        /// The volume's name.
        name: String,
        /// Where it should be.
        path: std::path::PathBuf,
    },
}

/// The node, before it is registered.
pub fn node(config: &ClientConfig, drivers: &Registry, id: NodeId, now: Time) -> Result<Node, FingerprintError> {
    let mut node = Node {
        id,
        datacenter: config.datacenter.as_str().into(),
        node_class: config.node_class.as_str().into(),
        node_pool: config.node_pool.as_str().into(),
        node_max_allocs: config.node_max_allocs,
        http_addr: config.http_address.clone(),
        cgroup_parent: config.cgroup_parent.clone(),
        status: NodeStatus::Ready,
        ..Node::default()
    };
    node.meta = config.meta.iter().map(|(key, value)| (Text::from(key), Text::from(value))).collect();
    // Job files of our time ask for it; the catalog itself is a room to come, which the job's warnings say.
    set(&mut node, "nomad.service_discovery", true);
    for (name, value) in &config.attributes {
        set(&mut node, name, value);
    }
    if !config.http_address.is_empty() {
        set(&mut node, "unique.advertise.address", &config.http_address);
    }
    host::fingerprint(&mut node, config);
    cpu::fingerprint(&mut node, config)?;
    memory::fingerprint(&mut node, config);
    storage::fingerprint(&mut node, config);
    network::fingerprint(&mut node, config)?;
    cgroups::fingerprint(&mut node);
    signals::fingerprint(&mut node);
    drivers::fingerprint(&mut node, drivers, now);
    volumes(&mut node, config)?;
    Ok(node)
}

/// Sets an attribute; nothing for an empty value.
fn set(node: &mut Node, name: &str, value: impl ToString) {
    let value = value.to_string();
    if !value.is_empty() {
        node.attributes.insert(Text::from(name), Text::from(value));
    }
}

fn volumes(node: &mut Node, config: &ClientConfig) -> Result<(), FingerprintError> {
    for (name, volume) in &config.host_volumes {
        if !volume.path.is_dir() {
            return Err(FingerprintError::HostVolume { name: name.clone(), path: volume.path.clone() });
        }
        let path = volume.path.to_string_lossy().into_owned();
        let info = HostVolumeInfo { id: String::new(), name: name.clone(), path, read_only: volume.read_only };
        node.host_volumes.insert(name.clone(), info);
    }
    Ok(())
}

/// The text of a small file of the kernel, trimmed; "" where there is none.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use nomadd_driver::DriverConfig;

    use super::*;
    use crate::config::Reserved;

    fn fingerprint(config: &ClientConfig) -> Result<Node, FingerprintError> {
        let drivers = Registry::new(&DriverConfig::default()).unwrap();
        node(config, &drivers, NodeId::from_random([1; 16]), Time(5))
    }

    #[test]
    fn this_host_is_known_with_nomads_attribute_names() {
        let config = ClientConfig::dev(std::env::temp_dir());
        let node = fingerprint(&config).unwrap();
        for name in [
            "cpu.arch",
            "cpu.numcores",
            "cpu.totalcompute",
            "cpu.usablecompute",
            "cpu.reservablecores",
            "memory.totalbytes",
            "kernel.name",
            "kernel.version",
            "kernel.arch",
            "os.name",
            "os.version",
            "os.signals",
            "unique.hostname",
            "unique.storage.bytestotal",
            "unique.storage.bytesfree",
            "unique.storage.volume",
            "unique.network.ip-address",
            "numa.node.count",
        ] {
            assert!(node.attributes.contains_key(name), "{name}: {:?}", node.attributes);
        }
        let resources = &node.node_resources;
        assert!(resources.cpu.cpu_shares > 0 && resources.cpu.total_cpu_cores > 0);
        assert!(resources.memory.memory_mb > 0 && resources.disk.disk_mb > 0);
        let host = resources.node_networks.iter().find(|network| network.mode == "host").unwrap();
        assert_eq!((host.device.as_str(), host.addresses[0].address.as_str()), ("lo", "127.0.0.1"));
        assert_eq!(host.addresses[0].alias, "default");
    }

    #[test]
    fn the_operators_figures_win() {
        let mut config = ClientConfig::dev(std::env::temp_dir());
        config.cpu_total_compute = Some(1234);
        config.memory_total_mb = Some(99);
        config.disk_total_mb = Some(77);
        config.reserved = Reserved { cpu: 34, memory_mb: 9, ports: "22,80".to_owned(), ..Reserved::default() };
        let node = fingerprint(&config).unwrap();
        let resources = &node.node_resources;
        assert_eq!((resources.cpu.cpu_shares, resources.memory.memory_mb, resources.disk.disk_mb), (1234, 99, 77));
        assert_eq!(&*node.attributes["cpu.usablecompute"], "1200");
        assert_eq!(node.reserved_resources.networks.reserved_host_ports, "22,80");
    }

    #[test]
    fn a_device_volume_or_core_that_is_not_there_is_named() {
        let text = |change: fn(&mut ClientConfig)| {
            let mut config = ClientConfig::dev(std::env::temp_dir());
            change(&mut config);
            fingerprint(&config).unwrap_err().to_string()
        };
        assert!(text(|config| config.network_interface = Some("nope0".to_owned())).contains("\"nope0\""));
        assert!(text(|config| config.reserved.cores = "9999".to_owned()).contains("\"9999\""));
        let volume = |config: &mut ClientConfig| {
            let volume = crate::config::HostVolume { path: "/no/such/folder".into(), read_only: false };
            config.host_volumes.insert("data".to_owned(), volume);
        };
        assert!(text(volume).contains("/no/such/folder"));
    }
}
