//! Plans, checked once more against the state they meet, and committed as far as they hold.
//!
//! The last word on safety: a scheduler may have seen an older state, a leader may have been deposed. What does not hold is
//! dropped per node (per plan when it is all-at-once), the same on every server, and the scheduler is told to look again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nomadd_model::{
    Allocation, AllocationId, AllocationPreemption, AllocationStop, Eligibility, InPlaceUpdate, Job, Node, NodeId,
    NodeStatus, Placement, Plan, PlanResult,
};

use super::Applier;
use super::placements::Wanted;
use crate::command::PlanResults;
use crate::key::JobKey;
use crate::response::Response;
use crate::table::nodes::NodeRecord;
use crate::usage::Footprint;

/// How a plan stands to its job.
enum Standing {
    /// The job is as the scheduler saw it.
    Current(Arc<Job>),
    /// The job is stopped or gone: allocations may be stopped, none placed.
    Over,
    /// The job, or its allocations, have moved on since: nothing of the plan holds.
    Stale,
}

/// What a plan wants of one node.
#[derive(Default)]
struct Part<'p> {
    wanted: Vec<usize>,
    in_place: Vec<(&'p InPlaceUpdate, Option<Footprint>)>,
    /// Allocations that make room.
    released: BTreeSet<AllocationId>,
}

/// Whether a node takes new allocations.
pub(crate) fn takes_allocations(node: &Node) -> bool {
    node.status == NodeStatus::Ready
        && node.scheduling_eligibility == Eligibility::Eligible
        && node.drain_strategy.is_none()
}

impl Applier<'_> {
    pub(crate) fn plan_results(&mut self, command: PlanResults) -> Response {
        let results = command.plans.iter().map(|plan| self.plan(plan)).collect();
        self.evaluations(command.evaluations);
        Response::Plans(results)
    }

    fn standing(&self, key: &JobKey, plan: &Plan) -> Standing {
        let Some(record) = self.state.jobs.get(key) else { return Standing::Over };
        if plan.snapshot_index > 0 && plan.snapshot_index < record.last_plan_index {
            return Standing::Stale;
        }
        match &record.job {
            None => Standing::Over,
            Some(job) if job.create_index != plan.job_create_index || job.version != plan.job_version => {
                Standing::Stale
            }
            Some(job) if job.stop => Standing::Over,
            Some(job) => Standing::Current(job.clone()),
        }
    }

    fn plan(&mut self, plan: &Plan) -> PlanResult {
        let key = JobKey::new(&plan.namespace, &plan.job_id);
        let mut result = PlanResult { index: self.index, ..PlanResult::default() };
        let job = match self.standing(&key, plan) {
            Standing::Current(job) => Some(job),
            Standing::Over => None,
            Standing::Stale => {
                result.rejected = placements(plan).map(|placement| placement.id).collect();
                result.refresh_index = self.index;
                return result;
            }
        };
        let wanted = self.wanted(plan, job.as_deref(), &mut result.rejected);
        let (stops, preemptions) = self.valid_stops(&key, plan);
        let parts = self.parts(&key, plan, job.as_deref(), &wanted, &stops, &preemptions);
        let rejected: BTreeSet<NodeId> = parts
            .iter()
            .filter(|(node, part)| !self.part_holds(self.state.nodes.get(*node), part, &wanted))
            .map(|(node, _)| *node)
            .collect();
        let nothing = plan.all_at_once && !(rejected.is_empty() && result.rejected.is_empty());
        if nothing {
            result.rejected.extend(wanted.iter().map(|wanted| wanted.placement.id));
        } else {
            self.commit(plan, &key, job.as_deref(), &wanted, &stops, &preemptions, &parts, &rejected, &mut result);
        }
        result.rejected_nodes = rejected.into_iter().collect();
        if !result.rejected.is_empty() || !result.rejected_nodes.is_empty() {
            result.refresh_index = self.index;
        }
        result
    }

    /// The placements that make sense at all; the others are rejected.
    fn wanted<'p>(&self, plan: &'p Plan, job: Option<&Job>, rejected: &mut Vec<AllocationId>) -> Vec<Wanted<'p>> {
        let mut wanted: Vec<Wanted<'p>> = Vec::new();
        for batch in &plan.placements {
            let group = job.and_then(|job| job.group(&batch.task_group));
            let common = group.map(|group| Arc::new(Footprint::of_group(&batch.resources, group)));
            for placement in &batch.placements {
                let (Some(group), Some(common), true) = (group, &common, placement.id.is_some()) else {
                    rejected.push(placement.id);
                    continue;
                };
                let holds = match &placement.resources {
                    Some(own) => Arc::new(Footprint::of_group(own, group)),
                    None => common.clone(),
                };
                wanted.push(Wanted { batch, placement, group: group.name.clone(), holds });
            }
        }
        // In key order the tables are read and written with less effort; which of two that have one id stays is settled
        // by their order in the plan.
        wanted.sort_by_key(|wanted| wanted.placement.id);
        let mut before = AllocationId::NONE;
        wanted.retain(|wanted| {
            let id = wanted.placement.id;
            let again = before == id || self.state.allocations.contains_key(&id);
            before = id;
            if again {
                rejected.push(id);
            }
            !again
        });
        wanted
    }

    /// The stops of allocations of this job, and the preemptions of live ones of any; each allocation once.
    fn valid_stops<'p>(
        &self,
        key: &JobKey,
        plan: &'p Plan,
    ) -> (BTreeMap<AllocationId, &'p AllocationStop>, BTreeMap<AllocationId, &'p AllocationPreemption>) {
        let ours = |allocation: &Arc<Allocation>| allocation.job_id == key.id && allocation.namespace == key.namespace;
        let stops = plan
            .stops
            .iter()
            .filter(|stop| self.state.allocations.get(&stop.id).is_some_and(ours))
            .map(|stop| (stop.id, stop))
            .collect();
        let preemptions = plan
            .preemptions
            .iter()
            .filter(|preemption| self.state.allocations.get(&preemption.id).is_some_and(|live| wanted_still(live)))
            .map(|preemption| (preemption.id, preemption))
            .collect();
        (stops, preemptions)
    }

    fn parts<'p>(
        &self,
        key: &JobKey,
        plan: &'p Plan,
        job: Option<&Job>,
        wanted: &[Wanted<'_>],
        stops: &BTreeMap<AllocationId, &AllocationStop>,
        preemptions: &BTreeMap<AllocationId, &AllocationPreemption>,
    ) -> BTreeMap<NodeId, Part<'p>> {
        let mut parts: BTreeMap<NodeId, Part<'p>> = BTreeMap::new();
        for (at, wanted) in wanted.iter().enumerate() {
            parts.entry(wanted.placement.node_id).or_default().wanted.push(at);
        }
        let stopping = stops.values().filter(|stop| stop.desired_status.is_terminal()).map(|stop| stop.id);
        for id in stopping.chain(preemptions.keys().copied()) {
            let Some(allocation) = self.state.allocations.get(&id) else { continue };
            // One that was stopped before does not make room twice: it does so when its client is done with it.
            if wanted_still(allocation) {
                parts.entry(allocation.node_id).or_default().released.insert(id);
            }
        }
        let Some(job) = job else { return parts };
        let mut seen = BTreeSet::new();
        for update in &plan.in_place {
            let Some(allocation) = self.state.allocations.get(&update.id) else { continue };
            let ours = allocation.job_id == key.id && allocation.namespace == key.namespace;
            let group = job.group(&allocation.task_group);
            let going = stops.contains_key(&update.id) || preemptions.contains_key(&update.id);
            let (Some(group), true) = (group, ours && !going && wanted_still(allocation)) else { continue };
            if seen.insert(update.id) {
                let holds = update.resources.as_ref().map(|resources| Footprint::of_group(resources, group));
                parts.entry(allocation.node_id).or_default().in_place.push((update, holds));
            }
        }
        parts
    }

    /// Whether what a plan wants of a node can be had there.
    fn part_holds(&self, record: Option<&Arc<NodeRecord>>, part: &Part<'_>, wanted: &[Wanted<'_>]) -> bool {
        let resized = part.in_place.iter().any(|(_, holds)| holds.is_some());
        if part.wanted.is_empty() && !resized {
            return true;
        }
        let Some(record) = record else { return false };
        if !part.wanted.is_empty() && !takes_allocations(&record.node) {
            return false;
        }
        if let ([only], true, true) = (part.wanted.as_slice(), part.released.is_empty(), part.in_place.is_empty()) {
            return wanted.get(*only).is_some_and(|one| record.usage.fits(&record.capacity, &one.holds).is_ok());
        }
        let mut usage = record.usage.clone();
        for id in &part.released {
            if let Some(allocation) = self.state.allocations.get(id)
                && self.state.holds_resources(allocation)
            {
                usage.subtract(&Footprint::of(&allocation.allocated_resources));
            }
        }
        for (update, holds) in &part.in_place {
            let (Some(holds), Some(allocation)) = (holds, self.state.allocations.get(&update.id)) else { continue };
            let held = Footprint::of(&allocation.allocated_resources);
            if !self.state.holds_resources(allocation) || Footprint::same(&held, holds) {
                continue;
            }
            usage.subtract(&held);
            if usage.fits(&record.capacity, holds).is_err() {
                return false;
            }
            usage.add(holds);
        }
        part.wanted.iter().filter_map(|at| wanted.get(*at)).all(|one| {
            let fits = usage.fits(&record.capacity, &one.holds).is_ok();
            usage.add(&one.holds);
            fits
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one plan, taken apart once by the only caller")]
    fn commit(
        &mut self,
        plan: &Plan,
        key: &JobKey,
        job: Option<&Job>,
        wanted: &[Wanted<'_>],
        stops: &BTreeMap<AllocationId, &AllocationStop>,
        preemptions: &BTreeMap<AllocationId, &AllocationPreemption>,
        parts: &BTreeMap<NodeId, Part<'_>>,
        rejected: &BTreeSet<NodeId>,
        result: &mut PlanResult,
    ) {
        let mut changed = false;
        let node_of = |applier: &Self, id: &AllocationId| applier.state.allocations.get(id).map(|found| found.node_id);
        if let (Some(deployment), true) = (&plan.deployment, job.is_some()) {
            self.put_deployment(deployment.clone());
        }
        for (id, stop) in stops {
            if node_of(self, id).is_some_and(|node| !rejected.contains(&node)) {
                self.stop(stop);
                changed = true;
            }
        }
        for (id, preemption) in preemptions {
            if node_of(self, id).is_some_and(|node| !rejected.contains(&node)) {
                self.preempt(preemption);
                changed = true;
            }
        }
        for (node, part) in parts {
            if rejected.contains(node) {
                continue;
            }
            // Clients start a successor when its predecessors have ended; until then their room is the successor's.
            let resized = part.in_place.iter().any(|(_, holds)| holds.is_some());
            if !part.wanted.is_empty() || resized {
                part.released.iter().for_each(|id| self.release(*id));
            }
            if let Some(job) = job {
                for (update, holds) in &part.in_place {
                    self.update_in_place(update, holds.as_ref(), job, plan.eval_id);
                    changed = true;
                }
            }
        }
        if let Some(job) = job {
            let (dropped, placed): (Vec<_>, Vec<_>) =
                wanted.iter().partition(|one| rejected.contains(&one.placement.node_id));
            result.rejected.extend(dropped.iter().map(|one| one.placement.id));
            result.placed = placed.len() as u64;
            changed |= !placed.is_empty();
            self.place_all(plan, key, job, &placed);
        }
        for update in &plan.deployment_updates {
            self.update_deployment(update);
        }
        if changed {
            let index = self.index;
            self.record_mut(key).last_plan_index = index;
            self.touch(key);
        }
    }
}

/// Whether neither servers nor the client are done with it.
fn wanted_still(allocation: &Allocation) -> bool {
    super::allocations::is_live(allocation)
}

fn placements(plan: &Plan) -> impl Iterator<Item = &Placement> {
    plan.placements.iter().flat_map(|batch| &batch.placements)
}
