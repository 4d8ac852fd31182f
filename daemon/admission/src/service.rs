//! What must hold for services and their checks, of groups and of tasks.

use std::collections::{BTreeMap, BTreeSet};

use nomadd_model::{Duration, NetworkResource, Service, ServiceCheck, Task, TaskGroup};

use crate::problems::Problems;

const LEAST_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn of_group(group: &TaskGroup) -> Problems {
    let mut problems = Problems::default();
    let providers: BTreeSet<&str> = group
        .services
        .iter()
        .chain(group.tasks.iter().flat_map(|task| &task.services))
        .map(|service| service.provider.as_str())
        .collect();
    problems.push_if(
        providers.len() > 1,
        "Multiple service providers used: task group services must use the same provider",
    );
    let known = |task: &str| group.task(task).is_some();
    for (index, service) in group.services.iter().enumerate() {
        let name = &service.name;
        problems.nest(format_args!("Service[{index}] {name} validation failed"), check(service));
        if service.address_mode == "driver" {
            problems.push(format!(
                "service {name:?} cannot use address_mode=\"driver\", only services defined in a \"task\" block can use this mode"
            ));
        }
        if !service.task_name.is_empty() && !known(&service.task_name) {
            problems.push(format!("Service {name:?} refers to non-existent task {}", service.task_name));
        }
        for check in &service.checks {
            if check.task_name.is_empty() {
                continue;
            }
            if !matches!(check.kind.as_str(), "script" | "grpc") {
                problems.push(format!("Check {} invalid: only script and gRPC checks should have tasks", check.name));
            }
            if !known(&check.task_name) {
                problems.push(format!("Check {} invalid: refers to non-existent task {}", check.name, check.task_name));
            }
        }
        problems.extend(check_ports(service));
    }
    problems
}

pub(crate) fn of_task(task: &Task, group: &TaskGroup) -> Problems {
    let mut problems = Problems::default();
    let labels: BTreeSet<&str> = labels(&group.networks).chain(labels(&task.resources.networks)).collect();
    let mut asked: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (index, service) in task.services.iter().enumerate() {
        let name = &service.name;
        problems.nest(format_args!("service[{index}] {name:?} validation failed"), check(service));
        if service.address_mode == "alloc" {
            problems.push(format!(
                "service {name:?} cannot use address_mode=\"alloc\", only services defined in a \"group\" block can use this mode"
            ));
        }
        if !seen.insert((name, &service.port_label)) {
            problems.push(format!("service {name:?} is duplicate"));
        }
        if service.connect.is_some() {
            problems.push(format!(
                "service {name:?} cannot have \"connect\" block, only services defined in a \"group\" block can"
            ));
        }
        let unknown = |port: &str, mode: &str| {
            let number = mode == "driver" && port.parse::<u16>().is_ok();
            !port.is_empty() && !number && !labels.contains(port)
        };
        if unknown(&service.port_label, &service.address_mode) {
            asked.entry(service.port_label.as_str()).or_default().insert(name);
        }
        let mut checks = BTreeSet::new();
        for check in &service.checks {
            if !checks.insert(&check.name) {
                problems.push(format!("check {:?} is duplicate", check.name));
            }
            if unknown(&check.port_label, &check.address_mode) && check.port_label.parse::<u16>().is_err() {
                asked.entry(check.port_label.as_str()).or_default().insert(name);
            }
        }
        problems.extend(check_ports(service));
    }
    for (port, services) in asked {
        let services: Vec<String> = services.into_iter().map(|name| format!("{name:?}")).collect();
        problems.push(format!("port label {port:?} referenced by services {} does not exist", services.join(", ")));
    }
    problems
}

fn labels(networks: &[NetworkResource]) -> impl Iterator<Item = &str> {
    networks
        .iter()
        .flat_map(|network| network.reserved_ports.iter().chain(&network.dynamic_ports))
        .map(|port| port.label.as_str())
}

/// That every check which connects somewhere knows a port.
fn check_ports(service: &Service) -> Problems {
    let mut problems = Problems::default();
    for check in &service.checks {
        let connects = matches!(check.kind.as_str(), "http" | "tcp" | "grpc");
        if connects && check.port_label.is_empty() && service.port_label.is_empty() {
            problems.push(format!(
                "Check {} invalid: check requires a port but neither check nor service {:?} have a port",
                check.name, service.name
            ));
        }
    }
    problems
}

fn check(service: &Service) -> Problems {
    let mut problems = Problems::default();
    if !is_host_name(&without_references(&service.name)) {
        problems.push(format!(
            "Service name must be valid per RFC 1123 and can contain only alphanumeric characters or dashes and must be no longer than 63 characters: {:?}",
            service.name
        ));
    }
    if !matches!(service.address_mode.as_str(), "" | "auto" | "alloc" | "alloc_ipv6" | "host" | "driver") {
        problems.push(format!(
            "Service address_mode must be \"auto\", \"host\", or \"driver\"; not {:?}",
            service.address_mode
        ));
    }
    if !matches!(service.on_update.as_str(), "" | "require_healthy" | "ignore_warnings" | "ignore") {
        problems.push(format!(
            "Service on_update must be \"require_healthy\", \"ignore_warnings\", or \"ignore\"; not {:?}",
            service.on_update
        ));
    }
    let provider = service.provider.as_str();
    if !matches!(provider, "" | "consul" | "nomad") {
        problems.push(format!("Service provider must be \"consul\", or \"nomad\"; not {provider:?}"));
    }
    for each in &service.checks {
        problems.nest(
            format_args!("Check {} invalid", each.name),
            if provider == "nomad" { of_nomad(each) } else { of_consul(each) },
        );
    }
    problems
}

fn of_nomad(check: &ServiceCheck) -> Problems {
    let mut problems = Problems::default();
    if !matches!(check.kind.as_str(), "http" | "tcp") {
        problems.push(format!("invalid check type ({:?}), must be one of tcp, http", check.kind));
    }
    for (given, name) in [
        (check.address_mode == "driver", "address_mode = driver"),
        (check.expose, "expose"),
        (check.on_update == "ignore_warnings", "on_update = ignore_warnings"),
        (check.success_before_passing != 0, "success_before_passing"),
        (check.failures_before_critical != 0, "failures_before_critical"),
        (check.failures_before_warning != 0, "failures_before_warning"),
        (!check.tls_server_name.is_empty(), "tls_server_name"),
    ] {
        if given {
            problems.push(format!("{name} may only be set for Consul service checks"));
        }
    }
    problems.extend(of_any(check));
    problems
}

fn of_consul(check: &ServiceCheck) -> Problems {
    let mut problems = Problems::default();
    match check.kind.as_str() {
        "http" | "tcp" | "grpc" => {}
        "script" => problems.push_if(check.command.is_empty(), "script type must have a valid script path"),
        other => {
            problems.push(format!("invalid check type ({other:?}), must be one of tcp, http, grpc, script"));
        }
    }
    if !matches!(check.initial_status.as_str(), "" | "passing" | "warning" | "critical") {
        problems.push(format!(
            "invalid initial check state ({}), must be one of \"passing\", \"warning\", \"critical\" or empty",
            check.initial_status
        ));
    }
    problems.push_if(
        check.expose && check.kind != "http" && check.kind != "grpc",
        "expose may only be set on HTTP or gRPC checks",
    );
    problems.extend(of_any(check));
    problems
}

fn of_any(check: &ServiceCheck) -> Problems {
    let mut problems = Problems::default();
    if check.interval.0 == 0 {
        problems.push(format!("missing required value interval. Interval cannot be less than {LEAST_INTERVAL}"));
    } else if check.interval < LEAST_INTERVAL {
        problems.push(format!("interval ({}) cannot be lower than {LEAST_INTERVAL}", check.interval));
    }
    if check.timeout.0 == 0 {
        problems.push(format!("missing required value timeout. Timeout cannot be less than {LEAST_INTERVAL}"));
    } else if check.timeout < LEAST_INTERVAL {
        problems.push(format!("timeout ({}) is lower than required minimum timeout {LEAST_INTERVAL}", check.timeout));
    }
    if check.kind == "http" {
        problems.push_if(check.path.is_empty(), "http type must have http path");
        problems.push_if(check.path.contains("://"), "relative http path required");
    }
    problems
}

/// The name with something valid in the place of every `${…}`, which only the client knows.
fn without_references(name: &str) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        text.push('x');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

/// RFC 1123: letters, digits and inner dashes, at most 63.
fn is_host_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_names_are_host_names_but_for_references() {
        for (name, expected) in [
            ("web", true),
            ("web-${attr.unique.hostname}-1", true),
            ("-web", false),
            ("web_1", false),
            ("", false),
            ("${NOMAD_JOB_NAME}", true),
        ] {
            assert_eq!(is_host_name(&without_references(name)), expected, "{name}");
        }
    }
}
