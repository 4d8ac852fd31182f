//! What must hold for the ports of a group and of its tasks.

use std::collections::BTreeMap;

use nomadd_model::{NetworkResource, Port, TaskGroup};

use crate::problems::Problems;

const HIGHEST_PORT: i64 = 65_535;

pub(crate) fn check(group: &TaskGroup) -> Problems {
    let mut ports = Ports::default();
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
