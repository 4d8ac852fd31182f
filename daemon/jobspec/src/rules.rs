//! What a job file means beyond its blocks: shortcuts of constraints, ports that are reserved, lone tasks, inherited
//! Vault blocks and secrets, the default identity.

use serde_json::{Value as Json, json};

use crate::decode::{Dialect, Instance};
use crate::diagnostic::{Outcome, Problem};
use crate::node::{Field, Node};
use crate::schema::Inner;

/// Applies the rules of one block, right after it was decoded.
pub(crate) fn after_block(inner: &Inner, block: &Instance<'_>, node: &mut Node) -> Outcome<()> {
    match inner.api {
        "Constraints" | "Affinities" => operand(node),
        "Networks" => reserve_ports(node),
        "Vault" => {
            node.fill("Env", Json::Bool(true));
            node.fill("DisableFile", Json::Bool(false));
            node.fill("ChangeMode", Json::from("restart"));
        }
        "Templates" => {
            node.fill("ChangeMode", Json::from("restart"));
            node.fill("Perms", Json::from("0644"));
            node.fill("Splay", Json::from(5_000_000_000_i64));
            node.fill("ErrMissingKey", Json::Bool(false));
        }
        "Periodic" if node.has("Spec") || node.has("Specs") => node.set("SpecType", Json::from("cron")),
        "Scaling" => return group_scaling(block, node),
        "ScalingPolicies" => return task_scaling(block, node),
        _ => {}
    }
    Ok(())
}

/// The shortcuts (`version = ">= 3"`) become operator and targets.
fn operand(node: &mut Node) {
    for shortcut in ["version", "semver", "regexp", "set_contains", "set_contains_all", "set_contains_any"] {
        if let Some(Field::Plain(value)) = node.take(shortcut) {
            node.set("RTarget", value);
            node.set("Operand", Json::from(shortcut));
        }
    }
    if let Some(distinct) = node.bool("distinct_hosts") {
        node.take("distinct_hosts");
        node.set("RTarget", Json::from(if distinct { "true" } else { "false" }));
        node.set("Operand", Json::from("distinct_hosts"));
    }
    if let Some(Field::Plain(value)) = node.take("distinct_property") {
        node.set("LTarget", value);
        node.set("Operand", Json::from("distinct_property"));
    }
    if node.text("Operand").is_none_or(str::is_empty) {
        node.set("Operand", Json::from("="));
    }
}

/// Ports with a number of their own are reserved, the others are dynamic.
fn reserve_ports(node: &mut Node) {
    let mut reserved = node.take_many("ReservedPorts");
    let mut dynamic = Vec::new();
    for port in node.take_many("DynamicPorts") {
        if port.integer("Value").is_some_and(|value| value > 0) { reserved.push(port) } else { dynamic.push(port) }
    }
    for (name, ports) in [("ReservedPorts", reserved), ("DynamicPorts", dynamic)] {
        if !ports.is_empty() {
            node.put(name, Field::Many(ports));
        }
    }
}

fn group_scaling(block: &Instance<'_>, node: &mut Node) -> Outcome<()> {
    if node.text("Type").is_some_and(|kind| kind != "horizontal") {
        let detail = format!(
            "Invalid policy type, expected \"horizontal\" but found {:?}",
            node.text("Type").unwrap_or_default()
        );
        return Err(Problem::new(block.head, "Invalid scaling policy type", detail));
    }
    if !node.has("Max") {
        let detail = "The argument \"max\" is required, but no definition was found.";
        return Err(Problem::new(block.head, "Missing required argument", detail));
    }
    node.set("Type", Json::from("horizontal"));
    Ok(())
}

fn task_scaling(block: &Instance<'_>, node: &mut Node) -> Outcome<()> {
    let Some(label) = block.labels.first() else { return Ok(()) };
    node.take("name");
    let kind = match label.text.to_lowercase().as_str() {
        "cpu" => "vertical_cpu",
        "mem" => "vertical_mem",
        _ => {
            return Err(Problem::new(
                label.span,
                "Invalid scaling policy name",
                "scaling policy name must be \"cpu\" or \"mem\"",
            ));
        }
    };
    if let Some(given) = node.text("Type").filter(|given| *given != kind) {
        let detail = format!("Invalid policy type, expected {kind:?} but found {given:?}");
        return Err(Problem::new(block.head, "Invalid scaling policy type", detail));
    }
    node.set("Type", Json::from(kind));
    Ok(())
}

/// Applies the rules of the whole job. Groups of old job files mean the default Consul, as the Nomad that read them said.
pub(crate) fn after_job(job: &mut Node, dialect: Dialect) {
    job.fill("ID", Json::from(""));
    if !job.has("Name")
        && let Some(label) = job.text("Label").map(str::to_owned)
    {
        job.set("Name", Json::from(label));
    }
    job.take("Label");
    let lone = job.take_many("Tasks").into_iter().map(lone_group);
    let groups: Vec<Node> = lone.chain(job.take_many("TaskGroups")).collect();
    let (job_vault, job_secrets) = (job.take_one("Vault"), job.take_many("Secrets"));
    let mut groups: Vec<Node> =
        groups.into_iter().map(|group| inherit(group, job_vault.as_ref(), &job_secrets)).collect();
    for group in groups.iter_mut().filter(|group| dialect == Dialect::Hcl1 && !group.has("Consul")) {
        group.set("Consul", json!({ "Cluster": "default" }));
    }
    if !groups.is_empty() {
        job.put("TaskGroups", Field::Many(groups));
    }
}

/// A task that stands in the job makes a group of its own name.
fn lone_group(task: Node) -> Node {
    let mut group = Node::new(task.span);
    group.set("Name", Json::from(task.text("Name").unwrap_or_default()));
    group.put("Tasks", Field::Many(vec![task]));
    group
}

/// The nearest Vault block wins whole; secrets of the job are added to each task's.
fn inherit(mut group: Node, job_vault: Option<&Node>, job_secrets: &[Node]) -> Node {
    let vault = group.take_one("Vault").or_else(|| job_vault.cloned());
    let secrets = group.take_many("Secrets");
    for task in group.many_mut("Tasks") {
        if let (Some(vault), false) = (&vault, task.has("Vault")) {
            task.put("Vault", Field::One(vault.clone()));
        }
        let mut all = task.take_many("Secrets");
        // As Nomad 2.0.5 does it: beside secrets of its own a task does not get the group's, but its own once more.
        let from_group = if all.is_empty() || secrets.is_empty() { secrets.clone() } else { all.clone() };
        all.extend(from_group.into_iter().chain(job_secrets.iter().cloned()));
        if !all.is_empty() {
            task.put("Secrets", Field::Many(all));
        }
        default_identity(task);
    }
    group
}

/// The identity without a name, or named "default", is the task's own; the others stay in the list.
fn default_identity(task: &mut Node) {
    if !task.has("Identities") {
        return;
    }
    let (own, others): (Vec<Node>, Vec<Node>) = task
        .take_many("Identities")
        .into_iter()
        .partition(|identity| matches!(identity.text("Name"), None | Some("" | "default")));
    if let Some(identity) = own.into_iter().next_back() {
        task.put("Identity", Field::One(identity));
    }
    task.put("Identities", Field::Many(others));
}
