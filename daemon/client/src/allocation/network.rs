//! The network of an allocation, as its runner sets it up before the first task and takes it down after the last: what the job
//! says becomes a request to the `network` room, and what that came to the status that servers are told.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use nomadd_driver::TaskNetwork;
use nomadd_model::spec::DNSConfig;
use nomadd_model::{AllocNetworkStatus, AllocatedResources, Job, NetworkResource, Node, Task, TaskGroup};
use nomadd_network::ports::Listeners;
use nomadd_network::{Attachment, Kept, Mode, PortMapping, Request, chain};
use nomadd_rpc::AssignedAllocation;
use serde_json::Value;

use crate::allocation::launch;
use crate::allocation::shared::group_of;
use crate::config::Reach;
use crate::context::Context;
use crate::directory::AllocationDirectory;
use crate::environment::{Environment, port_map};

/// The drivers whose tasks may have a network of their own in a group that uses the host's.
const CONTAINERS: [&str; 3] = nomadd_driver::docker::NAMES;
/// How long an allocation's id is as text.
const ID_LENGTH: usize = 36;
/// The alias of the addresses that a port gets when the job names no host network.
const DEFAULT_ALIAS: &str = "default";

/// Whether the tasks of a group share a network that is not the host's.
pub fn is_own(group: &TaskGroup) -> bool {
    group.networks.first().is_some_and(|network| !matches!(network.mode.as_str(), "" | "host"))
}

/// The network of a group that has to be set up, or for which files have to be written.
fn network_of(group: &TaskGroup) -> Option<&NetworkResource> {
    group.networks.first().filter(|network| is_own(group) || network.dns.is_some())
}

/// What the network room is asked for; `None` when the group uses the host's network as it is.
fn request(context: &Context, directory: &AllocationDirectory, assigned: &AssignedAllocation) -> Option<Request> {
    let (job, group) = group_of(assigned)?;
    let network = network_of(group)?;
    let allocation = &assigned.allocation;
    let mode = match network.mode.as_str() {
        "" | "host" => Mode::Host,
        "none" => Mode::None,
        "bridge" => Mode::Bridge,
        other => Mode::Cni(other.strip_prefix("cni/").unwrap_or(other).to_owned()),
    };
    // Names may refer to the allocation; what is about a task only is the first one's.
    let first = group.tasks.first()?;
    let environment = launch::environment(context, directory, assigned, &first.name)?;
    let hostname = match environment.interpolate(&network.hostname) {
        name if name.is_empty() && mode != Mode::Host => allocation.id.short(),
        name => name,
    };
    let id = allocation.id.to_string();
    let arguments = arguments(context, job, group, network, &environment, &id);
    Some(Request {
        ports: mappings(&allocation.allocated_resources, context.config.network.reach),
        dns: network.dns.as_ref().map(|dns| interpolated(dns, &environment)),
        id,
        mode,
        arguments,
        hostname,
    })
}

/// What plugins are told of the allocation, as Nomad tells them, and what the job's author adds.
fn arguments(
    context: &Context,
    job: &Job,
    group: &TaskGroup,
    network: &NetworkResource,
    environment: &Environment,
    id: &str,
) -> String {
    let own = network.cni.as_ref().and_then(|cni| cni.args.clone()).unwrap_or_default();
    let own: Vec<_> = own.iter().map(|(name, value)| (name.clone(), environment.interpolate(value))).collect();
    let ours = [
        ("IgnoreUnknown", "true"),
        ("NOMAD_ALLOC_ID", id),
        ("NOMAD_GROUP_NAME", &group.name),
        ("NOMAD_JOB_ID", &job.id),
        ("NOMAD_NAMESPACE", &job.namespace),
        ("NOMAD_REGION", &context.config.region),
    ];
    // The author's cannot replace ours.
    let taken: BTreeSet<&str> = ours.iter().map(|(name, _)| *name).collect();
    let own = own.iter().filter(|(name, _)| !taken.contains(name.as_str()));
    chain::arguments(ours.into_iter().chain(own.map(|(name, value)| (name.as_str(), value.as_str()))))
}

fn interpolated(dns: &DNSConfig, environment: &Environment) -> DNSConfig {
    let all = |texts: &Option<Vec<String>>| {
        texts.as_ref().map(|texts| texts.iter().map(|text| environment.interpolate(text)).collect())
    };
    let DNSConfig { servers, searches, options } = dns;
    DNSConfig { servers: all(servers), searches: all(searches), options: all(options) }
}

/// The ports of the host that lead into the namespace, for both protocols.
fn mappings(resources: &AllocatedResources, reach: Reach) -> Vec<PortMapping> {
    let networks = &resources.shared.networks;
    let named = |label: &str| {
        let mut ports = networks.iter().flat_map(|network| network.reserved_ports.iter().chain(&network.dynamic_ports));
        ports.any(|port| port.label == label && !matches!(port.host_network.as_str(), "" | DEFAULT_ALIAS))
    };
    let mut mappings = Vec::new();
    for port in &resources.shared.ports {
        let inside = if port.to > 0 { port.to } else { port.value };
        let (Ok(host_port), Ok(container_port)) = (u16::try_from(port.value), u16::try_from(inside)) else { continue };
        let everywhere = reach == Reach::EveryAddress && !named(&port.label);
        let host_ip = if everywhere { String::new() } else { port.host_ip.to_string() };
        for protocol in ["tcp", "udp"] {
            let (protocol, host_ip) = (protocol.to_owned(), host_ip.clone());
            mappings.push(PortMapping { host_port, container_port, protocol, host_ip });
        }
    }
    mappings
}

/// Sets the network of an allocation up, or finds again what an earlier agent set up; in a clause why it could not be.
pub async fn set_up(
    context: &Context,
    directory: &AllocationDirectory,
    assigned: &AssignedAllocation,
) -> Result<(), String> {
    let Some(request) = request(context, directory, assigned) else { return Ok(()) };
    let networks = &context.networks;
    match networks.kept(&request.id) {
        Kept::Whole(_) => return Ok(()),
        Kept::Nothing => {}
        // The host was restarted, or the agent ended half-way.
        Kept::Broken => networks.detach(&request.id).await?,
    }
    if request.mode != Mode::Host
        && let Some(taken) = taken(&assigned.allocation.allocated_resources, &request.id, &context.node())
    {
        return Err(taken);
    }
    let attached = networks.attach(&request).await.map_err(|error| launch::chain(&error))?;
    tracing::debug!(id = request.id, address = attached.address, "the network of an allocation is set up");
    Ok(())
}

/// The allocation that a network is of: those of single tasks have more after its id.
pub fn owner(id: &str) -> &str {
    id.get(..ID_LENGTH).unwrap_or(id)
}

/// Takes the networks of an allocation and of its tasks down, as far as it has some.
pub async fn take_down(context: &Context, allocation: &str) {
    for id in context.networks.beginning_with(allocation) {
        if let Err(reason) = context.networks.detach(&id).await {
            tracing::error!(id, reason, "the network of an allocation is not taken down; it is tried again later");
        }
    }
}

/// The network of an allocation, when it has one of its own.
pub fn current(context: &Context, assigned: &AssignedAllocation) -> Option<Arc<Attachment>> {
    context.networks.current(&assigned.allocation.id.to_string())
}

/// The network that a container gets for itself, of jobs that give it none: its ports have other numbers inside. It is set up when
/// the task first starts. `config` is the task's, interpolated.
pub async fn of_container(
    context: &Context,
    assigned: &AssignedAllocation,
    task: &Task,
    config: &Value,
    dns: Option<DNSConfig>,
) -> Result<Option<Arc<Attachment>>, String> {
    let Some((_, group)) = group_of(assigned) else { return Ok(None) };
    let resources = &assigned.allocation.allocated_resources;
    let Some(ports) = container_ports(group, task, config, resources) else { return Ok(None) };
    let place = group.tasks.iter().position(|one| one.name == task.name).unwrap_or_default();
    // Task names hold what CNI does not take.
    let id = format!("{}-{place}", assigned.allocation.id);
    match context.networks.kept(&id) {
        Kept::Whole(attached) => return Ok(Some(attached)),
        Kept::Nothing => {}
        Kept::Broken => context.networks.detach(&id).await?,
    }
    let request = Request { id, mode: Mode::Bridge, ports, dns, ..Request::default() };
    let attached = context.networks.attach(&request).await.map_err(|error| {
        let reason = launch::chain(&error);
        format!("the container's ports need a network of its own: {reason}; network_mode = \"host\" does without")
    })?;
    Ok(Some(attached))
}

/// The ports that lead into a container's own network; `None` when it can do with the host's.
fn container_ports(
    group: &TaskGroup,
    task: &Task,
    config: &Value,
    resources: &AllocatedResources,
) -> Option<Vec<PortMapping>> {
    let mode = config["network_mode"].as_str().unwrap_or_default();
    if is_own(group) || !CONTAINERS.contains(&task.driver.as_str()) || !matches!(mode, "" | "default" | "bridge") {
        return None;
    }
    let map = port_map(config);
    let inside = |label: &str, to: i64, value: i64| map.get(label).copied().unwrap_or(if to > 0 { to } else { value });
    let mut given: Vec<(String, i64, i64)> = Vec::new();
    let own = resources.tasks.get(&task.name).into_iter().flat_map(|own| &own.networks);
    for network in own {
        for port in network.reserved_ports.iter().chain(&network.dynamic_ports) {
            given.push((network.ip.clone(), port.value, inside(&port.label, port.to, port.value)));
        }
    }
    let listed: Vec<&str> = config["ports"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for port in &resources.shared.ports {
        if listed.contains(&port.label.as_str()) || map.contains_key(port.label.as_str()) {
            given.push((port.host_ip.to_string(), port.value, inside(&port.label, port.to, port.value)));
        }
    }
    if mode != "bridge" && given.iter().all(|(_, outside, inside)| outside == inside) {
        return None;
    }
    let mut mappings = Vec::new();
    for (host_ip, outside, inside) in given {
        let (Ok(host_port), Ok(container_port)) = (u16::try_from(outside), u16::try_from(inside)) else { continue };
        for protocol in ["tcp", "udp"] {
            let (protocol, host_ip) = (protocol.to_owned(), host_ip.clone());
            mappings.push(PortMapping { host_port, container_port, protocol, host_ip });
        }
    }
    Some(mappings)
}

/// What drivers are told of a network.
pub fn of_task(attached: &Attachment) -> TaskNetwork {
    let Attachment { namespace, hostname, files, interface: _, address: _, address6: _, dns: _ } = attached;
    let hostname = hostname.clone().filter(|_| namespace.is_some());
    TaskNetwork { namespace: namespace.clone(), hostname, files: files.clone() }
}

/// What servers are told of a network.
pub fn status(attached: &Attachment) -> Option<AllocNetworkStatus> {
    attached.namespace.as_ref()?;
    Some(AllocNetworkStatus {
        address: attached.address.clone(),
        address_i_pv6: attached.address6.clone(),
        dns: attached.dns.clone(),
        interface_name: attached.interface.clone(),
    })
}

/// A port of an allocation that another program holds, in a sentence. Programs of the allocation itself are in nobody's way.
pub fn taken(resources: &AllocatedResources, id: &str, node: &Node) -> Option<String> {
    let shared = resources.shared.networks.iter();
    let own = resources.tasks.values().flat_map(|task| &task.networks);
    let asked = shared.chain(own).flat_map(|network| {
        network.reserved_ports.iter().chain(&network.dynamic_ports).map(|port| (port, network.ip.as_str()))
    });
    let asked: Vec<_> = asked.filter(|(port, _)| !port.ignore_collision && port.value > 0).collect();
    if asked.is_empty() {
        return None;
    }
    let listeners = Listeners::read();
    for (port, ip) in asked {
        let given = resources.shared.ports.iter().find(|given| *given.label == *port.label);
        let ip = given.map_or(ip, |given| &given.host_ip);
        let (Ok(address), Ok(number)) = (ip.parse::<IpAddr>(), u16::try_from(port.value)) else { continue };
        let Some(holder) = listeners.holder(address, number).filter(|holder| holder.allocation != id) else { continue };
        let label = &port.label;
        return Some(format!(
            "port {number} (label {label:?}) on {ip} of node {:?} is taken: {holder}; end that program, or keep the port from jobs with \
             client.reserved.reserved_ports",
            &*node.name
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use nomadd_model::{AllocatedTaskResources, Port, PortMapping as Given};
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_lead_in_for_both_protocols_and_from_where_they_were_given_out() {
        let mut resources = AllocatedResources::default();
        let port = |label: &str, host_network: &str| Port {
            label: label.to_owned(),
            host_network: host_network.to_owned(),
            ..Port::default()
        };
        resources.shared.networks = vec![NetworkResource {
            dynamic_ports: vec![port("http", ""), port("admin", "private")],
            ..NetworkResource::default()
        }];
        let given =
            |label: &str, host_ip: &str, to| Given { label: label.into(), host_ip: host_ip.into(), to, value: 80 };
        resources.shared.ports = vec![given("http", "10.0.0.1", 8080), given("admin", "192.168.0.1", 0)];
        let texts = |reach| {
            let mappings = mappings(&resources, reach);
            let text = |port: &PortMapping| {
                format!("{}:{}->{}/{}", port.host_ip, port.host_port, port.container_port, port.protocol)
            };
            mappings.iter().map(text).collect::<Vec<_>>()
        };
        let private = ["192.168.0.1:80->80/tcp", "192.168.0.1:80->80/udp"];
        let everywhere = [":80->8080/tcp", ":80->8080/udp"];
        assert_eq!(texts(Reach::EveryAddress), [everywhere, private].concat());
        let own = ["10.0.0.1:80->8080/tcp", "10.0.0.1:80->8080/udp"];
        assert_eq!(texts(Reach::OwnAddress), [own, private].concat());
    }

    #[test]
    fn a_container_has_a_network_of_its_own_only_when_its_ports_differ_inside() {
        let mut resources = AllocatedResources::default();
        let port = Port { label: "db".to_owned(), value: 23_000, ..Port::default() };
        let network =
            NetworkResource { ip: "10.0.0.1".to_owned(), dynamic_ports: vec![port], ..NetworkResource::default() };
        let own = AllocatedTaskResources { networks: vec![network], ..AllocatedTaskResources::default() };
        resources.tasks.insert("t".into(), own);
        let host_ip = "10.0.0.1".into();
        resources.shared.ports = vec![Given { label: "web".into(), host_ip, to: 80, value: 8080 }];
        let ports = |driver: &str, mode: &str, config: Value| {
            let networks = vec![NetworkResource { mode: mode.to_owned(), ..NetworkResource::default() }];
            let group = TaskGroup { networks, ..TaskGroup::default() };
            let task = Task { name: "t".into(), driver: driver.into(), ..Task::default() };
            let ports = container_ports(&group, &task, &config, &resources)?;
            let tcp = ports.iter().filter(|port| port.protocol == "tcp");
            Some(tcp.map(|port| format!("{}->{}", port.host_port, port.container_port)).collect::<Vec<_>>().join(" "))
        };
        for (driver, mode, config, expected) in [
            ("docker", "", json!({}), None),
            ("docker", "", json!({ "port_map": [{ "db": 3306 }] }), Some("23000->3306")),
            ("docker", "host", json!({ "port_map": { "db": "3306" } }), Some("23000->3306")),
            ("docker", "", json!({ "ports": ["web"] }), Some("23000->23000 8080->80")),
            ("docker", "", json!({ "network_mode": "bridge" }), Some("23000->23000")),
            ("docker", "", json!({ "port_map": [{ "db": 3306 }], "network_mode": "host" }), None),
            ("docker", "bridge", json!({ "port_map": [{ "db": 3306 }] }), None),
            ("raw_exec", "", json!({ "port_map": [{ "db": 3306 }] }), None),
        ] {
            assert_eq!(ports(driver, mode, config.clone()).as_deref(), expected, "{driver} {mode} {config}");
        }
    }

    #[test]
    fn a_port_that_another_program_holds_is_named_with_it_and_an_own_one_is_not() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let number = i64::from(socket.local_addr().unwrap().port());
        let mut resources = AllocatedResources::default();
        let port = Port { label: "http".to_owned(), value: number, ..Port::default() };
        resources.shared.networks = vec![NetworkResource { reserved_ports: vec![port], ..NetworkResource::default() }];
        let host_ip = "127.0.0.1".into();
        resources.shared.ports = vec![Given { label: "http".into(), host_ip, to: 0, value: number }];
        let node = Node { name: "n1".into(), ..Node::default() };
        let text = taken(&resources, "an-allocation", &node).unwrap();
        for part in [format!("port {number} (label \"http\") on 127.0.0.1"), format!("process {}", std::process::id())]
        {
            assert!(text.contains(&part), "{text}");
        }
        let network = &mut resources.shared.networks[0];
        network.reserved_ports[0].ignore_collision = true;
        assert_eq!(taken(&resources, "an-allocation", &node), None);
    }
}
