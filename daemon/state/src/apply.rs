//! The only writer of the state: one committed command in, the next state, an answer and what changed out.
//!
//! Total and deterministic: whatever arrives in whatever order, nothing panics, nothing fails half-way, and every server
//! comes to the same state. A command that cannot be done changes nothing and is answered with `Refused`.

mod allocations;
mod client_updates;
mod deployments;
mod evaluations;
mod jobs;
mod nodes;
mod placements;
mod plans;
mod records;
mod scale;
mod settings;
mod status;
mod stops;
mod summaries;
mod versions;

pub(crate) use allocations::is_live;
pub(crate) use versions::pin;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nomadd_model::{Allocation, AllocationId, DeploymentId, NodeId, Time};

use crate::command::Command;
use crate::event::{Event, EventKind, Payload, Subject};
use crate::key::JobKey;
use crate::response::{Applied, Response};
use crate::state::State;
use crate::watch::{Table, WatchKey};

/// How deep batches may nest; deeper ones are left out (nobody writes them).
const MAX_BATCH_DEPTH: usize = 4;

impl State {
    /// Applies the command at an index of the log; `now` is the leader's clock when it was proposed.
    pub fn apply(&mut self, index: u64, now: Time, command: Command) -> Applied {
        let mut applier = Applier::new(self, index, now);
        let response = applier.command(command, 0);
        applier.finish(response)
    }
}

/// What of a job was touched; its watchers are woken and its status is looked at once, at the end.
#[derive(Clone, Copy, Default)]
pub(crate) struct Touched {
    pub(crate) job: bool,
    pub(crate) allocations: bool,
    pub(crate) evaluations: bool,
    pub(crate) deployments: bool,
    pub(crate) summary: bool,
}

/// One command being applied.
pub(crate) struct Applier<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) index: u64,
    pub(crate) now: Time,
    pub(crate) touched: BTreeMap<JobKey, Touched>,
    tables: [bool; Table::ALL.len()],
    changes: Vec<WatchKey>,
    events: Vec<Event>,
    assigned: Vec<(NodeId, AllocationId)>,
    /// What all events of this command are called, where that is not up to their subjects.
    kind: Option<EventKind>,
    /// The allocation that was written last: the event about it needs no look into the table.
    latest: Option<Arc<Allocation>>,
    /// Deployments that have their event; one that many allocations change has it once.
    told: BTreeSet<DeploymentId>,
}

/// What Nomad calls every event of a command.
const fn kind_of(command: &Command) -> Option<EventKind> {
    match command {
        Command::JobRegister(_) | Command::JobScale(_) => Some(EventKind::JobRegistered),
        Command::JobDeregister(_) => Some(EventKind::JobDeregistered),
        Command::PlanResults(_) => Some(EventKind::PlanResult),
        Command::AllocationClientUpdate(_) => Some(EventKind::AllocationUpdated),
        Command::AllocationDesiredTransition(_) => Some(EventKind::AllocationUpdateDesiredStatus),
        Command::DeploymentStatus(_) => Some(EventKind::DeploymentStatusUpdate),
        Command::DeploymentPromote(_) => Some(EventKind::DeploymentPromotion),
        Command::DeploymentAllocHealth(_) => Some(EventKind::DeploymentAllocHealth),
        _ => None,
    }
}

impl<'a> Applier<'a> {
    pub(crate) fn new(state: &'a mut State, index: u64, now: Time) -> Self {
        Self {
            state,
            index,
            now,
            touched: BTreeMap::new(),
            tables: [false; Table::ALL.len()],
            changes: Vec::new(),
            events: Vec::new(),
            assigned: Vec::new(),
            kind: None,
            latest: None,
            told: BTreeSet::new(),
        }
    }

    fn command(&mut self, command: Command, depth: usize) -> Response {
        self.kind = kind_of(&command);
        match command {
            Command::Noop => self.ok(),
            Command::Batch(commands) if depth < MAX_BATCH_DEPTH => Response::Batch(
                commands
                    .into_iter()
                    .map(|command| {
                        let response = self.command(command, depth + 1);
                        // The next command sees the statuses that this one leads to.
                        self.settle();
                        response
                    })
                    .collect(),
            ),
            Command::Batch(_) => Response::Batch(Vec::new()),
            Command::JobRegister(command) => self.job_register(command),
            Command::JobDeregister(command) => self.job_deregister(command),
            Command::JobDelete(command) => self.job_delete(command),
            Command::JobStability(command) => self.job_stability(&command),
            Command::JobVersionTag(command) => self.job_version_tag(command),
            Command::JobScale(command) => self.job_scale(command),
            Command::JobSummariesReconcile => self.summaries_reconcile(),
            Command::NodeRegister(command) => self.node_register(command),
            Command::NodeDeregister(command) => self.node_deregister(command),
            Command::NodeStatus(command) => self.node_status(command),
            Command::NodeEligibility(command) => self.node_eligibility(command),
            Command::NodeDrain(command) => self.node_drain(command),
            Command::NodeEvents(command) => self.node_events(command),
            Command::EvaluationUpsert(command) => {
                self.evaluations(command.evaluations);
                self.ok()
            }
            Command::EvaluationDelete(command) => self.evaluation_delete(&command),
            Command::AllocationClientUpdate(command) => self.client_updates(command),
            Command::AllocationDesiredTransition(command) => self.desired_transitions(command),
            Command::PlanResults(command) => self.plan_results(command),
            Command::DeploymentStatus(command) => self.deployment_status(command),
            Command::DeploymentPromote(command) => self.deployment_promote(command),
            Command::DeploymentAllocHealth(command) => self.deployment_alloc_health(command),
            Command::DeploymentDelete(command) => self.deployment_delete(&command),
            Command::AutopilotConfigurationSet(command) => self.autopilot_configuration_set(command),
            Command::SchedulerConfigurationSet(command) => self.scheduler_configuration_set(command),
            Command::NamespaceUpsert(command) => self.namespace_upsert(command),
            Command::NamespaceDelete(command) => self.namespace_delete(&command),
            Command::NodePoolUpsert(command) => self.node_pool_upsert(command),
            Command::NodePoolDelete(command) => self.node_pool_delete(&command),
            Command::RootKeyUpsert(command) => self.root_key_upsert(command),
            Command::RootKeyDelete(command) => self.root_key_delete(&command),
            Command::ClusterId(command) => self.cluster_id(command),
            Command::CommandSetRaise(command) => self.command_set_raise(&command),
            Command::Rehearsal(command) => self.rehearsal(command),
        }
    }

    fn finish(mut self, response: Response) -> Applied {
        self.settle();
        self.state.index = self.state.index.max(self.index);
        for table in Table::ALL {
            if self.tables[table as usize] {
                self.state.table_indexes[table as usize] = self.index;
                self.changes.push(WatchKey::Table(table));
            }
        }
        self.changes.sort_unstable();
        self.changes.dedup();
        let state = &*self.state;
        self.events.iter_mut().for_each(|event| event.payload = event.payload.take().or_else(|| payload(state, event)));
        self.assigned.sort_unstable();
        self.assigned.dedup();
        Applied { response, changes: self.changes, events: self.events, assigned: self.assigned }
    }

    /// Brings the statuses of touched jobs up to date and drops records that nothing refers to.
    fn settle(&mut self) {
        while let Some((key, touched)) = self.touched.pop_first() {
            let changed = self.update_status(&key);
            if changed && !touched.job {
                // A new version has its event already; it shows the status that the job ends with.
                let kind = self.kind.unwrap_or(EventKind::EvaluationUpdated);
                self.event(kind, Subject::Job(key.clone()));
            }
            if changed || touched.job {
                self.table(Table::Jobs);
                self.change(WatchKey::Job(key.clone()));
            }
            if touched.summary {
                self.table(Table::Summaries);
                self.change(WatchKey::Summary(key.clone()));
            }
            if touched.allocations {
                self.table(Table::Allocations);
                self.change(WatchKey::JobAllocations(key.clone()));
            }
            if touched.evaluations {
                self.table(Table::Evaluations);
                self.change(WatchKey::JobEvaluations(key.clone()));
            }
            if touched.deployments {
                self.table(Table::Deployments);
                self.change(WatchKey::JobDeployments(key.clone()));
            }
            if self.state.jobs.get(&key).is_some_and(|record| record.is_empty()) {
                self.state.jobs.remove(&key);
            }
        }
    }

    pub(crate) fn ok(&self) -> Response {
        Response::Ok { index: self.index }
    }
    pub(crate) fn table(&mut self, table: Table) {
        self.tables[table as usize] = true;
    }
    pub(crate) fn change(&mut self, key: WatchKey) {
        self.changes.push(key);
    }
    pub(crate) fn event(&mut self, kind: EventKind, subject: Subject) {
        let kind = self.kind.unwrap_or(kind);
        let payload = match &subject {
            Subject::Deployment(id) if !self.told.insert(*id) => return,
            Subject::Allocation(id) => self.latest.take_if(|latest| latest.id == *id).map(Payload::Allocation),
            _ => None,
        };
        self.events.push(Event { kind, subject, payload });
    }
    /// Notes that a node has to be told of an allocation.
    pub(crate) fn assign(&mut self, node: NodeId, id: AllocationId) {
        self.assigned.push((node, id));
    }
    /// Notes what happened to something that is gone.
    pub(crate) fn event_with(&mut self, kind: EventKind, subject: Subject, payload: Payload) {
        self.events.push(Event { kind, subject, payload: Some(payload) });
    }
    /// Notes the allocation that was just written, for the event about it.
    pub(crate) fn wrote(&mut self, allocation: &Arc<Allocation>) {
        self.latest = Some(Arc::clone(allocation));
    }
    /// Notes that something of a job changed.
    pub(crate) fn touch(&mut self, key: &JobKey) -> &mut Touched {
        self.touched.entry(key.clone()).or_default()
    }
}

/// The thing that an event is about, as the command left it.
fn payload(state: &State, event: &Event) -> Option<Payload> {
    Some(match &event.subject {
        Subject::Job(key) => Payload::Job(state.job(&key.namespace, &key.id)?.clone()),
        Subject::DeletedJob(job) => Payload::Job(job.clone()),
        Subject::Node(id) => Payload::Node(state.node(*id)?.clone()),
        Subject::DeletedNode(node) => Payload::Node(node.clone()),
        Subject::NodePool(name) => Payload::NodePool(state.node_pool(name)?.clone()),
        Subject::Allocation(id) => Payload::Allocation(state.allocation(*id)?.clone()),
        Subject::Evaluation(id) => Payload::Evaluation(state.evaluation(*id)?.clone()),
        Subject::Deployment(id) => Payload::Deployment(state.deployment(*id)?.clone()),
    })
}
