//! Constraints that follow from what a job uses, added to its groups.
//!
//! Services of Consul imply nothing here: they are not announced to a Consul agent that a node would need.

use std::collections::BTreeSet;

use nomadd_model::spec::Constraint;
use nomadd_model::{Job, TaskGroup};

/// The CNI plugins that a node needs for the bridge, and how old they may be.
const BRIDGE_PLUGINS: [&str; 5] = ["bridge", "firewall", "host-local", "loopback", "portmap"];
const OLDEST_PLUGIN: &str = ">= 0.4.0";

/// Adds the implied constraints; what is there already is not added again.
pub(crate) fn add_constraints(job: &mut Job) {
    for group in &mut job.task_groups {
        let (services, checks) = of_nomad(group);
        if services {
            add_unless_named(group, "${attr.nomad.service_discovery}", "=", "true");
        }
        if checks {
            add_unless_named(group, "${attr.nomad.version}", "semver", ">= 1.4.0");
        }
        let signals: BTreeSet<&str> =
            group.tasks.iter().map(|task| task.kill_signal.as_str()).filter(|signal| !signal.is_empty()).collect();
        if !signals.is_empty() {
            let signals = signals.into_iter().collect::<Vec<_>>().join(",");
            add(group, constraint("${attr.os.signals}", "set_contains", &signals));
        }
        if group.networks.iter().any(|network| network.mode == "bridge") {
            for plugin in BRIDGE_PLUGINS {
                add(group, constraint(&format!("${{attr.plugins.cni.version.{plugin}}}"), "semver", OLDEST_PLUGIN));
            }
        }
    }
}

/// Whether Nomad's own registry is used, and with checks.
fn of_nomad(group: &TaskGroup) -> (bool, bool) {
    let services = group.services.iter().chain(group.tasks.iter().flat_map(|task| &task.services));
    let own: Vec<_> = services.filter(|service| service.provider == "nomad").collect();
    (!own.is_empty(), own.iter().any(|service| !service.checks.is_empty()))
}

fn constraint(left: &str, operand: &str, right: &str) -> Constraint {
    Constraint { l_target: left.into(), r_target: right.into(), operand: operand.into() }
}

/// The author's own constraint on the same attribute stands.
fn add_unless_named(group: &mut TaskGroup, left: &str, operand: &str, right: &str) {
    if group.constraints.iter().all(|existing| existing.l_target != left) {
        group.constraints.push(constraint(left, operand, right));
    }
}

fn add(group: &mut TaskGroup, implied: Constraint) {
    if !group.constraints.contains(&implied) {
        group.constraints.push(implied);
    }
}
