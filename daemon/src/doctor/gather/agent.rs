//! What the agent's configuration leads to: its ports and who holds them, its folders, files that others should not read.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nomadd_config::Config;
use nomadd_network::ports::Listeners;

use crate::doctor::facts::{Holder, Limit, Port};

/// What an agent's process is called.
const AGENT: &str = "nomadd";

/// The agent's ports, and the agent's process if it runs.
pub fn ports(config: &Config) -> (Vec<Port>, Option<u32>) {
    let listeners = Listeners::read();
    let mut pid = None;
    let mut look = |name: &str, addresses: &[SocketAddr]| -> Vec<Port> {
        let one = |address: &SocketAddr| {
            let holder = listeners.holder(address.ip(), address.port()).map(|holder| {
                let own = holder.process.as_ref().filter(|(_, program)| program == AGENT);
                pid = pid.or(own.map(|(id, _)| *id));
                Holder { text: holder.to_string(), agent: own.is_some() }
            });
            Port { name: name.to_owned(), address: address.to_string(), holder }
        };
        addresses.iter().map(one).collect()
    };
    let mut ports = look("http", &config.http);
    if config.server.enabled {
        ports.extend(look("rpc", &config.rpc));
        ports.extend(look("serf", &config.serf));
    }
    (ports, pid)
}

/// How many files a process may open; without one this process.
pub fn open_files(pid: Option<u32>) -> Limit {
    let process = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let text = fs::read_to_string(format!("/proc/{process}/limits")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    let soft = line.split_ascii_whitespace().next().unwrap_or_default();
    let soft = if soft == "unlimited" { u64::MAX } else { soft.parse().unwrap_or(0) };
    Limit { soft, of_agent: pid.is_some() && soft > 0 }
}

/// The folders that the agent writes to.
pub fn folders(config: &Config) -> BTreeSet<PathBuf> {
    let own = [
        config.data_dir.clone(),
        config.server.data_dir.clone().filter(|_| config.server.enabled),
        config.client.state_dir.clone().filter(|_| config.client.enabled),
        config.client.alloc_dir.clone().filter(|_| config.client.enabled),
    ];
    own.into_iter().flatten().collect()
}

/// Files with secrets that every user may read.
pub fn exposed(config: &Config, files: &[PathBuf]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let is_open = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mode = fs::metadata(&path).map(|metadata| metadata.permissions().mode()).unwrap_or(0);
        // A closed folder keeps what is in it.
        let reached = path
            .ancestors()
            .skip(1)
            .all(|folder| fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0));
        mode & 0o004 != 0 && reached
    };
    if let Some(key) = config.tls.key_file.as_ref().filter(|path| is_open(path)) {
        found.push((key.clone(), "the private key of tls".to_owned()));
    }
    if !config.server.encrypt.0.is_empty() {
        let sources = nomadd_config::read(files).unwrap_or_default();
        // As text: which file sets it is not kept.
        let holding = sources.iter().filter(|source| source.text.contains(&config.server.encrypt.0));
        let open = holding.map(|source| PathBuf::from(&source.name)).filter(|path| is_open(path));
        found.extend(open.map(|path| (path, "server.encrypt, the key of gossip".to_owned())));
    }
    found
}

/// Folders that the configuration names and that are not there.
pub fn absent(config: &Config) -> Vec<(String, PathBuf)> {
    let volumes = config.client.host_volumes.iter().filter(|_| config.client.enabled);
    let missing = volumes.filter(|(_, volume)| !volume.path.is_dir());
    missing.map(|(name, volume)| (format!("host_volume {name:?}"), volume.path.clone())).collect()
}
