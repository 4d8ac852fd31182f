//! What must hold for the network of a group, and for the ports of a group and of its tasks.

use std::collections::BTreeMap;

use nomadd_model::{NetworkResource, Port, TaskGroup};

use crate::problems::Problems;

const HIGHEST_PORT: i64 = 65_535;

pub(crate) fn check(group: &TaskGroup) -> Problems {
    let mut ports = Ports::default();
    for network in &group.networks {
        ports.problems.extend(kind(network));
    }
    for network in &group.networks {
        for port in network.reserved_ports.iter().chain(&network.dynamic_ports) {
            ports.add(network, port, "taskgroup network");
        }
    }
    for task in &group.tasks {
        for network in &task.resources.networks {
            for port in network.reserved_ports.iter().chain(&network.dynamic_ports) {
                ports.add(network, port, &task.name);
            }
        }
    }
    ports.problems
}

/// What must hold for the kind of a group's network, and for its names.
fn kind(network: &NetworkResource) -> Problems {
    let mut problems = Problems::default();
    let NetworkResource { mode, dns, hostname, .. } = network;
    match mode.as_str() {
        "" | "host" | "none" | "bridge" => {}
        other if other.strip_prefix("cni/").is_some_and(|name| !name.is_empty()) => {}
        other => problems.push(format!(
            "network mode {other:?} is none of \"host\", \"bridge\", \"none\" and \"cni/NAME\" with the name of a network"
        )),
    }
    // What refers to the allocation is known on its node.
    if !hostname.contains("${") && !hostname.is_empty() && !is_host_name(hostname) {
        problems.push(format!("Hostname {hostname:?} is not a valid DNS name"));
    }
    let texts = dns.iter().flat_map(|dns| [&dns.servers, &dns.searches, &dns.options]).flatten().flatten();
    for text in texts
        .filter(|text| text.is_empty() || text.contains(|letter: char| letter.is_whitespace() || letter.is_control()))
    {
        problems.push(format!("{text:?} in the dns block cannot stand in a resolv.conf"));
    }
    problems
}

/// Letters, digits and dashes, in parts of at most 63 that neither begin nor end with a dash.
fn is_host_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let plain = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&part.len()) && plain && !part.starts_with('-') && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_part)
}

/// The ports that were seen, by label and by host network and number.
#[derive(Default)]
struct Ports<'a> {
    labels: BTreeMap<&'a str, String>,
    numbers: BTreeMap<(&'a str, i64), String>,
    problems: Problems,
}

impl<'a> Ports<'a> {
    fn add(&mut self, network: &NetworkResource, port: &'a Port, owner: &str) {
        let Port { host_network, ignore_collision, label, to, value } = port;
        match self.labels.get(label.as_str()) {
            Some(other) => self.problems.push(format!("Port label {label} already in use by {other}")),
            None => {
                self.labels.insert(label, owner.to_owned());
            }
        }
        if *value > HIGHEST_PORT {
            self.problems.push(format!("Port {label} ({value}) cannot be greater than {HIGHEST_PORT}"));
        } else if *value < 0 {
            self.problems.push(format!("Port {label} ({value}) cannot be negative"));
        } else if *value != 0 {
            match self.numbers.get(&(host_network.as_str(), *value)) {
                Some(_) if *ignore_collision => {}
                Some(other) => self.problems.push(format!("Static port {value} already reserved by {other}")),
                None => {
                    self.numbers.insert((host_network, *value), format!("{owner}:{label}"));
                }
            }
        }
        if *to < -1 {
            self.problems.push(format!("Port {label:?} cannot be mapped to negative value {to}"));
        } else if *to > HIGHEST_PORT {
            self.problems.push(format!("Port {label:?} cannot be mapped to a port ({to}) greater than {HIGHEST_PORT}"));
        }
        if *ignore_collision && !matches!(network.mode.as_str(), "" | "host") {
            self.problems.push(format!("collision may not be ignored on non-host network mode {:?}", network.mode));
        }
    }
}
