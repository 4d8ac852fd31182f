//! Which plugins a network is made of: the bridge's own list, and those that the operator keeps as files.
//!
//! Files are CNI's: a list (`plugins`) or one plugin (`type`). Nothing is run here.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The version of CNI that the bridge's plugins are spoken to in: what the reference plugins have understood since 1.0.
const BRIDGE_VERSION: &str = "1.0.0";
/// A configuration file is never that long, in bytes.
const LONGEST_FILE: u64 = 1 << 20;
/// No network has more plugins.
const MOST_PLUGINS: usize = 32;
/// How many files of a folder are looked at.
const MOST_FILES: usize = 256;
/// The endings of configuration files.
const ENDINGS: [&str; 3] = ["conf", "conflist", "json"];
/// The chain of iptables in which operators allow or forbid what goes through the bridge.
pub const ADMIN_CHAIN: &str = "NOMAD-ADMIN";

/// The bridge that allocations share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// The device (`client.bridge_network_name`).
    pub name: String,
    /// Its IPv4 addresses, such as `172.26.64.0/20` (`client.bridge_network_subnet`).
    pub subnet: String,
    /// Its IPv6 addresses, if it has some (`client.bridge_network_subnet_ipv6`).
    pub subnet6: Option<String>,
    /// Whether an allocation reaches itself by a port of the host (`client.bridge_network_hairpin_mode`).
    pub hairpin: Hairpin,
    /// Where the plugin `host-local` notes which addresses are taken. Does not outlast the host's boot, as the networks do not.
    pub addresses: PathBuf,
}

/// Whether an allocation on the bridge reaches itself by a port of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hairpin {
    /// It does.
    On,
    /// It does not.
    #[default]
    Off,
}

impl Default for Bridge {
    fn default() -> Self {
        Self {
            name: "nomad".to_owned(),
            subnet: "172.26.64.0/20".to_owned(),
            subnet6: None,
            hairpin: Hairpin::Off,
            addresses: "/var/run/cni".into(),
        }
    }
}

/// The plugins of a network in their order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The network's name.
    pub name: String,
    /// The version of CNI that its plugins are spoken to in.
    pub version: String,
    /// What each plugin is told, with its `type`.
    pub plugins: Vec<Map<String, Value>>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The folder or a file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It is not what CNI calls a configuration.
    #[error("{} is no CNI configuration: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No file has it.
    #[error("no CNI network {name:?} in {}; known: {known}", folder.display())]
    Unknown {
        /// The network's name.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// The names that are there, or `none`.
        known: String,
    },
}

impl Configuration {
    /// The bridge's: a device on the bridge with an address, a way through the host's firewall, and its ports.
    pub fn bridge(bridge: &Bridge) -> Self {
        let Bridge { name, subnet, subnet6, hairpin, addresses } = bridge;
        let mut ranges = vec![json!([{ "subnet": subnet }])];
        let mut routes = vec![json!({ "dst": "0.0.0.0/0" })];
        if let Some(subnet6) = subnet6 {
            ranges.push(json!([{ "subnet": subnet6 }]));
            routes.push(json!({ "dst": "::/0" }));
        }
        let plugins = json!([
            {
                "type": "bridge", "bridge": name, "ipMasq": true, "isGateway": true, "forceAddress": true,
                "hairpinMode": *hairpin == Hairpin::On,
                "ipam": { "type": "host-local", "dataDir": addresses, "ranges": ranges, "routes": routes },
            },
            { "type": "firewall", "backend": "iptables", "iptablesAdminChainName": ADMIN_CHAIN },
            { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true },
        ]);
        let plugins = plugins.as_array().into_iter().flatten().filter_map(Value::as_object).cloned().collect();
        Self { name: name.clone(), version: BRIDGE_VERSION.to_owned(), plugins }
    }

    /// Reads a file's content: a list of plugins, or one.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let Value::Object(top) = value else { return Err("it is not a JSON object".to_owned()) };
        let text = |key: &str| top.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (name, version) = (text("name"), text("cniVersion"));
        if name.is_empty() {
            return Err("\"name\" is missing".to_owned());
        }
        // Older ones have another form of results.
        if matches!(version.as_str(), "" | "0.1.0" | "0.2.0") {
            return Err(format!("cniVersion {version:?} is too old: 0.3.0 or later is expected"));
        }
        let plugins: Vec<Map<String, Value>> = match top.get("plugins") {
            Some(Value::Array(plugins)) => {
                plugins.iter().map(|plugin| plugin.as_object().cloned().unwrap_or_default()).collect()
            }
            Some(_) => return Err("\"plugins\" is not a list".to_owned()),
            None => vec![top],
        };
        if plugins.is_empty() || plugins.len() > MOST_PLUGINS {
            return Err(format!("it has {} plugins; 1 to {MOST_PLUGINS} are expected", plugins.len()));
        }
        for plugin in &plugins {
            match type_of(plugin) {
                "" => return Err("a plugin has no \"type\"".to_owned()),
                kind if kind.contains('/') || kind.starts_with('.') => {
                    return Err(format!("the plugin's type {kind:?} is not the name of a program"));
                }
                _ => {}
            }
        }
        Ok(Self { name, version, plugins })
    }
}

/// The program of a plugin.
pub fn type_of(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The network of that name among the files of a folder.
pub fn find(folder: &Path, name: &str) -> Result<Configuration, ConfigurationError> {
    let (found, problems) = all(folder)?;
    let known: Vec<String> = found.iter().map(|configuration| configuration.name.clone()).collect();
    match found.into_iter().find(|configuration| configuration.name == name) {
        Some(configuration) => Ok(configuration),
        // The file that cannot be read may be the one that is meant.
        None => Err(problems.into_iter().next().unwrap_or(ConfigurationError::Unknown {
            name: name.to_owned(),
            folder: folder.to_owned(),
            known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
        })),
    }
}

/// Every network among the files of a folder, by the files' names, and what is wrong with other files. A folder that is not there
/// has none.
pub fn all(folder: &Path) -> Result<(Vec<Configuration>, Vec<ConfigurationError>), ConfigurationError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |source| ConfigurationError::Read { path, source }
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
        entries => entries.map_err(unreadable(folder))?,
    };
    let is_one =
        |path: &PathBuf| path.extension().and_then(|end| end.to_str()).is_some_and(|end| ENDINGS.contains(&end));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_one).take(MOST_FILES).collect();
    paths.sort();
    let (mut found, mut problems) = (Vec::<Configuration>::new(), Vec::new());
    for path in paths {
        let mut text = Vec::new();
        let read = fs::File::open(&path).and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut text));
        let parsed = match read {
            Err(source) => Err(unreadable(&path)(source)),
            Ok(_) if text.len() as u64 > LONGEST_FILE => {
                let reason = format!("it is longer than {LONGEST_FILE} bytes");
                Err(ConfigurationError::Malformed { path, reason })
            }
            Ok(_) => Configuration::parse(&text).map_err(|reason| ConfigurationError::Malformed { path, reason }),
        };
        match parsed {
            // As elsewhere the first file of a name counts.
            Ok(configuration) if found.iter().any(|known| known.name == configuration.name) => {}
            Ok(configuration) => found.push(configuration),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((found, problems))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_has_an_address_a_firewall_and_ports() {
        let mut bridge = Bridge { name: "br9".to_owned(), ..Bridge::default() };
        let made = Configuration::bridge(&bridge);
        assert_eq!(made.plugins.iter().map(type_of).collect::<Vec<_>>(), ["bridge", "firewall", "portmap"]);
        assert_eq!(made.plugins[0]["bridge"], "br9");
        assert_eq!(made.plugins[0]["ipam"]["ranges"], json!([[{ "subnet": "172.26.64.0/20" }]]));
        assert_eq!(made.plugins[0]["hairpinMode"], false);
        bridge.subnet6 = Some("fd00:a::/64".to_owned());
        bridge.hairpin = Hairpin::On;
        let made = Configuration::bridge(&bridge);
        assert_eq!(made.plugins[0]["hairpinMode"], true);
        assert_eq!(made.plugins[0]["ipam"]["ranges"][1], json!([{ "subnet": "fd00:a::/64" }]));
        assert_eq!(made.plugins[0]["ipam"]["routes"][1], json!({ "dst": "::/0" }));
    }

    #[test]
    fn lists_and_single_plugins_are_read_and_others_are_said_to_be_wrong() {
        let one = Configuration::parse(br#"{"cniVersion":"0.4.0","name":"mine","type":"ptp","mtu":9}"#).unwrap();
        assert_eq!((one.name.as_str(), type_of(&one.plugins[0]), &one.plugins[0]["mtu"]), ("mine", "ptp", &json!(9)));
        let list = br#"{"cniVersion":"1.0.0","name":"two","plugins":[{"type":"a"},{"type":"b"}]}"#;
        assert_eq!(Configuration::parse(list).unwrap().plugins.len(), 2);
        for (text, expected) in [
            (&b"[]"[..], "not a JSON object"),
            (b"{", "EOF"),
            (br#"{"cniVersion":"1.0.0","plugins":[]}"#, "\"name\" is missing"),
            (br#"{"cniVersion":"0.2.0","name":"x","type":"y"}"#, "too old"),
            (br#"{"cniVersion":"1.0.0","name":"x","plugins":[]}"#, "0 plugins"),
            (br#"{"cniVersion":"1.0.0","name":"x","plugins":[{"mtu":1}]}"#, "no \"type\""),
            (br#"{"cniVersion":"1.0.0","name":"x","type":"../sh"}"#, "not the name of a program"),
        ] {
            let error = Configuration::parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_network_is_found_by_its_name_and_one_that_is_missing_is_named_with_those_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("10-mine.conflist", r#"{"cniVersion":"1.0.0","name":"mine","plugins":[{"type":"ptp"}]}"#);
        write("README", "not one");
        assert_eq!(find(folder.path(), "mine").unwrap().name, "mine");
        let error = find(folder.path(), "other").unwrap_err().to_string();
        assert!(error.contains("\"other\"") && error.contains("mine"), "{error}");
        write("20-torn.conf", "{");
        assert!(matches!(find(folder.path(), "other"), Err(ConfigurationError::Malformed { .. })));
        assert_eq!(all(&folder.path().join("nowhere")).unwrap().0, []);
    }
}
