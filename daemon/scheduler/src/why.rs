//! Why something of a job is not placed or not running, in plain words, and what would help.
//!
//! A pure look at a state, for `nomadctl job why`. It asks the same feasibility and the same sums as a placement would.

use std::collections::BTreeMap;

use nomadd_model::{
    Allocation, ClientStatus, DeploymentStatus, EvaluationStatus, Job, Node, NodeStatus, TaskEventKind, TaskGroup,
    TaskStatus, Text,
};
use nomadd_state::State;

use crate::ask::Ask;
use crate::feasible;
use crate::fleet::{self, Fleet};
use crate::offer::{amount_on, usable_cores};
use crate::rank::binpack::Amount;
use crate::reconcile::classify::is_terminal;
use crate::reconcile::{deployment, reschedule};

/// What is wrong with one group (or the whole job), and what would help.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The group; empty: the job.
    pub group: Text,
    /// One sentence.
    pub summary: String,
    /// Why, most important first.
    pub reasons: Vec<String>,
    /// What would help.
    pub suggestions: Vec<String>,
}

/// Explains a job; empty when everything is as it shall be.
pub fn why(state: &State, job: &Job) -> Vec<Explanation> {
    let mut explanations = Vec::new();
    if job.stop {
        explanations.push(Explanation {
            summary: format!("job {:?} is stopped", job.id),
            reasons: vec!["somebody stopped it, so nothing of it shall run".to_owned()],
            suggestions: vec![format!("start it again with `nomadctl job start {}`", job.id)],
            ..Explanation::default()
        });
        return explanations;
    }
    explanations.extend(explain_evaluations(state, job));
    let fleet = Fleet::new(state);
    for group in &job.task_groups {
        explanations.extend(explain_group(state, &fleet, job, group));
    }
    explanations
}

/// An evaluation that nobody has looked at yet, or that failed.
fn explain_evaluations(state: &State, job: &Job) -> Option<Explanation> {
    let newest = state.evaluations_by_job(&job.namespace, &job.id).max_by_key(|evaluation| evaluation.modify_index)?;
    let (summary, suggestion) = match newest.status {
        EvaluationStatus::Pending if newest.wait_until.unix_nanos() == 0 => {
            ("an evaluation of the job has not been processed yet", "wait a moment and ask again")
        }
        EvaluationStatus::Failed => ("the last evaluation of the job failed", "evaluate the job again"),
        _ => return None,
    };
    Some(Explanation {
        summary: summary.to_owned(),
        reasons: match newest.status_description.as_str() {
            "" => Vec::new(),
            description => vec![format!("evaluation {}: {description}", newest.id.short())],
        },
        suggestions: vec![format!("{suggestion} (`nomadctl job eval {}`)", job.id)],
        ..Explanation::default()
    })
}

fn explain_group(state: &State, fleet: &Fleet, job: &Job, group: &TaskGroup) -> Option<Explanation> {
    let mut explanation = Explanation { group: group.name.clone(), ..Explanation::default() };
    let allocations: Vec<_> = state
        .allocations_by_job(&job.namespace, &job.id)
        .filter(|one| one.task_group == group.name && one.job_create_index == job.create_index)
        .collect();
    let done = |one: &Allocation| job.kind.is_batch() && one.client_status == ClientStatus::Complete;
    let counted = allocations.iter().filter(|one| !is_terminal(one) || done(one)).count();
    let running =
        allocations.iter().filter(|one| one.client_status == ClientStatus::Running && !is_terminal(one)).count();
    let ended = allocations.iter().filter(|one| done(one)).count();
    let ask = Ask::new(job, group, state);
    let wanted = match job.kind.is_system() {
        true => fleet
            .rows()
            .iter()
            .zip(state.nodes())
            .filter(|(row, node)| {
                row.ready && feasible::is_in_reach(job, node) && feasible::verdict(&ask, node).is_ok()
            })
            .count(),
        false => usize::try_from(group.count).unwrap_or(0),
    };
    let missing = wanted.saturating_sub(counted);
    // Failed ones hold their places: their own story, below, says whether and when they are tried again.
    let failed = allocations.iter().filter(|one| holds_as_failed(one)).count().min(missing);
    if missing > failed || wanted == 0 && job.kind.is_system() && counted == 0 {
        explain_missing(state, fleet, job, &ask, &mut explanation);
    }
    for allocation in &allocations {
        explain_allocation(state, job, allocation, &mut explanation);
    }
    if let Some(found) = state.latest_deployment(&job.namespace, &job.id) {
        let current = found.job_version == job.version && found.job_create_index == job.create_index;
        if current && matches!(found.status, DeploymentStatus::Paused | DeploymentStatus::Failed) {
            explanation.reasons.push(format!("deployment {}: {}", found.id.short(), found.status_description));
            explanation.suggestions.push(match found.status {
                DeploymentStatus::Paused => format!("resume it with `nomadctl deployment resume {}`", found.id.short()),
                _ => "repair the job and run it again, or revert to the version before".to_owned(),
            });
        } else if current && found.status == DeploymentStatus::Running && !deployment::is_healthy(found, &group.name) {
            explain_deployment(found, group, &mut explanation);
        }
    }
    explanation.reasons.dedup();
    explanation.suggestions.sort();
    explanation.suggestions.dedup();
    explanation.summary = match missing {
        0 if explanation.reasons.is_empty() => return None,
        0 if job.kind.is_batch() => format!("{ended} of {wanted} are complete, {running} are running"),
        0 => format!("{running} of {wanted} are running"),
        _ if failed == missing => format!("{failed} of {wanted} have failed, {running} are running"),
        _ if failed > 0 => {
            let unplaced = missing - failed;
            format!("{failed} of {wanted} have failed, {unplaced} are not placed, {running} are running")
        }
        _ => format!("{missing} of {wanted} are not placed, {running} are running"),
    };
    Some(explanation)
}

/// Whether an allocation failed and nothing has taken its place.
fn holds_as_failed(allocation: &Allocation) -> bool {
    allocation.client_status == ClientStatus::Failed
        && allocation.next_allocation.is_none()
        && !allocation.desired_status.is_terminal()
}

fn explain_deployment(found: &nomadd_model::Deployment, group: &TaskGroup, explanation: &mut Explanation) {
    let Some(state) = found.task_groups.get(&group.name) else { return };
    let waiting = state.placed_allocs - state.healthy_allocs - state.unhealthy_allocs;
    if state.unhealthy_allocs > 0 {
        explanation
            .reasons
            .push(format!("{} of the new version are unhealthy, so no more are replaced", state.unhealthy_allocs));
    } else if waiting > 0 {
        let span = group.update.as_ref().map(|update| update.min_healthy_time).unwrap_or_default();
        explanation.reasons.push(format!("{waiting} of the new version have not been healthy for {span} yet"));
    }
}

/// Why the nodes do not take it, and what is nearest to fitting.
fn explain_missing(state: &State, fleet: &Fleet, job: &Job, ask: &Ask<'_>, explanation: &mut Explanation) {
    let nodes: Vec<&Node> = state.nodes().map(|node| &**node).collect();
    if nodes.is_empty() {
        explanation.reasons.push("there is no node at all".to_owned());
        explanation.suggestions.push("start an agent with its client enabled".to_owned());
        return;
    }
    let all = nodes.len();
    let mut counts: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut note = |reason: String, help: String| {
        counts.entry(reason).or_insert((0, help)).0 += 1;
    };
    let mut feasible_nodes = Vec::new();
    for node in nodes {
        if let Err((reason, help)) = reach(job, node) {
            note(reason, help);
        } else if let Some((reason, help)) = exclusion(ask, node) {
            note(reason, help);
        } else {
            feasible_nodes.push(node);
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    for (reason, (count, help)) in counts {
        explanation.reasons.push(format!("{count} of {all} nodes {reason}"));
        if !help.is_empty() {
            explanation.suggestions.push(help);
        }
    }
    if !feasible_nodes.is_empty() {
        explain_resources(state, fleet, ask, &feasible_nodes, explanation);
    }
}

/// Whether a node is the job's to use, and if not why.
fn reach(job: &Job, node: &Node) -> Result<(), (String, String)> {
    let none = String::new;
    if node.status != NodeStatus::Ready {
        return Err((format!("are {}", node.status), none()));
    }
    if node.drain || node.drain_strategy.is_some() {
        return Err(("are being drained".to_owned(), none()));
    }
    if !fleet::is_ready(node) {
        let help = "make nodes eligible with `nomadctl node eligibility -enable NODE`".to_owned();
        return Err(("are ineligible for new allocations".to_owned(), help));
    }
    if feasible::is_in_reach(job, node) {
        return Ok(());
    }
    let in_datacenter =
        job.datacenters.iter().any(|pattern| crate::target::datacenter_matches(pattern, &node.datacenter));
    if in_datacenter {
        let help = format!("set `node_pool` to one that has nodes, such as {:?}", node.node_pool);
        Err((format!("are not in node pool {:?}", job.node_pool), help))
    } else {
        let wanted = job.datacenters.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let help = format!("add {:?} to `datacenters`", node.datacenter);
        Err((format!("are not in datacenter {wanted}"), help))
    }
}

/// Why a node may not run the group, and what would help.
fn exclusion(ask: &Ask<'_>, node: &Node) -> Option<(String, String)> {
    let missing = feasible::missing_drivers(ask, node);
    let rule = ask.job_rules.iter().chain(&ask.group_rules).find(|rule| !rule.holds(node));
    if let Some(rule) = rule {
        let id = node.id.to_string();
        let found = match rule.left.resolve(node, &id) {
            Some(value) => format!("on {} it is {value:?}", node.name),
            None => format!("{} does not have it", node.name),
        };
        return Some((
            format!("do not satisfy `{}`", rule.text),
            format!("change the constraint `{}`: {found}", rule.text),
        ));
    }
    if !missing.is_empty() {
        let names = missing.join(", ");
        let unhealthy = missing.iter().find_map(|name| {
            let info = node.drivers.get(*name)?;
            (info.detected && !info.healthy).then(|| info.health_description.clone())
        });
        let help = match unhealthy.as_deref() {
            None | Some("") => format!("enable or install driver {names} on a node"),
            Some(text) => format!("driver {names} on {} says: {text}", node.name),
        };
        return Some((format!("lack driver {names}"), help));
    }
    match feasible::verdict(ask, node) {
        Ok(()) => None,
        Err(reason) => Some((format!("are excluded: {reason}"), String::new())),
    }
}

/// The nodes may run it and have no room: what is free at most, against what is asked.
fn explain_resources(state: &State, fleet: &Fleet, ask: &Ask<'_>, nodes: &[&Node], explanation: &mut Explanation) {
    let mut best: [Option<(i64, &Node)>; 3] = [None; 3];
    let mut short: BTreeMap<&'static str, usize> = BTreeMap::new();
    let (mut fitting, mut out_of_cores) = (0, 0);
    for node in nodes {
        let Some(row) = fleet.find(node.id).and_then(|row| fleet.row(row)) else { continue };
        let free = row.capacity.minus(row.used);
        for (slot, amount) in best.iter_mut().zip([free.cpu, free.memory, free.disk]) {
            if slot.is_none_or(|(most, _)| amount > most) {
                *slot = Some((amount, node));
            }
        }
        match row.misfit(amount_on(ask, node)) {
            Some(dimension) => *short.entry(dimension).or_default() += 1,
            None if cores_free(state, node) < ask.cores => out_of_cores += 1,
            None => fitting += 1,
        }
    }
    let Amount { cpu, memory, disk } = nodes.first().map(|node| amount_on(ask, node)).unwrap_or_default();
    let units = [("cpu", cpu, "MHz"), ("memory", memory, "MB"), ("disk", disk, "MB")];
    for ((dimension, asked, unit), best) in units.into_iter().zip(best) {
        let (Some(count), Some((most, node))) = (short.get(dimension), best) else { continue };
        explanation.reasons.push(format!(
            "{count} of {} suitable nodes have not enough free {dimension}: largest free {dimension} is {most} {unit} \
             on node {}, the group asks {asked} {unit}",
            nodes.len(),
            node.name,
        ));
        let help = match most {
            1.. if most >= asked / 2 => {
                format!("ask for at most {most} {unit} of {dimension}, stop something, or add a node")
            }
            _ => format!("stop something or add a node with at least {asked} {unit} of free {dimension}"),
        };
        explanation.suggestions.push(help);
    }
    if let Some(count) = short.get("max allocation exceeded") {
        explanation.reasons.push(format!("{count} of {} suitable nodes take no more allocations", nodes.len()));
    }
    if out_of_cores > 0 {
        let text = format!("{out_of_cores} of {} suitable nodes do not have {} free cores", nodes.len(), ask.cores);
        explanation.reasons.push(text);
    }
    if fitting > 0 {
        explain_named(state, ask, nodes, fitting, explanation);
    }
}

fn cores_free(state: &State, node: &Node) -> usize {
    let usage = state.node_usage(node.id);
    usable_cores(node).into_iter().filter(|core| !usage.is_some_and(|usage| usage.core_is_taken(*core))).count()
}

/// There is room in numbers: then ports, devices or `distinct_*` are in the way, or it is only a matter of time.
fn explain_named(state: &State, ask: &Ask<'_>, nodes: &[&Node], fitting: usize, explanation: &mut Explanation) {
    let before = explanation.reasons.len();
    let ports = ask.network.into_iter().flat_map(|network| &network.reserved_ports);
    for port in ports.filter(|port| !port.ignore_collision) {
        let held = |node: &&&Node| {
            let usage = state.node_usage(node.id);
            let number = u16::try_from(port.value).unwrap_or(0);
            usage.is_some_and(|usage| usage.addresses().any(|address| usage.port_holders(address, number) > 0))
        };
        let count = nodes.iter().filter(held).count();
        if count > 0 {
            explanation.reasons.push(format!(
                "static port {} is taken on {count} of {} suitable nodes",
                port.value,
                nodes.len()
            ));
            explanation.suggestions.push(format!("use a dynamic port instead of the static port {}", port.value));
        }
    }
    if ask.distinct_hosts.is_some() {
        explanation.reasons.push("distinct_hosts allows one allocation per node".to_owned());
        explanation.suggestions.push("add nodes, or lower the count".to_owned());
    }
    for property in &ask.distinct_properties {
        let text = format!("distinct_property allows {} per value of {}", property.allowed, property.name);
        explanation.reasons.push(text);
    }
    if explanation.reasons.len() == before {
        explanation.reasons.push(format!("{fitting} nodes have room now, the scheduler has not looked again yet"));
        explanation.suggestions.push(format!("`nomadctl job eval {}` makes it look now", ask.job.id));
    }
}

/// Why an allocation does not run.
fn explain_allocation(state: &State, job: &Job, allocation: &Allocation, explanation: &mut Explanation) {
    let short = allocation.id.short();
    if allocation.desired_status.is_terminal() || !allocation.next_allocation.is_none() {
        return;
    }
    match allocation.client_status {
        ClientStatus::Failed => {
            let failed = allocation.task_states.iter().filter(|(_, task)| task.failed);
            let mut reasons: Vec<String> = failed
                .map(|(name, task)| format!("allocation {short} failed: task {name}: {}", last_word(task)))
                .collect();
            if reasons.is_empty() {
                reasons.push(format!("allocation {short} failed: {}", allocation.client_description));
            }
            explanation.reasons.append(&mut reasons);
            explanation.suggestions.push(format!("look at its logs: `nomadctl alloc logs {short}`"));
            let policy = reschedule::policy(state.job_of(allocation).map(|job| &**job), allocation);
            match reschedule::due(policy, allocation, reschedule::failed_at(allocation)) {
                Some(at) => explanation.reasons.push(format!("it is placed again at {at}")),
                None if !job.kind.is_system() => {
                    explanation.reasons.push("its reschedule policy allows no further try".to_owned())
                }
                None => {}
            }
        }
        ClientStatus::Unknown => {
            explanation
                .reasons
                .push(format!("allocation {short} is unknown: node {} is out of contact", allocation.node_name));
        }
        ClientStatus::Pending | ClientStatus::Running => {
            let node = state.node(allocation.node_id);
            if let Some(node) = node.filter(|node| node.status != NodeStatus::Ready) {
                explanation
                    .reasons
                    .push(format!("allocation {short} is on node {}, which is {}", node.name, node.status));
            }
            for (name, task) in allocation.task_states.iter().filter(|(_, task)| task.state == TaskStatus::Pending) {
                let restarting = task.events.last().is_some_and(|event| event.kind == TaskEventKind::Restarting);
                let text = if restarting { "is restarting" } else { "has not started" };
                explanation.reasons.push(format!("allocation {short}: task {name} {text}: {}", last_word(task)));
                if restarting {
                    explanation.suggestions.push(format!("look at its logs: `nomadctl alloc logs {short} {name}`"));
                }
            }
            if allocation.task_states.is_empty() && allocation.client_status == ClientStatus::Pending {
                explanation
                    .reasons
                    .push(format!("allocation {short}: node {} has not started it yet", allocation.node_name));
            }
        }
        ClientStatus::Complete | ClientStatus::Lost => {}
    }
}

/// What the last telling event of a task says.
fn last_word(task: &nomadd_model::TaskState) -> String {
    let telling = task.events.iter().rev().find(|event| {
        !matches!(event.kind, TaskEventKind::NotRestarting | TaskEventKind::Killing | TaskEventKind::Killed)
    });
    telling.or(task.events.last()).map_or_else(|| "no event yet".to_owned(), |event| event.display_message())
}
