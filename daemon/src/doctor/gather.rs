//! Looks at the host. Everything that takes time has a limit; nothing here judges.

mod agent;
mod disk;
mod host;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nomadd_config::{Config, Mode};

use crate::doctor::facts::{Configuration, Facts};
use crate::interfaces;

/// What an agent is configured with when nobody says anything: ports and folders of the packages.
const DEFAULTS: &str = "data_dir = \"/var/lib/nomadd\"\nserver {\n  enabled = true\n}\nclient {\n  enabled = true\n}\n";

/// Looks at everything; `files` are the agent's configuration.
pub fn everything(files: &[PathBuf]) -> Facts {
    let (config, configuration) = configure(files);
    let network = config.as_ref().map(|config| config.client.network.clone());
    let folders = network.map(|network| network.cni_path).unwrap_or_default();
    let mut facts = Facts {
        family: host::family(),
        root: rustix::process::geteuid().is_root(),
        kernel: host::kernel(),
        overlay: host::has_overlay(),
        seccomp: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
        bridge: nomadd_network::fingerprint::has_bridges(),
        cgroups: host::cgroups(),
        init: host::init(),
        bus: host::bus(),
        missing_plugins: host::missing_plugins(&folders),
        plugin_folders: folders,
        firewall: host::firewall(),
        synchronized: host::synchronized(),
        ahead_seconds: 0,
        disks: BTreeMap::new(),
        ports: Vec::new(),
        open_files: agent::open_files(None),
        configuration,
        exposed: Vec::new(),
        absent: Vec::new(),
    };
    if let Some(config) = &config {
        let (ports, pid) = agent::ports(config);
        facts.ports = ports;
        facts.open_files = agent::open_files(pid);
        facts.exposed = agent::exposed(config, files);
        facts.absent = agent::absent(config);
        let folders = agent::folders(config);
        facts.ahead_seconds = folders.iter().map(|folder| disk::ahead(folder)).max().unwrap_or_default();
        facts.disks = folders.into_iter().map(|folder| (folder.clone(), disk::look(&folder))).collect();
    }
    facts
}

/// The configuration, or the defaults where there is none; and how it is.
fn configure(files: &[PathBuf]) -> (Option<Config>, Configuration) {
    let interfaces = interfaces::read();
    let fallback = || {
        let flags = [DEFAULTS.to_owned()];
        nomadd_config::load(Mode::Configured, &[], &flags, &interfaces).ok().map(|loaded| loaded.config)
    };
    if files.is_empty() {
        return (fallback(), Configuration::None);
    }
    let sources = match nomadd_config::read(files) {
        Ok(sources) => sources,
        Err(problem) => return (fallback(), Configuration::Unreadable(problem.to_string())),
    };
    match nomadd_config::load(Mode::Configured, &sources, &[], &interfaces) {
        Ok(loaded) => {
            let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
            (Some(loaded.config), Configuration::Sound { paths: files.to_vec(), warnings })
        }
        Err(problems) => (fallback(), Configuration::Wrong(problems.to_string())),
    }
}
