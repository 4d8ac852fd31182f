//! What comes of an evaluation: its status, what is queued and failed, and the evaluations it makes.

use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::{
    Allocation, AllocationId, AllocationListStub, AllocationMetric, AllocationPreemption, DeploymentId, DesiredUpdates,
    Evaluation, EvaluationId, EvaluationStatus, Plan, PlanAnnotations, Text, Trigger,
};

use nomadd_state::State;

use crate::ids::Random;
use crate::reconcile::{Later, LaterKind};
use crate::{Context, Outcome};

/// Texts of evaluations.
pub mod text {
    /// A blocked evaluation for failed placements.
    pub const PLACE_REMAINING: &str = "created to place remaining allocations";
    /// A blocked evaluation because plans kept being refused.
    pub const CONFLICTS: &str = "created due to placement conflicts";
    /// A delayed evaluation.
    pub const DELAYED: &str = "created for delayed rescheduling";
}

/// Collects what one evaluation does.
pub(crate) struct Report<'a> {
    pub(crate) evaluation: &'a Evaluation,
    pub(crate) plan: Plan,
    pub(crate) queued: BTreeMap<Text, i64>,
    pub(crate) failed: BTreeMap<Text, Arc<AllocationMetric>>,
    pub(crate) annotations: PlanAnnotations,
    pub(crate) later: Vec<Later>,
    pub(crate) deployment_id: DeploymentId,
    /// Whether something that frees resources, or a new node, would help.
    pub(crate) waits: bool,
    victims: Vec<(Text, AllocationId)>,
    eligibility: BTreeMap<String, bool>,
    escaped: bool,
}

impl<'a> Report<'a> {
    pub(crate) fn new(evaluation: &'a Evaluation, plan: Plan) -> Self {
        Self {
            evaluation,
            plan,
            queued: BTreeMap::new(),
            failed: BTreeMap::new(),
            annotations: PlanAnnotations::default(),
            later: Vec::new(),
            deployment_id: DeploymentId::NONE,
            waits: false,
            victims: Vec::new(),
            eligibility: BTreeMap::new(),
            escaped: false,
        }
    }

    pub(crate) fn desire(&mut self, group: &str, desired: &DesiredUpdates) {
        self.annotations.desired_tg_updates.insert(group.to_owned(), desired.clone());
    }

    /// Notes which allocations have to go for one of a group.
    pub(crate) fn preempt(&mut self, group: &Text, by: AllocationId, victims: &[AllocationId]) {
        for victim in victims {
            self.plan.preemptions.push(AllocationPreemption { id: *victim, by });
            self.victims.push((group.clone(), *victim));
        }
    }

    fn annotate(&mut self, state: &State) {
        for (group, id) in std::mem::take(&mut self.victims) {
            if let Some(desired) = self.annotations.desired_tg_updates.get_mut(&*group) {
                desired.preemptions += 1;
            }
            self.annotations.preempted_allocs.extend(state.allocation(id).map(|victim| stub(state, victim)));
        }
    }

    /// Notes that a group could not be placed, and which classes of nodes could run it.
    pub(crate) fn fail(
        &mut self,
        group: &Text,
        metric: AllocationMetric,
        eligibility: BTreeMap<String, bool>,
        escaped: bool,
    ) {
        self.failed.insert(group.clone(), Arc::new(metric));
        self.escaped |= escaped;
        for (class, eligible) in eligibility {
            // What any failed group could use is worth waking up for.
            *self.eligibility.entry(class).or_insert(false) |= eligible;
        }
    }

    /// The outcome: the plan (if it changes anything), the evaluation, and what it makes.
    pub(crate) fn finish(&mut self, state: &State, ids: &mut Random, context: &Context) -> Outcome {
        self.annotate(state);
        let mut evaluation = self.evaluation.clone();
        let mut created = Vec::new();
        evaluation.snapshot_index = self.plan.snapshot_index;
        evaluation.queued_allocations = std::mem::take(&mut self.queued);
        evaluation.failed_tg_allocs = std::mem::take(&mut self.failed);
        evaluation.status = EvaluationStatus::Complete;
        evaluation.status_description = Text::default();
        if !self.deployment_id.is_none() {
            evaluation.deployment_id = self.deployment_id;
        }
        // Stored evaluations keep the counts; the list of victims is only for who asked for a dry run.
        evaluation.plan_annotations = Some(match evaluation.annotate_plan {
            true => self.annotations.clone(),
            false => PlanAnnotations { preempted_allocs: Vec::new(), ..self.annotations.clone() },
        });
        let eligibility = if self.escaped { BTreeMap::new() } else { std::mem::take(&mut self.eligibility) };
        if self.waits && !evaluation.failed_tg_allocs.is_empty() {
            if self.evaluation.status == EvaluationStatus::Blocked {
                // It was woken up and still finds nothing: the same evaluation waits on.
                evaluation.status = EvaluationStatus::Blocked;
                evaluation.status_description = self.evaluation.status_description.clone();
                evaluation.class_eligibility = eligibility;
                evaluation.escaped_computed_class = self.escaped;
            } else {
                let blocked = Evaluation {
                    class_eligibility: eligibility,
                    escaped_computed_class: self.escaped,
                    failed_tg_allocs: evaluation.failed_tg_allocs.clone(),
                    status: EvaluationStatus::Blocked,
                    status_description: text::PLACE_REMAINING.into(),
                    ..follow_up(&evaluation, EvaluationId(ids.id()), Trigger::QueuedAllocs, context)
                };
                evaluation.blocked_eval = blocked.id;
                created.push(blocked);
            }
        }
        for Later { id, at, kind } in self.later.drain(..) {
            let trigger = match kind {
                LaterKind::Reschedule => Trigger::Reschedule,
                LaterKind::Disconnect => Trigger::MaxDisconnectTimeout,
                LaterKind::ClientStop => Trigger::RetryFailedAlloc,
            };
            evaluation.next_eval = if evaluation.next_eval.is_none() { id } else { evaluation.next_eval };
            created.push(Evaluation {
                wait_until: at,
                status_description: text::DELAYED.into(),
                ..follow_up(&evaluation, id, trigger, context)
            });
        }
        let plan = std::mem::take(&mut self.plan);
        Outcome {
            plan: (!is_empty(&plan)).then_some(plan),
            evaluation,
            created,
            annotations: Some(self.annotations.clone()),
        }
    }
}

/// A victim, as `job plan` lists it.
fn stub(state: &State, allocation: &Allocation) -> AllocationListStub {
    AllocationListStub {
        client_description: allocation.client_description.clone(),
        client_status: allocation.client_status,
        create_index: allocation.create_index,
        create_time: allocation.create_time,
        desired_description: allocation.desired_description.clone(),
        desired_status: allocation.desired_status,
        eval_id: allocation.eval_id,
        id: allocation.id,
        job_id: allocation.job_id.clone(),
        job_type: state.job_of(allocation).map(|job| job.kind).unwrap_or_default(),
        job_version: allocation.job_version,
        modify_index: allocation.modify_index,
        modify_time: allocation.modify_time,
        name: allocation.name.clone(),
        namespace: allocation.namespace.clone(),
        node_id: allocation.node_id,
        node_name: allocation.node_name.clone(),
        task_group: allocation.task_group.clone(),
        ..AllocationListStub::default()
    }
}

/// An evaluation of the same job that follows another.
pub(crate) fn follow_up(previous: &Evaluation, id: EvaluationId, trigger: Trigger, context: &Context) -> Evaluation {
    Evaluation {
        create_time: context.now.unix_nanos(),
        id,
        job_id: previous.job_id.clone(),
        job_modify_index: previous.job_modify_index,
        kind: previous.kind.clone(),
        modify_time: context.now.unix_nanos(),
        namespace: previous.namespace.clone(),
        previous_eval: previous.id,
        priority: previous.priority,
        snapshot_index: previous.snapshot_index,
        status: EvaluationStatus::Pending,
        triggered_by: trigger,
        ..Evaluation::default()
    }
}

/// Whether a plan changes nothing.
pub fn is_empty(plan: &Plan) -> bool {
    plan.placements.iter().all(|batch| batch.placements.is_empty())
        && plan.in_place.is_empty()
        && plan.stops.is_empty()
        && plan.preemptions.is_empty()
        && plan.deployment.is_none()
        && plan.deployment_updates.is_empty()
}

/// The outcome when plans of an evaluation were refused too often: it fails, and a blocked one tries again later.
pub fn out_of_attempts(evaluation: &Evaluation, limit: u32, context: &Context) -> Outcome {
    let mut ids = Random::new(context.seed, evaluation.id);
    let blocked = Evaluation {
        status: EvaluationStatus::Blocked,
        status_description: text::CONFLICTS.into(),
        escaped_computed_class: true,
        ..follow_up(evaluation, EvaluationId(ids.id()), Trigger::MaxPlans, context)
    };
    let mut failed = evaluation.clone();
    failed.status = EvaluationStatus::Failed;
    failed.status_description = format!("maximum attempts reached ({limit})").into();
    failed.blocked_eval = blocked.id;
    Outcome { plan: None, evaluation: failed, created: vec![blocked], annotations: None }
}
