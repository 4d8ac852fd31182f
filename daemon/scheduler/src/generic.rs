//! Service and batch jobs: reconcile each group, place what is missing, say what came of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use nomadd_model::update::tasks_updated;
use nomadd_model::{
    Allocation, AllocationId, AllocationMetric, AllocationStop, ClientStatus, Deployment, DeploymentId,
    DeploymentStatus, DeploymentStatusUpdate, DesiredStatus, EvaluationId, InPlaceUpdate, Job, JobType, NodeId,
    Placement, PlacementBatch, Text,
};
use nomadd_state::State;

use crate::ask::Ask;
use crate::evaluation::Report;
use crate::fits;
use crate::fleet::Fleet;
use crate::ids::Random;
use crate::placer::{Choice, Placer, Request, Run};
use crate::reconcile::deployment::{self, text};
use crate::reconcile::{self, GroupResult, Place, Situation, Update, reschedule};
use crate::{Context, Outcome};

/// Up to this many placements of a group each carry a metric of their own.
const DETAILED: usize = 16;

/// Looks at a service or batch job.
pub(crate) fn process(state: &State, fleet: &mut Fleet, report: &mut Report<'_>, context: &Context) -> Outcome {
    let evaluation = report.evaluation;
    let job = state.job(&evaluation.namespace, &evaluation.job_id).cloned();
    let stopped = job.as_ref().is_none_or(|job| job.stop);
    let groups = by_group(state, &evaluation.namespace, &evaluation.job_id, job.as_deref());
    let is_service = job.as_ref().is_none_or(|job| job.kind == JobType::Service);

    let latest = match is_service {
        true => state.latest_deployment(&evaluation.namespace, &evaluation.job_id).map(|found| &**found),
        false => None,
    };
    let (current, cancelled) = deployment::current(job.as_deref(), latest);
    report.plan.deployment_updates.extend(cancelled);

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

    // A job that is to stop needs no nodes to be looked at.
    let empty = Job::default();
    let mut ids = Random::new(context.seed, evaluation.id);
    let random = Random::new(context.seed ^ 0x5eed, evaluation.id);
    let mut placer = Placer::new(state, fleet, job.as_deref().unwrap_or(&empty), random);
    let mut results: Vec<(Text, GroupResult)> = Vec::new();
    for (name, allocations) in groups {
        let group = job.as_deref().and_then(|job| job.group(&name));
        let mut updates = Updates::new(state, job.as_deref(), &name);
        let mut new_id = || EvaluationId(ids.id());
        let result = reconcile::group::reconcile(
            &situation,
            group,
            allocations,
            &mut |allocation| updates.decide(&mut placer, allocation),
            &mut new_id,
        );
        results.push((name, result));
    }

    let mut deployment = deploy(job.as_deref(), report, current, &mut results, context, &mut ids);
    let finished = finish_deployment(current, &results);
    report.plan.deployment_updates.extend(finished);
    for (name, result) in &mut results {
        report.desire(name, &result.desired);
        let active =
            deployment.as_ref().filter(|found| found.status.is_active() && found.task_groups.contains_key(name));
        apply_changes(report, &mut placer, result, active.map(|found| found.id));
    }
    if let Some(job) = job.as_deref().filter(|_| !stopped) {
        for (name, result) in results {
            let Some(group) = job.group(&name) else { continue };
            report.queued.insert(name.clone(), 0);
            let active = deployment.as_ref().filter(|found| found.status.is_active());
            let deployment_id =
                active.filter(|found| found.task_groups.contains_key(&name)).map(|found| found.id).unwrap_or_default();
            let ask = Ask::new(job, group, state);
            GroupPlacement { report, placer: &mut placer, ask: &ask, deployment_id, context, ids: &mut ids, state }
                .place(result);
        }
    }
    // Every evaluation names the job's newest deployment, so that who follows the one can follow the other.
    if let Some((found, job)) = latest.zip(job.as_deref())
        && found.job_create_index == job.create_index
    {
        report.deployment_id = found.id;
    }
    if let Some(made) = deployment.take() {
        report.deployment_id = made.id;
        if current.is_none_or(|found| *found != made) {
            report.plan.deployment = Some(made);
        }
    }
    drop(placer);
    report.finish(state, &mut ids, context)
}

/// The allocations of a job by group, with every group that the job has.
pub(crate) fn by_group(
    state: &State,
    namespace: &str,
    job_id: &str,
    job: Option<&Job>,
) -> Vec<(Text, Vec<Arc<Allocation>>)> {
    let mut groups: Vec<(Text, Vec<Arc<Allocation>>)> = Vec::new();
    let mut places: HashMap<Text, usize> = HashMap::new();
    for group in job.into_iter().flat_map(|job| &job.task_groups) {
        places.insert(group.name.clone(), groups.len());
        groups.push((group.name.clone(), Vec::new()));
    }
    for allocation in state.allocations_by_job(namespace, job_id) {
        let at = match places.get(&allocation.task_group) {
            Some(at) => *at,
            None => {
                places.insert(allocation.task_group.clone(), groups.len());
                groups.push((allocation.task_group.clone(), Vec::new()));
                groups.len() - 1
            }
        };
        if let Some((_, list)) = groups.get_mut(at) {
            list.push(allocation.clone());
        }
    }
    groups
}

/// What the new version means for the allocations of a group; what two versions differ in is found once.
pub(crate) struct Updates<'a> {
    state: &'a State,
    job: Option<&'a Job>,
    ask: Option<Ask<'a>>,
    name: Text,
    versions: BTreeMap<(u64, u64), bool>,
}

impl<'a> Updates<'a> {
    pub(crate) fn new(state: &'a State, job: Option<&'a Job>, name: &Text) -> Self {
        Self { state, job, ask: None, name: name.clone(), versions: BTreeMap::new() }
    }

    pub(crate) fn decide(&mut self, placer: &mut Placer<'_>, allocation: &Allocation) -> Update {
        let Some(job) = self.job else { return Update::Ignore };
        if allocation.job_version == job.version && allocation.job_create_index == job.create_index {
            return Update::Ignore;
        }
        let old = self.state.job_of(allocation).cloned();
        let Some(old) = old else { return Update::Destructive };
        let name = &self.name;
        let destructive = *self
            .versions
            .entry((allocation.job_create_index, allocation.job_version))
            .or_insert_with(|| tasks_updated(&old, job, name).is_some());
        if destructive {
            return Update::Destructive;
        }
        if reconcile::classify::is_terminal(allocation) {
            return Update::Ignore;
        }
        let Some(node) = self.state.node(allocation.node_id) else { return Update::Destructive };
        if !crate::feasible::is_in_reach(job, node) {
            return Update::Destructive;
        }
        let Some(group) = job.group(&self.name) else { return Update::Destructive };
        if old.group(&self.name).is_some_and(|before| before.max_run_duration != group.max_run_duration) {
            return Update::InPlace;
        }
        let ask = self.ask.get_or_insert_with(|| Ask::new(job, group, self.state));
        if fits::in_place(placer, ask, allocation) { Update::InPlace } else { Update::Destructive }
    }
}

/// The deployment that placements belong to, new or extended when a group asks for it.
fn deploy(
    job: Option<&Job>,
    report: &Report<'_>,
    current: Option<&Deployment>,
    results: &mut [(Text, GroupResult)],
    context: &Context,
    ids: &mut Random,
) -> Option<Deployment> {
    let mut deployment = current.cloned();
    for (name, result) in results {
        let (Some(job), Some(state)) = (job, result.deployment.take()) else { continue };
        let made = deployment
            .get_or_insert_with(|| new_deployment(DeploymentId(ids.id()), job, report.evaluation.priority, context));
        made.task_groups.insert(name.clone(), state);
    }
    deployment
}

/// A deployment of a job's version, without groups.
pub(crate) fn new_deployment(id: DeploymentId, job: &Job, priority: i64, context: &Context) -> Deployment {
    Deployment {
        id,
        create_time: context.now.unix_nanos(),
        modify_time: context.now.unix_nanos(),
        eval_priority: priority,
        job_create_index: job.create_index,
        job_id: job.id.clone(),
        job_modify_index: job.modify_index,
        job_spec_modify_index: job.job_modify_index,
        job_version: job.version,
        namespace: job.namespace.clone(),
        status: DeploymentStatus::Running,
        status_description: text::RUNNING.to_owned(),
        ..Deployment::default()
    }
}

/// Ends a deployment whose groups have nothing left to do.
fn finish_deployment(current: Option<&Deployment>, results: &[(Text, GroupResult)]) -> Option<DeploymentStatusUpdate> {
    let current = current.filter(|found| found.status == DeploymentStatus::Running && !found.task_groups.is_empty())?;
    results.iter().all(|(_, result)| result.complete).then(|| deployment::success(current.id))
}

/// Writes the stops, notes and in-place updates of a group into the plan.
fn apply_changes(
    report: &mut Report<'_>,
    placer: &mut Placer<'_>,
    result: &mut GroupResult,
    deployment: Option<DeploymentId>,
) {
    report.later.append(&mut result.later);
    for change in result.changes.drain(..) {
        if change.stop {
            placer.stop(&change.allocation);
        }
        report.plan.stops.push(AllocationStop {
            id: change.allocation.id,
            desired_status: if change.stop { DesiredStatus::Stop } else { DesiredStatus::Run },
            desired_description: change.description.into(),
            client_status: change.client_status,
            followup_eval_id: change.followup,
            rescheduled: false,
        });
    }
    for allocation in result.in_place.drain(..) {
        report.plan.in_place.push(InPlaceUpdate {
            id: allocation.id,
            deployment_id: deployment.unwrap_or_default(),
            resources: None,
            metrics: None,
        });
    }
}

/// Places one group.
struct GroupPlacement<'a, 'b, 'c> {
    report: &'b mut Report<'c>,
    placer: &'b mut Placer<'a>,
    ask: &'b Ask<'a>,
    deployment_id: DeploymentId,
    context: &'b Context,
    ids: &'b mut Random,
    state: &'a State,
}

impl GroupPlacement<'_, '_, '_> {
    fn place(mut self, result: GroupResult) {
        let GroupResult { destructive, place, .. } = result;
        let total = destructive.len() + place.len();
        if total == 0 {
            return;
        }
        let detailed = total <= DETAILED;
        let name = &self.ask.group.name;
        let mut run = Run::new(self.placer, self.ask);
        let mut batches = Batches::new(name, self.ask);
        let mut todo: Vec<Place> = destructive.into_iter().chain(place).collect();
        let mut failure: Option<AllocationMetric>;
        loop {
            failure = None;
            let mut failed: Vec<Place> = Vec::new();
            let mut freed = false;
            for one in todo {
                // What one did not find, the next of the same kind does not find either.
                let hopeless = failure.is_some() && one.stops_previous.is_none();
                if !hopeless && self.place_one(&mut run, &mut batches, &one, detailed) {
                    freed |= one.stops_previous.is_some() && !failed.is_empty();
                    continue;
                }
                match &mut failure {
                    Some(metric) => metric.coalesced_failures += 1,
                    None => failure = Some(run.metric(self.placer)),
                }
                failed.push(one);
            }
            todo = failed;
            // What was replaced after a failure may have left room for it.
            if !freed {
                break;
            }
        }
        self.report.queued.insert(name.clone(), todo.len() as i64);
        if let Some(metric) = failure {
            let eligibility = run.class_eligibility(self.placer);
            self.report.waits = true;
            self.report.fail(name, metric, eligibility, self.ask.escaped);
        }
        self.report.plan.placements.extend(batches.done);
        run.finish(self.placer);
    }

    /// Places one; what it replaces is only stopped when that succeeds.
    fn place_one(&mut self, run: &mut Run<'_, '_>, batches: &mut Batches<'_, '_>, one: &Place, detailed: bool) -> bool {
        let replaced = one.previous.as_ref().zip(one.stops_previous);
        if let Some((allocation, _)) = replaced {
            run.stop(self.placer, allocation);
        }
        let request = self.request(one, detailed);
        let choice = run.place(self.placer, &request).or_else(|| crate::preempt::place(run, self.placer, &request));
        let found = choice.and_then(|choice| Some((self.placer.fleet.node(choice.row)?.id, choice)));
        let Some((node, choice)) = found else {
            if let Some((allocation, _)) = replaced {
                run.unstop(self.placer, allocation);
            }
            return false;
        };
        let id = AllocationId(self.ids.id());
        if let Some((allocation, description)) = replaced {
            self.report.plan.stops.push(AllocationStop {
                id: allocation.id,
                desired_status: DesiredStatus::Stop,
                desired_description: description.into(),
                client_status: None,
                followup_eval_id: EvaluationId::NONE,
                rescheduled: one.reschedule,
            });
        }
        self.report.preempt(&self.ask.group.name, id, &choice.preempted);
        let placement = self.placement(id, one, &choice, node);
        batches.add(placement, &choice, run, self.placer);
        run.take(self.placer, &choice);
        true
    }

    fn request(&self, place: &Place, detailed: bool) -> Request {
        let mut request = Request { index: place.index, detailed, ..Request::default() };
        let Some(previous) = &place.previous else { return request };
        if previous.client_status == ClientStatus::Failed {
            request.penalties.extend(self.placer.fleet.find(previous.node_id));
        }
        for event in previous.reschedule_tracker.iter().flat_map(|tracker| &tracker.events) {
            request.penalties.extend(self.placer.fleet.find(event.prev_node_id));
        }
        let disk = &self.ask.group.ephemeral_disk;
        if disk.sticky || disk.migrate {
            request.preferred = self.placer.fleet.find(previous.node_id);
        }
        request
    }

    fn placement(&self, id: AllocationId, place: &Place, choice: &Choice, node: NodeId) -> Placement {
        let tracker = place.previous.as_ref().filter(|_| place.reschedule).map(|previous| {
            let made_from = self.state.job_of(previous);
            let policy = reschedule::policy(made_from.map(|job| &**job), previous);
            Box::new(reschedule::tracker(policy, previous, self.context.now))
        });
        // A replacement that is no new try keeps the record of the earlier ones.
        let kept = || {
            let previous = place.previous.as_ref().filter(|_| place.stops_previous.is_none())?;
            previous.reschedule_tracker.clone()
        };
        Placement {
            id,
            node_id: node,
            index: place.index,
            resources: choice.resources.clone(),
            metrics: choice.metrics.clone(),
            previous: place.previous.as_ref().map(|previous| previous.id).unwrap_or_default(),
            deployment_id: self.deployment_id,
            canary: place.canary,
            reschedule_tracker: tracker.or_else(kept),
            preempted: choice.preempted.clone(),
        }
    }
}

/// Placements grouped by what they share. Beyond a few, those with about the same score share a metric too.
struct Batches<'a, 'b> {
    name: &'b Text,
    ask: &'b Ask<'a>,
    done: Vec<PlacementBatch>,
    by_score: HashMap<u32, usize>,
    own: Option<usize>,
}

impl<'a, 'b> Batches<'a, 'b> {
    fn new(name: &'b Text, ask: &'b Ask<'a>) -> Self {
        Self { name, ask, done: Vec::new(), by_score: HashMap::new(), own: None }
    }

    fn add(&mut self, placement: Placement, choice: &Choice, run: &Run<'_, '_>, placer: &Placer<'_>) {
        let known = match &placement.metrics {
            Some(_) => self.own,
            None => self.by_score.get(&coarse(choice.score)).copied(),
        };
        let at = known.unwrap_or_else(|| {
            let metrics = match &placement.metrics {
                Some(_) => None,
                None => {
                    let mut metric = run.metric(placer);
                    metric.score_meta_data = vec![run.explain(placer, choice.row, &[])];
                    Some(Arc::new(metric))
                }
            };
            self.done.push(PlacementBatch {
                task_group: self.name.clone(),
                resources: self.ask.template.clone(),
                metrics,
                placements: Vec::new(),
            });
            self.done.len() - 1
        });
        match &placement.metrics {
            Some(_) => self.own = Some(at),
            None => {
                self.by_score.insert(coarse(choice.score), at);
            }
        }
        if let Some(batch) = self.done.get_mut(at) {
            batch.placements.push(placement);
        }
    }
}

/// Scores that are the same to people.
fn coarse(score: f64) -> u32 {
    (score as f32).to_bits() & 0xffff_0000
}
