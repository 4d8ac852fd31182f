//! Checks a state against itself: every index, count and sum is made anew from the rows and compared.
//!
//! For property tests, the simulation and `doctor`; nobody calls it while serving.

use std::collections::BTreeMap;

use nomadd_model::{EvaluationStatus, NodeId};

use crate::apply::is_live;
use crate::state::State;
use crate::usage::{Footprint, NodeUsage};

impl State {
    /// What contradicts itself, in sentences; empty when all is well.
    pub fn verify(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.verify_usage(&mut wrong);
        self.verify_allocations(&mut wrong);
        self.verify_jobs(&mut wrong);
        wrong
    }

    fn verify_usage(&self, wrong: &mut Vec<String>) {
        let mut sums: BTreeMap<NodeId, NodeUsage> = BTreeMap::new();
        for allocation in self.allocations().filter(|allocation| self.holds_resources(allocation)) {
            sums.entry(allocation.node_id).or_default().add(&Footprint::of(&allocation.allocated_resources));
        }
        for (id, record) in &self.nodes {
            let sum = sums.remove(id).unwrap_or_default();
            if record.usage != sum {
                wrong.push(format!("node {id} has the sum {:?}, its allocations hold {sum:?}", record.usage));
            }
        }
        for id in &self.released {
            if self.allocations.get(id).is_none_or(|allocation| allocation.client_status.is_terminal()) {
                wrong.push(format!("allocation {id} is noted as released, but is done or gone"));
            }
        }
    }

    fn verify_allocations(&self, wrong: &mut Vec<String>) {
        let (mut by_job, mut by_node, mut by_evaluation, mut by_deployment) = (0, 0, 0, 0);
        for allocation in self.allocations() {
            let id = allocation.id;
            let Some(record) = self.record(&allocation.namespace, &allocation.job_id) else {
                wrong.push(format!("allocation {id} has no job record"));
                continue;
            };
            by_job += usize::from(self.allocations_by_job.contains(&(record.number, id)));
            by_node += usize::from(self.allocations_by_node.contains(&(allocation.node_id, id)));
            by_evaluation += usize::from(self.allocations_by_evaluation.contains(&(allocation.eval_id, id)));
            if allocation.deployment_id.is_some() {
                by_deployment += usize::from(self.allocations_by_deployment.contains(&(allocation.deployment_id, id)));
            }
            if self.job_of(allocation).is_none() {
                wrong.push(format!("the job version of allocation {id} cannot be read"));
            }
        }
        let deployed = self.allocations().filter(|allocation| allocation.deployment_id.is_some()).count();
        for (name, rows, found, size) in [
            ("job", self.allocations.len(), by_job, self.allocations_by_job.len()),
            ("node", self.allocations.len(), by_node, self.allocations_by_node.len()),
            ("evaluation", self.allocations.len(), by_evaluation, self.allocations_by_evaluation.len()),
            ("deployment", deployed, by_deployment, self.allocations_by_deployment.len()),
        ] {
            if rows != found || rows != size {
                wrong.push(format!("{rows} allocations, of which {found} are in the index by {name} of {size}"));
            }
        }
    }

    fn verify_jobs(&self, wrong: &mut Vec<String>) {
        for (key, record) in &self.jobs {
            let allocations: Vec<_> = self.allocations_by_job(&key.namespace, &key.id).collect();
            let evaluations: Vec<_> = self.evaluations_by_job(&key.namespace, &key.id).collect();
            let deployments: Vec<_> = self.deployments_by_job(&key.namespace, &key.id).collect();
            let live = allocations.iter().filter(|allocation| is_live(allocation)).count();
            let pending = evaluations.iter().filter(|evaluation| !evaluation.status.is_terminal()).count();
            let blocked =
                evaluations.iter().filter(|evaluation| evaluation.status == EvaluationStatus::Blocked).count();
            let active = deployments.iter().filter(|deployment| deployment.status.is_active()).count();
            let pinned: u32 = record.pins.values().map(|pin| pin.allocations).sum();
            for (what, count, kept) in [
                ("allocations", allocations.len(), record.allocations),
                ("referring allocations", allocations.len(), pinned),
                ("live allocations", live, record.live_allocations),
                ("evaluations", evaluations.len(), record.evaluations),
                ("live evaluations", pending, record.live_evaluations),
                ("blocked evaluations", blocked, record.blocked_evaluations),
                ("deployments", deployments.len(), record.deployments),
                ("active deployments", active, record.active_deployments),
            ] {
                if count != kept as usize {
                    wrong.push(format!("job {key} has {count} {what}, and {kept} are counted"));
                }
            }
            if record.is_empty() {
                wrong.push(format!("job {key} has an empty record"));
            }
            if record.job.is_some() && record.job.as_ref() != record.versions.first() {
                wrong.push(format!("job {key} is not its newest version"));
            }
        }
        let (jobs, evaluations) = (self.evaluations_by_job.len(), self.evaluations.len());
        if jobs != evaluations {
            wrong.push(format!("{evaluations} evaluations, and {jobs} in the index by job"));
        }
    }

    /// The nodes on which allocations hold more than the node has; none, unless a node has shrunk.
    pub fn exceeded_nodes(&self) -> Vec<NodeId> {
        let over = |usage: &NodeUsage, record: &crate::table::nodes::NodeRecord| {
            usage.cpu_shares > record.capacity.cpu_shares
                || usage.memory_mb > record.capacity.memory_mb
                || usage.disk_mb > record.capacity.disk_mb
                || record.capacity.max_allocations > 0 && u64::from(usage.allocations) > record.capacity.max_allocations
                || usage.holds_something_twice()
        };
        self.nodes.iter().filter(|(_, record)| over(&record.usage, record)).map(|(id, _)| *id).collect()
    }
}
