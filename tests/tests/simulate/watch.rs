//! What must hold at every step and what must hold in the end. Counts by itself what nodes hold: the state's own sums are under
//! test, too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nomadd_model::{AllocationId, ClientStatus, DesiredStatus};
use nomadd_raft::ServerId;
use nomadd_state::State;

use super::host::Host;
use super::node::{FakeNode, MEMORY};
use super::work::{self, Desk};

/// What was seen so far.
#[derive(Default)]
pub struct Watch {
    /// The state at an index, as the first server showed it.
    states: BTreeMap<u64, (usize, Arc<State>)>,
    /// The last index of each server's life.
    last: BTreeMap<usize, (u64, u64)>,
    leaders: BTreeMap<u64, ServerId>,
    /// The newest word of the client on each allocation.
    words: BTreeMap<AllocationId, u64>,
    words_index: u64,
    looked: u64,
    pub compared: u64,
    pub wrong: Vec<String>,
}

impl Watch {
    /// After every step.
    pub fn look(&mut self, hosts: &[Host]) {
        for host in hosts {
            let Some(running) = &host.running else { continue };
            let leadership = running.raft.leadership().borrow().clone();
            if leadership.leading {
                let leader = *self.leaders.entry(leadership.term).or_insert(running.raft.id());
                if leader != running.raft.id() {
                    self.wrong.push(format!("term {} has two leaders", leadership.term));
                }
            }
            if let Some(text) = running.raft.refused() {
                self.wrong.push(format!("s{} must not take part: {text}", host.number));
            }
            let index = running.raft.applied_index();
            let (life, before) = self.last.insert(host.number, (host.lives, index)).unwrap_or_default();
            if life == host.lives && index == before {
                continue;
            }
            if life == host.lives && index < before {
                self.wrong.push(format!("s{} went back from index {before} to {index}", host.number));
            }
            let state = running.raft.state();
            match self.states.get(&index) {
                Some((other, known)) => {
                    self.compared += 1;
                    if **known != *state {
                        self.wrong.push(format!(
                            "s{} and s{other} differ at index {index}: {}",
                            host.number,
                            difference(known, &state)
                        ));
                    }
                }
                None => {
                    self.one(host.number, index, &state);
                    self.states.insert(index, (host.number, state));
                }
            }
            while self.states.len() > 400 {
                self.states.pop_first();
            }
        }
    }

    /// A state that was not seen before.
    fn one(&mut self, server: usize, index: u64, state: &State) {
        self.looked += 1;
        if self.looked.is_multiple_of(8) {
            self.wrong.extend(state.verify().into_iter().map(|what| format!("at index {index} on s{server} {what}")));
        }
        let mut memory: BTreeMap<_, i64> = BTreeMap::new();
        let mut ports = BTreeSet::new();
        let mut names = BTreeSet::new();
        let held = state
            .allocations()
            .filter(|found| found.desired_status == DesiredStatus::Run && !found.client_status.is_terminal());
        for found in held {
            let resources = &found.allocated_resources;
            *memory.entry(found.node_id).or_default() +=
                resources.tasks.values().map(|task| task.memory.memory_mb).sum::<i64>();
            for port in &resources.shared.ports {
                if !ports.insert((found.node_id, port.value)) {
                    self.wrong.push(format!("at index {index} port {} of a node is given twice", port.value));
                }
            }
            let lost = found.client_status == ClientStatus::Unknown || found.desired_transition.migrate == Some(true);
            if !lost && !names.insert(found.name.clone()) {
                self.wrong.push(format!("at index {index} {} is to run twice", found.name));
            }
        }
        for (node, memory) in memory {
            if memory > MEMORY {
                self.wrong.push(format!("at index {index} node {} has promised {memory} MB of {MEMORY}", node.short()));
            }
        }
        if index < self.words_index {
            return;
        }
        self.words_index = index;
        for found in state.allocations() {
            let Ok(word) = found.client_description.parse::<u64>() else { continue };
            let before = self.words.insert(found.id, word).unwrap_or(0);
            if word < before {
                self.wrong.push(format!(
                    "at index {index} allocation {} went back from its node's word {before} to {word}",
                    found.id.short()
                ));
            }
        }
    }

    /// Whether all is as it should be in the end; what is still missing.
    pub fn missing(&self, hosts: &[Host], nodes: &[FakeNode], desk: &Desk) -> Vec<String> {
        let mut missing = Vec::new();
        let running: Vec<_> = hosts.iter().filter_map(|host| host.running.as_ref()).collect();
        if running.len() < hosts.len() {
            missing.push("a server is down".to_owned());
            return missing;
        }
        let index = running[0].raft.applied_index();
        if running.iter().any(|one| one.raft.applied_index() != index) {
            let all: Vec<u64> = running.iter().map(|one| one.raft.applied_index()).collect();
            missing.push(format!("the servers are at {all:?}"));
        }
        let leading = running.iter().filter(|one| one.server.leads()).count();
        if leading != 1 {
            missing.push(format!("{leading} servers lead"));
        }
        let state = running[0].raft.state();
        for id in work::JOBS {
            let Some(job) = state.job("default", id) else { continue };
            let wanted: i64 = job.task_groups.iter().map(|group| group.count).sum();
            let of_job: Vec<_> = state.allocations_by_job("default", id).collect();
            let right = of_job
                .iter()
                .filter(|one| one.desired_status == DesiredStatus::Run && one.client_status == ClientStatus::Running)
                .filter(|one| one.job_version == job.version)
                .count();
            if right as i64 != wanted {
                missing.push(format!("{id} has {right} of {wanted} running at version {}", job.version));
                missing.extend(of_job.iter().filter(|one| one.desired_status == DesiredStatus::Run).map(|one| {
                    let (status, node) = (one.client_status, one.node_id.short());
                    let (version, made) = (one.job_version, one.create_index);
                    format!("  {} {status} on {node} of version {version}, made at {made}", one.name)
                }));
                missing.extend(state.evaluations_by_job("default", id).map(|one| {
                    let (status, cause, index) = (one.status, &one.triggered_by, one.modify_index);
                    format!("  evaluation {} {status} by {cause} at {index}", one.id.short())
                }));
            }
            let open = state.evaluations_by_job("default", id).filter(|one| !one.status.is_terminal()).count();
            if open > 0 {
                missing.push(format!("{id} has {open} open evaluations"));
            }
        }
        for node in nodes {
            let (said, waiting) = node.said();
            if waiting > 0 {
                missing.push(format!("{} has {waiting} words to say", node.address));
            }
            for (id, (word, status)) in said {
                // What was collected meanwhile is gone.
                let Some(found) = state.allocation(id) else { continue };
                // The servers say themselves that what was on a node that was down is lost.
                if found.client_status != status || found.client_description.as_ref() != word.to_string() {
                    missing.push(format!(
                        "allocation {} is {} ({:?}) and its node last said {status} ({word})",
                        id.short(),
                        found.client_status,
                        found.client_description
                    ));
                }
            }
        }
        let gone: Vec<_> =
            desk.acknowledged.lock().unwrap().iter().filter(|name| state.namespace(name).is_none()).cloned().collect();
        if !gone.is_empty() {
            missing.push(format!("acknowledged namespaces are gone: {}", gone.join(" ")));
        }
        missing
    }
}

/// Where two states differ, roughly.
fn difference(a: &State, b: &State) -> String {
    let mut parts = Vec::new();
    if !a.jobs().eq(b.jobs()) {
        parts.push("jobs");
    }
    if !a.nodes().eq(b.nodes()) {
        parts.push("nodes");
    }
    if !a.allocations().eq(b.allocations()) {
        parts.push("allocations");
    }
    if !a.evaluations().eq(b.evaluations()) {
        parts.push("evaluations");
    }
    if !a.namespaces().eq(b.namespaces()) {
        parts.push("namespaces");
    }
    if parts.is_empty() { "elsewhere".to_owned() } else { parts.join(", ") }
}
