//! New allocations of a committed plan, written together: each table and each record is visited once, in key order.
//!
//! A plan may bring a thousand of them while a snapshot is held, and then every leaf that is touched is copied.

use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::{
    AllocDeploymentStatus, Allocation, AllocationId, DeploymentId, Job, NodeId, Placement, PlacementBatch, Plan, Text,
};

use super::Applier;
use super::versions;
use crate::event::{EventKind, Subject};
use crate::key::JobKey;
use crate::usage::Footprint;
use crate::watch::WatchKey;

/// A placement with what it needs.
pub(crate) struct Wanted<'p> {
    pub(crate) batch: &'p PlacementBatch,
    pub(crate) placement: &'p Placement,
    pub(crate) group: Text,
    pub(crate) holds: Arc<Footprint>,
}

/// How many allocations join a deployment, and which of them are canaries.
#[derive(Default)]
struct Joined {
    count: i64,
    canaries: Vec<AllocationId>,
}

impl Applier<'_> {
    /// Writes the placements, which are in the order of their ids and have been checked.
    pub(crate) fn place_all(&mut self, plan: &Plan, key: &JobKey, job: &Job, placed: &[&Wanted<'_>]) {
        if placed.is_empty() {
            return;
        }
        let node_names = self.hold(placed);
        let number = self.count_new(key, job, placed);
        let mut name = String::new();
        for (wanted, node_name) in placed.iter().zip(node_names) {
            let allocation = self.allocation(plan, job, wanted, &mut name, node_name);
            let (id, allocation) = (allocation.id, Arc::new(allocation));
            self.wrote(&allocation);
            self.event(EventKind::PlanResult, Subject::Allocation(id));
            self.state.allocations.insert(id, allocation);
        }
        for wanted in placed {
            self.state.allocations_by_job.insert((number, wanted.placement.id));
        }
        for wanted in placed {
            self.state.allocations_by_evaluation.insert((plan.eval_id, wanted.placement.id));
        }
        for wanted in placed.iter().filter(|wanted| wanted.placement.deployment_id.is_some()) {
            let placement = wanted.placement;
            self.state.allocations_by_deployment.insert((placement.deployment_id, placement.id));
        }
        for wanted in placed {
            self.change(WatchKey::Allocation(wanted.placement.id));
        }
        self.join_deployments(placed);
        for wanted in placed.iter().filter(|wanted| wanted.placement.previous.is_some()) {
            let (index, nanos, id) = (self.index, self.now.unix_nanos(), wanted.placement.id);
            self.change_allocation(wanted.placement.previous, None, |previous| {
                previous.next_allocation = id;
                previous.modify_index = index;
                previous.modify_time = nanos;
            });
        }
    }

    /// Adds to the sums of the nodes, node by node; the names of the nodes, one per placement.
    fn hold(&mut self, placed: &[&Wanted<'_>]) -> Vec<Text> {
        let mut names = vec![Text::default(); placed.len()];
        let mut by_node: Vec<(NodeId, usize)> =
            placed.iter().enumerate().map(|(at, wanted)| (wanted.placement.node_id, at)).collect();
        by_node.sort_unstable();
        let index = self.index;
        for on_node in by_node.chunk_by(|a, b| a.0 == b.0) {
            let Some((node, _)) = on_node.first() else { continue };
            if let Some(record) = self.state.nodes.get_mut(node) {
                let record = Arc::make_mut(record);
                record.generation = index;
                for (_, at) in on_node {
                    record.usage.add(&placed[*at].holds);
                    names[*at] = record.node.name.clone();
                }
            }
            self.change(WatchKey::NodeAllocations(*node));
        }
        for (node, at) in by_node {
            let id = placed[at].placement.id;
            self.state.allocations_by_node.insert((node, id));
            self.assign(node, id);
        }
        names
    }

    /// Counts them in the record of the job; its number.
    fn count_new(&mut self, key: &JobKey, job: &Job, placed: &[&Wanted<'_>]) -> u64 {
        let index = self.index;
        let record = self.record_mut(key);
        let number = record.number;
        let count = u32::try_from(placed.len()).unwrap_or(u32::MAX);
        record.has_history = true;
        record.allocations = record.allocations.saturating_add(count);
        record.live_allocations = record.live_allocations.saturating_add(count);
        versions::pin_many(record, job.create_index, job.version, count);
        let mut counted = false;
        if let Some(summary) = record.summary.as_mut().filter(|summary| summary.create_index == job.create_index) {
            let summary = Arc::make_mut(summary);
            for of_group in placed.chunk_by(|a, b| a.group == b.group) {
                let Some(counts) = of_group.first().and_then(|first| summary.summary.get_mut(&first.group)) else {
                    continue;
                };
                let more = i64::try_from(of_group.len()).unwrap_or(i64::MAX);
                counts.starting = counts.starting.saturating_add(more);
                counts.queued = (counts.queued - more).max(0);
                counted = true;
            }
            summary.modify_index = index;
        }
        let touched = self.touch(key);
        touched.allocations = true;
        touched.summary |= counted;
        number
    }

    /// A new allocation. Texts that a million allocations have in common are the job's and the node's.
    fn allocation(
        &self,
        plan: &Plan,
        job: &Job,
        wanted: &Wanted<'_>,
        name: &mut String,
        node_name: Text,
    ) -> Allocation {
        use std::fmt::Write as _;
        let Wanted { batch, placement, group, .. } = wanted;
        let nanos = self.now.unix_nanos();
        let canary = placement.canary && placement.deployment_id.is_some();
        let mut preempted = placement.preempted.clone();
        preempted.shrink_to_fit();
        name.clear();
        // Writing to a string does not fail.
        let _ = write!(name, "{}.{}[{}]", job.id, group, placement.index);
        Allocation {
            alloc_modify_index: self.index,
            allocated_resources: placement.resources.as_ref().unwrap_or(&batch.resources).clone(),
            create_index: self.index,
            create_time: nanos,
            deployment_id: placement.deployment_id,
            deployment_status: canary
                .then(|| AllocDeploymentStatus { canary: true, ..AllocDeploymentStatus::default() }),
            eval_id: plan.eval_id,
            id: placement.id,
            job_create_index: job.create_index,
            job_id: job.id.clone(),
            job_version: job.version,
            metrics: placement.metrics.as_ref().or(batch.metrics.as_ref()).cloned(),
            modify_index: self.index,
            modify_time: nanos,
            name: Text::from(name.as_str()),
            namespace: job.namespace.clone(),
            node_id: placement.node_id,
            node_name,
            preempted_allocations: preempted,
            previous_allocation: placement.previous,
            reschedule_tracker: placement.reschedule_tracker.clone(),
            task_group: group.clone(),
            ..Allocation::default()
        }
    }

    /// Counts them in their deployments; the first ones start the progress deadline.
    fn join_deployments(&mut self, placed: &[&Wanted<'_>]) {
        let mut joined: BTreeMap<(DeploymentId, &Text), Joined> = BTreeMap::new();
        for wanted in placed.iter().filter(|wanted| wanted.placement.deployment_id.is_some()) {
            let of_group = joined.entry((wanted.placement.deployment_id, &wanted.group)).or_default();
            of_group.count += 1;
            if wanted.placement.canary {
                of_group.canaries.push(wanted.placement.id);
            }
        }
        let now = self.now;
        for ((id, group), Joined { count, canaries }) in joined {
            self.event(EventKind::PlanResult, Subject::Deployment(id));
            self.change_deployment(id, |deployment| {
                let Some(state) = deployment.task_groups.get_mut(group) else { return };
                state.placed_allocs = state.placed_allocs.saturating_add(count);
                state.placed_canaries.extend(canaries);
                if state.progress_deadline.as_nanos() > 0 && state.require_progress_by.unix_nanos() == 0 {
                    state.require_progress_by = now.plus(state.progress_deadline);
                }
            });
        }
    }
}
