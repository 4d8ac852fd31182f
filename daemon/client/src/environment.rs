//! The environment of a task: Nomad's variables, and the references `${…}` in what the job says.
//!
//! Pure. Precedence, low to high: Nomad's own variables, the host's environment (never over Nomad's), the task's `env`.

use std::collections::BTreeMap;
use std::path::Path;

use nomadd_model::{AllocNetworkStatus, Allocation, Job, NetworkResource, Node, PortMapping, Task, TaskGroup};
use serde_json::Value;

/// What the environment of a task is made of.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The node that the task runs on.
    pub node: &'a Node,
    /// The node's region.
    pub region: &'a str,
    /// The job.
    pub job: &'a Job,
    /// The group of the allocation.
    pub group: &'a TaskGroup,
    /// The allocation.
    pub allocation: &'a Allocation,
    /// The task.
    pub task: &'a Task,
    /// The shared directory, as the task sees it.
    pub alloc_dir: &'a Path,
    /// The task's own directory, as the task sees it.
    pub task_dir: &'a Path,
    /// The directory of secrets, as the task sees it.
    pub secrets_dir: &'a Path,
    /// The parent of the tasks' cgroups.
    pub parent_cgroup: &'a str,
    /// The network of the allocation, when it has one of its own.
    pub network: Option<&'a AllocNetworkStatus>,
    /// The agent's own environment, as far as tasks may see it.
    pub host: &'a BTreeMap<String, String>,
}

/// A task's variables, and what its references mean.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    references: BTreeMap<String, String>,
}

impl Environment {
    /// Makes the environment of a task.
    pub fn build(source: &Source<'_>) -> Self {
        let references = node_references(source.node, source.region);
        let mut variables = builtin(source);
        for (name, value) in source.host {
            variables.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let mut environment = Self { variables, references };
        let wanted: Vec<(String, String)> = source
            .task
            .env
            .iter()
            .map(|(name, value)| (clean(&environment.interpolate(name)), environment.interpolate(value)))
            .collect();
        environment.variables.extend(wanted);
        environment
    }

    /// The variables of the process.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Replaces every known reference in a text; unknown ones stay as they are.
    pub fn interpolate(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, reference) = rest.split_at(start);
            out.push_str(before);
            let Some(end) = reference.find('}') else {
                out.push_str(reference);
                return out;
            };
            let (whole, after) = reference.split_at(end + 1);
            match self.look_up(whole[2..end].trim()) {
                Some(value) => out.push_str(value),
                None => out.push_str(whole),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }

    fn look_up(&self, reference: &str) -> Option<&str> {
        if let Some(name) = reference.strip_prefix("env[").and_then(|rest| rest.strip_suffix(']')) {
            let name = name.trim().trim_matches('"');
            return self.variables.get(name).map(String::as_str);
        }
        if let Some(name) = reference.strip_prefix("env.")
            && let Some(value) = self.variables.get(name)
        {
            return Some(value);
        }
        self.references.get(reference).or_else(|| self.variables.get(reference)).map(String::as_str)
    }

    /// Replaces the references in every text of a value.
    pub fn interpolate_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.interpolate(text)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.interpolate_value(item)).collect()),
            Value::Object(map) => {
                let entries = map.iter().map(|(key, value)| (self.interpolate(key), self.interpolate_value(value)));
                Value::Object(entries.collect())
            }
            other => other.clone(),
        }
    }
}

/// What `${node.…}`, `${attr.…}` and `${meta.…}` mean on a node.
fn node_references(node: &Node, region: &str) -> BTreeMap<String, String> {
    let mut references: BTreeMap<String, String> = [
        ("node.unique.id", node.id.to_string()),
        ("node.unique.name", node.name.to_string()),
        ("node.datacenter", node.datacenter.to_string()),
        ("node.region", region.to_owned()),
        ("node.class", node.node_class.to_string()),
        ("node.pool", node.node_pool.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    references.extend(node.attributes.iter().map(|(name, value)| (format!("attr.{name}"), value.to_string())));
    references.extend(node.meta.iter().map(|(name, value)| (format!("meta.{name}"), value.to_string())));
    references
}

/// Nomad's own variables.
fn builtin(source: &Source<'_>) -> BTreeMap<String, String> {
    let Source { node, region, job, group, allocation, task, alloc_dir, task_dir, secrets_dir, parent_cgroup, .. } =
        *source;
    let mut variables = BTreeMap::new();
    meta(&mut variables, &job.meta);
    meta(&mut variables, &group.meta);
    meta(&mut variables, &task.meta);
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            variables.insert(name.to_owned(), value.to_owned());
        }
    };
    let id = allocation.id.to_string();
    set("NOMAD_ALLOC_DIR", &alloc_dir.to_string_lossy());
    set("NOMAD_TASK_DIR", &task_dir.to_string_lossy());
    set("NOMAD_SECRETS_DIR", &secrets_dir.to_string_lossy());
    set("NOMAD_ALLOC_ID", &id);
    set("NOMAD_SHORT_ALLOC_ID", &allocation.id.short());
    set("NOMAD_ALLOC_NAME", &allocation.name);
    set("NOMAD_ALLOC_INDEX", index_of(&allocation.name));
    set("NOMAD_TASK_NAME", &task.name);
    set("NOMAD_GROUP_NAME", &group.name);
    set("NOMAD_JOB_ID", &job.id);
    set("NOMAD_JOB_NAME", &job.name);
    set("NOMAD_JOB_PARENT_ID", &job.parent_id);
    set("NOMAD_DC", &node.datacenter);
    set("NOMAD_REGION", region);
    set("NOMAD_NAMESPACE", &allocation.namespace);
    set("NOMAD_PARENT_CGROUP", parent_cgroup);
    let shared = &allocation.allocated_resources.shared;
    if let Some(own) = allocation.allocated_resources.tasks.get(&task.name) {
        let positive = |number: i64| if number > 0 { number.to_string() } else { String::new() };
        set("NOMAD_MEMORY_LIMIT", &positive(own.memory.memory_mb));
        set("NOMAD_MEMORY_MAX_LIMIT", &positive(own.memory.memory_max_mb));
        set("NOMAD_CPU_LIMIT", &positive(own.cpu.cpu_shares));
        // Present without cores too, as scripts under `set -u` expect.
        variables.insert("NOMAD_CPU_CORES".to_owned(), core_list(&own.cpu.reserved_cores));
    }
    let own_name = &task.name;
    for (name, resources) in &allocation.allocated_resources.tasks {
        for network in &resources.networks {
            let task = group.tasks.iter().find(|task| task.name == *name);
            let inside = task.map(|task| port_map(&Value::Object(task.config.clone()))).unwrap_or_default();
            legacy_network(&mut variables, own_name == name, name, network, &inside);
        }
    }
    let inside = port_map(&Value::Object(task.config.clone()));
    for port in &shared.ports {
        let mut port = port.clone();
        port.to = inside.get(port.label.as_str()).copied().unwrap_or(port.to);
        let port = &port;
        port_variables(&mut variables, port);
        if let Some(network) = source.network {
            inside_variables(&mut variables, port, network);
        }
    }
    variables
}

fn meta(variables: &mut BTreeMap<String, String>, meta: &BTreeMap<String, String>) {
    for (key, value) in meta {
        variables.insert(clean(&format!("NOMAD_META_{}", key.to_uppercase())), value.clone());
        variables.insert(clean(&format!("NOMAD_META_{key}")), value.clone());
    }
}

fn port_variables(variables: &mut BTreeMap<String, String>, port: &PortMapping) {
    let PortMapping { host_ip, label, to, value } = port;
    let inside = if *to > 0 { *to } else { *value };
    let address = |port: i64| joined(host_ip, port);
    for (prefix, text) in [
        ("NOMAD_IP_", host_ip.to_string()),
        ("NOMAD_PORT_", inside.to_string()),
        ("NOMAD_ADDR_", address(*value)),
        ("NOMAD_HOST_IP_", host_ip.to_string()),
        ("NOMAD_HOST_PORT_", value.to_string()),
        ("NOMAD_HOST_ADDR_", address(*value)),
        ("NOMAD_ALLOC_PORT_", inside.to_string()),
    ] {
        variables.insert(clean(&format!("{prefix}{label}")), text);
    }
}

/// Where a port is inside of the allocation's own network.
fn inside_variables(variables: &mut BTreeMap<String, String>, port: &PortMapping, network: &AllocNetworkStatus) {
    let AllocNetworkStatus { address, address_i_pv6: address6, interface_name, dns: _ } = network;
    let address = if address.is_empty() { address6 } else { address };
    if address.is_empty() {
        return;
    }
    let inside = if port.to > 0 { port.to } else { port.value };
    for (prefix, text) in [
        ("NOMAD_ALLOC_INTERFACE_", interface_name.clone()),
        ("NOMAD_ALLOC_IP_", address.clone()),
        ("NOMAD_ALLOC_ADDR_", joined(address, inside)),
    ] {
        variables.insert(clean(&format!("{prefix}{}", port.label)), text);
    }
}

/// An address with a port.
fn joined(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// Ports of a task's own network block: as of a group for itself, with the task's name for its siblings.
fn legacy_network(
    variables: &mut BTreeMap<String, String>,
    own: bool,
    task: &str,
    network: &NetworkResource,
    inside: &BTreeMap<String, i64>,
) {
    for port in network.reserved_ports.iter().chain(&network.dynamic_ports) {
        let label = if own { port.label.clone() } else { format!("{task}_{}", port.label) };
        let (host_ip, to) = (network.ip.as_str().into(), inside.get(&port.label).copied().unwrap_or(port.to));
        port_variables(variables, &PortMapping { host_ip, label: label.into(), to, value: port.value });
    }
}

/// The ports inside that the `port_map` of a driver's configuration names, by label. Job files have it as a block or a list of maps.
pub fn port_map(config: &Value) -> BTreeMap<String, i64> {
    let value = &config["port_map"];
    let maps = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let entries = maps.iter().filter_map(Value::as_object).flatten();
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    entries.filter_map(|(label, value)| Some((label.clone(), number(value)?))).collect()
}

/// The number in an allocation's name, `job.group[3]`.
fn index_of(name: &str) -> &str {
    name.rsplit_once('[').and_then(|(_, rest)| rest.strip_suffix(']')).unwrap_or_default()
}

/// Cores as a list with ranges: `0-2,7`.
pub fn core_list(cores: &[u16]) -> String {
    let mut sorted = cores.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut parts: Vec<(u16, u16)> = Vec::new();
    for core in sorted {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            _ => parts.push((core, core)),
        }
    }
    let texts = parts.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    texts.collect::<Vec<_>>().join(",")
}

/// Makes a name that shells take: only the prefixes that hold labels and keys of the job are changed.
pub fn clean(name: &str) -> String {
    const CLEANED: [&str; 5] = ["NOMAD_ADDR_", "NOMAD_IP_", "NOMAD_PORT_", "NOMAD_HOST_PORT_", "NOMAD_META_"];
    if !CLEANED.iter().any(|prefix| name.starts_with(prefix)) {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        let keep = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        out.push(if keep { char::from(byte) } else { '_' });
    }
    out
}

#[cfg(test)]
mod tests {
    use nomadd_model::{AllocatedResources, AllocatedTaskResources, NodeId};
    use std::sync::Arc;

    use super::*;

    fn environment(change: impl FnOnce(&mut Task, &mut Allocation)) -> Environment {
        within(None, change)
    }

    fn within(network: Option<&AllocNetworkStatus>, change: impl FnOnce(&mut Task, &mut Allocation)) -> Environment {
        let mut node = Node { datacenter: "dc1".into(), name: "n1".into(), ..Node::default() };
        node.id = NodeId::from_random([7; 16]);
        node.attributes.insert("kernel.name".into(), "linux".into());
        node.meta.insert("rack".into(), "r1".into());
        let job = Job {
            id: "web".into(),
            name: "Web".into(),
            meta: [("a".to_owned(), "job".to_owned()), ("b".to_owned(), "job".to_owned())].into(),
            ..Job::default()
        };
        let mut group =
            TaskGroup { name: "g".into(), meta: [("b".to_owned(), "group".to_owned())].into(), ..TaskGroup::default() };
        let mut task = Task { name: "t".into(), ..Task::default() };
        task.meta.insert("some-key".to_owned(), "v".to_owned());
        let mut resources = AllocatedResources::default();
        let mut own = AllocatedTaskResources::default();
        own.cpu.cpu_shares = 100;
        own.cpu.reserved_cores = vec![2, 0, 1, 7];
        own.memory.memory_mb = 64;
        resources.tasks.insert("t".into(), own);
        resources.shared.ports.push(PortMapping {
            host_ip: "10.0.0.1".into(),
            label: "http-x".into(),
            to: 80,
            value: 23456,
        });
        let mut allocation = Allocation {
            id: nomadd_model::AllocationId::from_random([1; 16]),
            name: "web.g[3]".into(),
            namespace: "default".into(),
            allocated_resources: Arc::new(resources),
            ..Allocation::default()
        };
        change(&mut task, &mut allocation);
        group.tasks.push(task.clone());
        let host = [("PATH".to_owned(), "/bin".to_owned()), ("NOMAD_DC".to_owned(), "fake".to_owned())].into();
        Environment::build(&Source {
            node: &node,
            region: "global",
            job: &job,
            group: &group,
            allocation: &allocation,
            task: &task,
            alloc_dir: Path::new("/a/alloc"),
            task_dir: Path::new("/a/t/local"),
            secrets_dir: Path::new("/a/t/secrets"),
            parent_cgroup: "nomad.slice",
            network,
            host: &host,
        })
    }

    #[test]
    fn a_task_gets_nomads_variables() {
        let environment = environment(|_, _| {});
        for (name, value) in [
            ("NOMAD_ALLOC_DIR", "/a/alloc"),
            ("NOMAD_TASK_DIR", "/a/t/local"),
            ("NOMAD_SECRETS_DIR", "/a/t/secrets"),
            ("NOMAD_ALLOC_INDEX", "3"),
            ("NOMAD_SHORT_ALLOC_ID", "01010101"),
            ("NOMAD_CPU_LIMIT", "100"),
            ("NOMAD_CPU_CORES", "0-2,7"),
            ("NOMAD_MEMORY_LIMIT", "64"),
            ("NOMAD_DC", "dc1"),
            ("NOMAD_JOB_ID", "web"),
            ("NOMAD_JOB_NAME", "Web"),
            ("NOMAD_META_a", "job"),
            ("NOMAD_META_B", "group"),
            ("NOMAD_META_some_key", "v"),
            ("NOMAD_META_SOME_KEY", "v"),
            ("NOMAD_IP_http_x", "10.0.0.1"),
            ("NOMAD_PORT_http_x", "80"),
            ("NOMAD_HOST_PORT_http_x", "23456"),
            ("NOMAD_ADDR_http_x", "10.0.0.1:23456"),
            ("NOMAD_HOST_ADDR_http-x", "10.0.0.1:23456"),
            ("NOMAD_PARENT_CGROUP", "nomad.slice"),
            ("PATH", "/bin"),
        ] {
            assert_eq!(environment.variables().get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!environment.variables().contains_key("NOMAD_MEMORY_MAX_LIMIT"));
        assert!(!environment.variables().contains_key("NOMAD_JOB_PARENT_ID"));
    }

    #[test]
    fn a_port_has_a_place_inside_of_a_network_of_its_own() {
        let mut network = AllocNetworkStatus {
            address: "172.26.64.2".to_owned(),
            interface_name: "eth0".to_owned(),
            ..AllocNetworkStatus::default()
        };
        let environment = within(Some(&network), |_, _| {});
        for (name, value) in [
            ("NOMAD_ALLOC_IP_http-x", "172.26.64.2"),
            ("NOMAD_ALLOC_ADDR_http-x", "172.26.64.2:80"),
            ("NOMAD_ALLOC_INTERFACE_http-x", "eth0"),
            ("NOMAD_ADDR_http_x", "10.0.0.1:23456"),
        ] {
            assert_eq!(environment.variables().get(name).map(String::as_str), Some(value), "{name}");
        }
        (network.address, network.address_i_pv6) = (String::new(), "fd00::2".to_owned());
        let environment = within(Some(&network), |_, _| {});
        assert_eq!(environment.variables()["NOMAD_ALLOC_ADDR_http-x"], "[fd00::2]:80");
    }

    #[test]
    fn an_old_port_map_says_where_a_port_is_inside() {
        let environment = environment(|task, allocation| {
            let map = serde_json::json!({ "port_map": [{ "db": 3306 }, { "web": "80" }] });
            task.config = map.as_object().unwrap().clone();
            let resources = Arc::make_mut(&mut allocation.allocated_resources);
            let port =
                |label: &str| nomadd_model::Port { label: label.to_owned(), value: 23_000, ..Default::default() };
            let network = NetworkResource {
                ip: "10.0.0.1".to_owned(),
                dynamic_ports: vec![port("db"), port("plain")],
                ..NetworkResource::default()
            };
            resources.tasks.get_mut("t").unwrap().networks.push(network);
        });
        for (name, value) in [
            ("NOMAD_PORT_db", "3306"),
            ("NOMAD_HOST_PORT_db", "23000"),
            ("NOMAD_ADDR_db", "10.0.0.1:23000"),
            ("NOMAD_PORT_plain", "23000"),
        ] {
            assert_eq!(environment.variables().get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn references_are_replaced_and_unknown_ones_stay() {
        let environment = environment(|task, _| {
            task.env.insert("MINE".to_owned(), "${NOMAD_ALLOC_INDEX}-${node.datacenter}".to_owned());
            task.env.insert("PATH".to_owned(), "/mine:${env[\"PATH\"]}".to_owned());
        });
        for (text, expected) in [
            ("${attr.kernel.name}/${meta.rack}", "linux/r1"),
            ("${node.unique.name} ${node.region}", "n1 global"),
            ("${env[\"MINE\"]} ${MINE}", "3-dc1 3-dc1"),
            ("$PATH ${PATH}", "$PATH /mine:/bin"),
            ("${attr.nothing} ${nope", "${attr.nothing} ${nope"),
            ("ü${NOMAD_DC}ü", "üdc1ü"),
        ] {
            assert_eq!(environment.interpolate(text), expected);
        }
    }

    #[test]
    fn only_some_names_are_cleaned() {
        for (name, cleaned) in [
            ("NOMAD_META_a-b.c", "NOMAD_META_a_b.c"),
            ("NOMAD_PORT_ü", "NOMAD_PORT___"),
            ("NOMAD_HOST_IP_a-b", "NOMAD_HOST_IP_a-b"),
            ("MY-NAME", "MY-NAME"),
        ] {
            assert_eq!(clean(name), cleaned);
        }
    }
}
