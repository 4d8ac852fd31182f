//! System and sysbatch jobs: one allocation of each group on every node that can run it.
//!
//! Shares feasibility, scores, updates and preemption with the generic scheduler; what differs is that each node is
//! asked on its own, so there is nothing to rank.

use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::{
    Allocation, AllocationId, AllocationStop, ClientStatus, Deployment, DeploymentId, DeploymentState, DesiredStatus,
    DesiredUpdates, EvaluationId, InPlaceUpdate, Job, JobType, NodeId, NodeStatus, Placement, PlacementBatch,
    TaskGroup, Text, Time,
};
use nomadd_state::State;

use crate::ask::Ask;
use crate::evaluation::Report;
use crate::fleet::Fleet;
use crate::generic::{Updates, by_group, new_deployment};
use crate::ids::Random;
use crate::placer::{Placer, Request, Run};
use crate::reconcile::classify::{Disconnect, is_terminal, needs_reconnect, unknown_since};
use crate::reconcile::deployment::{self, strategy};
use crate::reconcile::{Later, LaterKind, Situation, Update, reason};
use crate::{Context, Outcome};

/// Looks at a system or sysbatch job.
pub(crate) fn process(state: &State, fleet: &mut Fleet, report: &mut Report<'_>, context: &Context) -> Outcome {
    let evaluation = report.evaluation;
    let job = state.job(&evaluation.namespace, &evaluation.job_id).cloned();
    let latest = state.latest_deployment(&evaluation.namespace, &evaluation.job_id).map(|found| &**found);
    let (current, cancelled) = deployment::current(job.as_deref(), latest);
    report.plan.deployment_updates.extend(cancelled);
    let empty = Job::default();
    let mut ids = Random::new(context.seed, evaluation.id);
    let random = Random::new(context.seed ^ 0x5eed, evaluation.id);
    let mut placer = Placer::new(state, fleet, job.as_deref().unwrap_or(&empty), random);
    let node = |id: NodeId| state.node(id).cloned();
    let job_of = |allocation: &Allocation| state.job_of(allocation).cloned();
    let situation = Situation {
        job: job.as_deref(),
        batch: job.as_ref().is_some_and(|job| job.kind.is_batch()),
        now: context.now,
        evaluation: evaluation.id,
        deployment: current,
        latest,
        node: &node,
        job_of: &job_of,
    };
    let mut made = current.cloned();
    let mut complete = true;
    for (name, allocations) in by_group(state, &evaluation.namespace, &evaluation.job_id, job.as_deref()) {
        let group = job.as_deref().filter(|job| !job.stop).and_then(|job| job.group(&name));
        let mut sorted = Sorted::default();
        let mut updates = Updates::new(state, job.as_deref(), &name);
        for allocation in allocations {
            sorted.sort(&situation, &mut placer, &mut updates, group, allocation);
        }
        sorted.write(report, &mut placer, &mut ids);
        let (Some(job), Some(group)) = (job.as_deref(), group) else {
            report.desire(&name, &sorted.desired);
            continue;
        };
        let ask = Ask::new(job, group, state);
        let mut system = SystemGroup { report, placer: &mut placer, ask: &ask, ids: &mut ids, deployment: None };
        complete &= system.run(&situation, sorted, &mut made, context);
    }
    if let Some(found) = current {
        let healthy = |name: &Text| deployment::is_healthy(found, name);
        if complete && found.status == nomadd_model::DeploymentStatus::Running && found.task_groups.keys().all(healthy)
        {
            report.plan.deployment_updates.push(deployment::success(found.id));
        }
    }
    // As of service jobs: every evaluation names the newest deployment.
    if let Some((found, job)) = latest.zip(job.as_deref())
        && found.job_create_index == job.create_index
    {
        report.deployment_id = found.id;
    }
    if let Some(mut made) = made {
        // No node can run any of it: then it is done, and nobody would look again to say so.
        if current.is_none() && made.task_groups.values().all(|state| state.desired_total == 0) {
            made.status = nomadd_model::DeploymentStatus::Successful;
            made.status_description = deployment::text::SUCCESSFUL.to_owned();
        }
        report.deployment_id = made.id;
        if current.is_none_or(|found| *found != made) {
            report.plan.deployment = Some(made);
        }
    }
    drop(placer);
    report.finish(state, &mut ids, context)
}

/// The allocations of one group by what becomes of them.
#[derive(Default)]
struct Sorted {
    /// Nodes that have theirs.
    kept: BTreeMap<NodeId, Arc<Allocation>>,
    /// What ended on a node, as the predecessor of a new one.
    ended: BTreeMap<NodeId, Arc<Allocation>>,
    destructive: Vec<Arc<Allocation>>,
    in_place: Vec<Arc<Allocation>>,
    stops: Vec<(Arc<Allocation>, &'static str, Option<ClientStatus>)>,
    unknown: Vec<(Arc<Allocation>, Time)>,
    back: Vec<Arc<Allocation>>,
    had_version: bool,
    desired: DesiredUpdates,
}

impl Sorted {
    fn sort(
        &mut self,
        situation: &Situation<'_>,
        placer: &mut Placer<'_>,
        updates: &mut Updates<'_>,
        group: Option<&TaskGroup>,
        allocation: Arc<Allocation>,
    ) {
        self.had_version |= situation.is_current(&allocation);
        let node = (situation.node)(allocation.node_id);
        let gone = node.as_ref().is_none_or(|node| node.status == NodeStatus::Down);
        if is_terminal(&allocation) {
            self.end(situation, allocation);
            return;
        }
        if gone {
            self.stops.push((allocation, reason::LOST, Some(ClientStatus::Lost)));
            return;
        }
        if group.is_none() {
            self.stops.push((allocation, reason::NOT_NEEDED, None));
            return;
        }
        if allocation.desired_transition.migrate == Some(true) {
            self.stops.push((allocation, reason::TAINTED, None));
            return;
        }
        if node.as_ref().is_some_and(|node| node.status == NodeStatus::Disconnected) {
            self.disconnect(situation, group, allocation);
            return;
        }
        if needs_reconnect(&allocation) && allocation.client_status == ClientStatus::Running {
            self.desired.reconnect += 1;
            self.back.push(allocation.clone());
        }
        // A node that takes nothing new keeps what it has.
        let ready = node.as_ref().is_some_and(|node| crate::fleet::is_ready(node));
        match if ready { updates.decide(placer, &allocation) } else { Update::Ignore } {
            Update::Ignore => {
                self.desired.ignore += 1;
                self.kept.insert(allocation.node_id, allocation);
            }
            Update::InPlace => {
                self.desired.in_place_update += 1;
                self.kept.insert(allocation.node_id, allocation.clone());
                self.in_place.push(allocation);
            }
            Update::Destructive => self.destructive.push(allocation),
        }
    }

    /// What ended: a sysbatch ran its course there, a system allocation has to run again.
    fn end(&mut self, situation: &Situation<'_>, allocation: Arc<Allocation>) {
        let ran = matches!(allocation.client_status, ClientStatus::Complete | ClientStatus::Failed);
        let stopped = allocation.desired_status.is_terminal();
        if situation.batch && ran && !stopped && situation.is_current(&allocation) {
            self.desired.ignore += 1;
            self.kept.insert(allocation.node_id, allocation);
        } else if !stopped && allocation.next_allocation.is_none() {
            self.ended.insert(allocation.node_id, allocation);
        }
    }

    fn disconnect(&mut self, situation: &Situation<'_>, group: Option<&TaskGroup>, allocation: Arc<Allocation>) {
        let Some(lost_after) = Disconnect::of(group).lost_after else {
            self.stops.push((allocation, reason::LOST, Some(ClientStatus::Lost)));
            return;
        };
        match allocation.client_status {
            ClientStatus::Unknown if situation.now >= unknown_since(&allocation).plus(lost_after) => {
                self.stops.push((allocation, reason::LOST, Some(ClientStatus::Lost)));
            }
            ClientStatus::Running => {
                self.desired.disconnect += 1;
                self.kept.insert(allocation.node_id, allocation.clone());
                self.unknown.push((allocation, situation.now.plus(lost_after)));
            }
            _ => {
                self.desired.ignore += 1;
                self.kept.insert(allocation.node_id, allocation);
            }
        }
    }

    /// Writes what does not depend on nodes into the plan.
    fn write(&mut self, report: &mut Report<'_>, placer: &mut Placer<'_>, ids: &mut Random) {
        self.desired.stop += self.stops.len() as u64;
        for (allocation, description, client_status) in self.stops.drain(..) {
            placer.stop(&allocation);
            report.plan.stops.push(AllocationStop { client_status, ..stop(&allocation, description) });
        }
        for (allocation, at) in self.unknown.drain(..) {
            let known = report.later.iter().find(|later| later.at == at).map(|later| later.id);
            let id = known.unwrap_or_else(|| {
                let id = EvaluationId(ids.id());
                report.later.push(Later { id, at, kind: LaterKind::Disconnect });
                id
            });
            report.plan.stops.push(AllocationStop {
                desired_status: DesiredStatus::Run,
                client_status: Some(ClientStatus::Unknown),
                followup_eval_id: id,
                ..stop(&allocation, reason::UNKNOWN)
            });
        }
        for allocation in self.back.drain(..) {
            report.plan.stops.push(AllocationStop {
                desired_status: DesiredStatus::Run,
                client_status: Some(ClientStatus::Running),
                ..stop(&allocation, "")
            });
        }
    }
}

fn stop(allocation: &Allocation, description: &str) -> AllocationStop {
    AllocationStop {
        id: allocation.id,
        desired_status: DesiredStatus::Stop,
        desired_description: description.into(),
        ..AllocationStop::default()
    }
}

/// Places one group on all nodes.
struct SystemGroup<'a, 'b, 'c> {
    report: &'b mut Report<'c>,
    placer: &'b mut Placer<'a>,
    ask: &'b Ask<'a>,
    ids: &'b mut Random,
    deployment: Option<DeploymentId>,
}

impl SystemGroup<'_, '_, '_> {
    /// Answers whether nothing is left to do.
    fn run(
        &mut self,
        situation: &Situation<'_>,
        mut sorted: Sorted,
        made: &mut Option<Deployment>,
        context: &Context,
    ) -> bool {
        let group = self.ask.group;
        let mut run = Run::new(self.placer, self.ask);
        // An update on a node that no longer fits is a plain stop.
        let (mut update, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut sorted.destructive)
            .into_iter()
            .partition(|allocation| self.placer.fleet.find(allocation.node_id).is_some_and(|row| run.is_suitable(row)));
        for allocation in &gone {
            run.stop(self.placer, allocation);
            self.report.plan.stops.push(stop(allocation, reason::NOT_NEEDED));
        }
        sorted.desired.stop += gone.len() as u64;
        let busy: Vec<NodeId> = update.iter().chain(&gone).map(|allocation| allocation.node_id).collect();
        let free: Vec<u32> = (0..self.placer.fleet.len() as u32)
            .filter(|row| {
                let node = self.placer.fleet.node(*row);
                run.is_in_reach(*row)
                    && node.is_some_and(|node| !sorted.kept.contains_key(&node.id) && !busy.contains(&node.id))
            })
            .collect();
        let to_place: Vec<u32> = free.iter().copied().filter(|row| run.is_feasible(*row)).collect();
        let left = !to_place.is_empty() || !update.is_empty() || !sorted.in_place.is_empty();
        self.deploy(
            situation,
            &sorted,
            to_place.len() + update.len() + sorted.in_place.len(),
            !update.is_empty(),
            made,
            context,
        );
        for allocation in sorted.in_place.drain(..) {
            let deployment_id = self.deployment.unwrap_or_default();
            self.report.plan.in_place.push(InPlaceUpdate {
                id: allocation.id,
                deployment_id,
                ..InPlaceUpdate::default()
            });
        }
        let held = deployment::holds_back(situation);
        let room = if held { 0 } else { self.room(situation, &sorted, update.len()) };
        sorted.desired.ignore += update.len().saturating_sub(room) as u64;
        update.truncate(room);
        sorted.desired.destructive_update = update.len() as u64;

        let mut batch = PlacementBatch {
            task_group: group.name.clone(),
            resources: self.ask.template.clone(),
            ..PlacementBatch::default()
        };
        let mut exhausted = 0;
        for allocation in &update {
            run.stop(self.placer, allocation);
            let row = self.placer.fleet.find(allocation.node_id);
            match row.and_then(|row| self.place(&mut run, row, Some(allocation))) {
                Some(placement) => {
                    self.report.plan.stops.push(stop(allocation, reason::UPDATING));
                    batch.placements.push(placement);
                }
                None => {
                    exhausted += 1;
                    run.unstop(self.placer, allocation);
                }
            }
        }
        for row in to_place.iter().copied().filter(|_| !held) {
            let previous = self.placer.fleet.node(row).and_then(|node| sorted.ended.get(&node.id)).cloned();
            sorted.desired.place += 1;
            match self.place(&mut run, row, previous.as_ref()) {
                Some(placement) => batch.placements.push(placement),
                None => exhausted += 1,
            }
        }
        let nothing_runs = batch.placements.is_empty() && sorted.kept.is_empty();
        self.report.queued.insert(group.name.clone(), exhausted);
        if exhausted > 0 || nothing_runs && !free.is_empty() {
            let mut metric = run.metric(self.placer);
            metric.coalesced_failures = (exhausted - 1).max(0);
            let eligibility = run.class_eligibility(self.placer);
            self.report.fail(&group.name, metric, eligibility, self.ask.escaped);
            // Nodes that the constraints exclude are nothing to wait for.
            self.report.waits |= exhausted > 0;
        }
        if !batch.placements.is_empty() {
            let mut metric = run.metric(self.placer);
            metric.score_meta_data.clear();
            batch.metrics = Some(Arc::new(metric));
            self.report.plan.placements.push(batch);
        }
        self.report.desire(&group.name, &sorted.desired);
        run.finish(self.placer);
        !left
    }

    fn place(&mut self, run: &mut Run<'_, '_>, row: u32, previous: Option<&Arc<Allocation>>) -> Option<Placement> {
        let request = Request::default();
        let choice = run
            .place_on(self.placer, row, &request)
            .or_else(|| crate::preempt::place_on(run, self.placer, &request, row))?;
        run.take(self.placer, &choice);
        let id = AllocationId(self.ids.id());
        self.report.preempt(&self.ask.group.name, id, &choice.preempted);
        Some(Placement {
            id,
            node_id: self.placer.fleet.node(row)?.id,
            resources: choice.resources.clone(),
            previous: previous.map(|previous| previous.id).unwrap_or_default(),
            deployment_id: self.deployment.unwrap_or_default(),
            preempted: choice.preempted,
            ..Placement::default()
        })
    }

    /// How many allocations may be replaced now.
    fn room(&self, situation: &Situation<'_>, sorted: &Sorted, wanted: usize) -> usize {
        let Some(update) = strategy(self.ask.group).filter(|_| self.ask.job.kind == JobType::System) else {
            return wanted;
        };
        let parallel = usize::try_from(update.max_parallel).unwrap_or(0);
        let Some(found) = situation.deployment else { return parallel };
        let mut room = parallel;
        for allocation in sorted.kept.values().filter(|allocation| allocation.deployment_id == found.id) {
            match allocation.deployment_status.as_ref().and_then(|status| status.healthy) {
                Some(false) => return 0,
                Some(true) => {}
                None => room = room.saturating_sub(1),
            }
        }
        room
    }

    /// Makes the group's part of a deployment when this version needs one.
    fn deploy(
        &mut self,
        situation: &Situation<'_>,
        sorted: &Sorted,
        total: usize,
        updates: bool,
        made: &mut Option<Deployment>,
        context: &Context,
    ) {
        let job = self.ask.job;
        let name = &self.ask.group.name;
        let Some(update) = strategy(self.ask.group).filter(|_| job.kind == JobType::System) else { return };
        if !situation.was_deployed(name) && (!sorted.had_version || updates || !sorted.in_place.is_empty()) {
            let state: DeploymentState = deployment::state_for(update, total as i64);
            let made = made.get_or_insert_with(|| {
                new_deployment(DeploymentId(self.ids.id()), job, self.report.evaluation.priority, context)
            });
            made.task_groups.insert(name.clone(), state);
        }
        self.deployment = made
            .as_ref()
            .filter(|found| found.status.is_active() && found.task_groups.contains_key(name))
            .map(|found| found.id);
    }
}
