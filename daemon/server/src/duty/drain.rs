//! Empties the nodes that are drained: marks their allocations for migration as the groups' `migrate` blocks allow, lets batch
//! jobs run until the deadline, stops system jobs last, and says when a drain is over.
//!
//! `decide` is a pure function of the state, the drained nodes and the time; the loop around it writes the decisions. The
//! scheduler replaces what is marked, and a replacement's health, as its client judges it, lets the next ones follow.

use std::collections::{BTreeMap, BTreeSet};

use nomadd_model::{
    Allocation, AllocationId, DesiredTransition, DrainStrategy, Duration, Evaluation, Job, JobType, Node, NodeEvent,
    NodeId, TaskGroup, Time, Trigger,
};
use nomadd_state::{
    AllocationDesiredTransitions, AllocationTransition, Command, Event, JobKey, NodeDrainSet, State, Subject,
};
use tokio::sync::broadcast;

use crate::error::Answer;
use crate::evaluation;
use crate::nodes::drain::{Stage, told};
use crate::server::Server;

/// How long changes of allocations are gathered before they are looked at: many of them come at a time.
const GATHER: Duration = Duration::from_millis(50);
/// The longest time without a look while a node is drained.
const LOOK: Duration = Duration::from_secs(10);
/// How long after a decision that was not written it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How many allocations one entry of the log marks at most.
const CHUNK: usize = 2048;

/// Why a drain is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing is left that it waits for.
    Empty,
    /// Its time is over: what is left is made to go.
    Deadline,
}

/// What has to happen now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// These allocations are marked for migration.
    pub(crate) migrate: BTreeSet<AllocationId>,
    /// The drains of these nodes are over after that.
    pub(crate) over: Vec<(NodeId, Ending)>,
    /// When the next deadline ends one.
    pub(crate) next: Option<Time>,
}

/// What has to happen to drained nodes now. Nodes of the set that are gone or no longer drained are passed over.
pub(crate) fn decide(state: &State, drained: &BTreeSet<NodeId>, now: Time) -> Decision {
    let mut decision = Decision::default();
    let mut jobs = BTreeSet::new();
    for node in drained.iter().filter_map(|&id| state.node(id)) {
        let Some(strategy) = &node.drain_strategy else { continue };
        if let Some(ending) = ending(state, node, strategy, now) {
            decision.migrate.extend(left(state, node, strategy).map(|allocation| allocation.id));
            decision.over.push((node.id, ending));
            continue;
        }
        if strategy.deadline.0 > 0 {
            let due = strategy.force_deadline;
            decision.next = Some(decision.next.map_or(due, |next| next.min(due)));
        }
        let waited_for = state.allocations_by_node(node.id).filter(|allocation| !is_terminal(allocation));
        jobs.extend(waited_for.map(|allocation| JobKey::new(&allocation.namespace, &allocation.job_id)));
    }
    for job in jobs.iter().filter_map(|key| state.job(&key.namespace, &key.id)) {
        // Batch jobs may end by themselves until the deadline, system jobs go last.
        if job.kind == JobType::Service && !job.stop {
            job.task_groups.iter().for_each(|group| let_go(state, job, group, &mut decision.migrate));
        }
    }
    decision
}

/// Why the drain of a node is over, if it is.
fn ending(state: &State, node: &Node, strategy: &DrainStrategy, now: Time) -> Option<Ending> {
    let late = match strategy.deadline.0 {
        0 => false,
        deadline => deadline < 0 || strategy.force_deadline <= now,
    };
    if late {
        return Some(Ending::Deadline);
    }
    let mut waited_for = state.allocations_by_node(node.id).filter(|allocation| !goes_last(state, allocation));
    waited_for.all(|allocation| allocation.client_status.is_terminal()).then_some(Ending::Empty)
}

/// Whether it stays until all others are gone: system jobs, and plugins that others' volumes need.
fn goes_last(state: &State, allocation: &Allocation) -> bool {
    state.job_of(allocation).is_some_and(|job| {
        let mut tasks = job.task_groups.iter().flat_map(|group| &group.tasks);
        job.kind == JobType::System || tasks.any(|task| task.csi_plugin_config.is_some())
    })
}

/// What has not been told to leave a node whose drain is over.
fn left<'a>(state: &'a State, node: &Node, strategy: &'a DrainStrategy) -> impl Iterator<Item = &'a Allocation> {
    state.allocations_by_node(node.id).map(AsRef::as_ref).filter(move |allocation| {
        let ignored =
            strategy.ignore_system_jobs && state.job_of(allocation).is_some_and(|job| job.kind == JobType::System);
        !ignored && !is_terminal(allocation) && !is_marked(allocation)
    })
}

/// Lets as many allocations of a group go as may be away at a time. Those that were let go before count as away from that
/// moment on, so that a slow scheduler does not let more go than the block says.
fn let_go(state: &State, job: &Job, group: &TaskGroup, migrate: &mut BTreeSet<AllocationId>) {
    let Some(block) = &group.migrate else { return };
    let (mut healthy, mut candidates) = (0_i64, Vec::new());
    for allocation in state.allocations_by_job(&job.namespace, &job.id) {
        let here = allocation.task_group == group.name && !is_terminal(allocation);
        if !here || is_marked(allocation) || migrate.contains(&allocation.id) {
            continue;
        }
        // As Nomad counts it: what was found unhealthy is not waited for for ever.
        let judged = allocation.deployment_status.as_ref().is_some_and(|status| status.healthy.is_some());
        healthy += i64::from(judged);
        if state.node(allocation.node_id).is_some_and(|node| node.drain_strategy.is_some()) {
            candidates.push((judged, allocation.id));
        }
    }
    candidates.sort_unstable();
    let room = healthy.saturating_sub(group.count.saturating_sub(block.max_parallel));
    let room = usize::try_from(room).unwrap_or_default();
    migrate.extend(candidates.into_iter().take(room).map(|(_, id)| id));
}

fn is_terminal(allocation: &Allocation) -> bool {
    allocation.desired_status.is_terminal() || allocation.client_status.is_terminal()
}

fn is_marked(allocation: &Allocation) -> bool {
    allocation.desired_transition.migrate == Some(true)
}

/// What the loop remembers.
#[derive(Debug, Default)]
struct Watched {
    drained: BTreeSet<NodeId>,
    due: Option<Time>,
}

impl Watched {
    fn new(state: &State, now: Time) -> Self {
        let drained = state.nodes().filter(|node| node.drain_strategy.is_some()).map(|node| node.id).collect();
        Self { drained, due: Some(now) }
    }

    fn look_by(&mut self, time: Time) {
        self.due = Some(self.due.map_or(time, |due| due.min(time)));
    }

    fn note(&mut self, state: &State, events: &[Event], now: Time) {
        for event in events {
            match &event.subject {
                Subject::Node(id) => {
                    if state.node(*id).is_some_and(|node| node.drain_strategy.is_some()) {
                        self.drained.insert(*id);
                        self.look_by(now);
                    } else {
                        self.drained.remove(id);
                    }
                }
                Subject::DeletedNode(node) => {
                    self.drained.remove(&node.id);
                }
                Subject::Allocation(_) | Subject::Job(_) | Subject::DeletedJob(_) if !self.drained.is_empty() => {
                    self.look_by(now.plus(GATHER));
                }
                _ => {}
            }
        }
    }
}

/// Watches all drained nodes, for ever.
pub(super) async fn watch(server: Server) {
    loop {
        let mut events = server.raft().events();
        let mut replaced = server.replaced();
        let mut watched = Watched::new(&server.state(), server.now());
        loop {
            let now = server.now();
            if watched.due.is_some_and(|due| due <= now) {
                watched.due = examine(&server, &watched.drained, now).await;
            }
            let wait = watched.due.map_or(Duration::from_secs(3600), |due| due.since(server.now()));
            tokio::select! {
                batch = events.recv() => match batch {
                    Ok(batch) => {
                        watched.note(&server.state(), &batch.events, server.now());
                        while let Ok(batch) = events.try_recv() {
                            watched.note(&server.state(), &batch.events, server.now());
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = replaced.changed() => break,
                () = tokio::time::sleep(wait.to_std().max(std::time::Duration::from_millis(1))) => {}
            }
        }
    }
}

/// Decides and acts; returns when to look again.
async fn examine(server: &Server, drained: &BTreeSet<NodeId>, now: Time) -> Option<Time> {
    if drained.is_empty() {
        return None;
    }
    let state = server.state();
    let decision = decide(&state, drained, now);
    let next = decision.next.unwrap_or(now.plus(LOOK)).min(now.plus(LOOK));
    match act(server, &state, decision, now).await {
        Ok(()) => Some(next),
        Err(error) => {
            tracing::warn!(%error, "a step of a drain was not written; it will be tried again");
            Some(now.plus(AGAIN))
        }
    }
}

async fn act(server: &Server, state: &State, decision: Decision, now: Time) -> Answer<()> {
    let Decision { migrate, over, next: _ } = decision;
    let marked: Vec<_> = migrate.into_iter().collect();
    for chunk in marked.chunks(CHUNK) {
        server.commit(Command::AllocationDesiredTransition(marks(server, state, chunk))).await?;
    }
    for (id, ending) in over {
        let Some(node) = state.node(id) else { continue };
        let details = (ending == Ending::Deadline).then(|| ("deadline_reached".to_owned(), "true".to_owned()));
        let event = NodeEvent {
            message: "Node drain complete".to_owned(),
            subsystem: "Drain".to_owned(),
            timestamp: now,
            details: details.into_iter().collect(),
            ..NodeEvent::default()
        };
        let set = NodeDrainSet {
            id,
            of: node.drain_strategy.clone(),
            last_drain: Some(told(node, None, Stage::Complete, now)),
            event: Some(event),
            ..NodeDrainSet::default()
        };
        let refused = server.raft().propose(Command::NodeDrain(set)).await?.response.refused().cloned();
        match refused {
            None => tracing::info!(node = %id, name = %node.name, ?ending, "a node is drained"),
            // Somebody changed the drain meanwhile, or removed the node: that is decided anew.
            Some(reason) => tracing::debug!(node = %id, %reason, "a drain that was over goes on"),
        }
    }
    Ok(())
}

/// The marks of allocations, and an evaluation of each of their jobs.
fn marks(server: &Server, state: &State, ids: &[AllocationId]) -> AllocationDesiredTransitions {
    let transition = DesiredTransition { migrate: Some(true), ..DesiredTransition::default() };
    let mut evaluations: BTreeMap<JobKey, Evaluation> = BTreeMap::new();
    for allocation in ids.iter().filter_map(|&id| state.allocation(id)) {
        let key = JobKey::new(&allocation.namespace, &allocation.job_id);
        if let Some(job) = state.job(&key.namespace, &key.id) {
            let make = || evaluation::of_job(job, Trigger::NodeDrain, evaluation::id(&server.runtime().seeds));
            evaluations.entry(key).or_insert_with(make);
        }
    }
    AllocationDesiredTransitions {
        transitions: ids.iter().map(|&id| AllocationTransition { id, transition: transition.clone() }).collect(),
        evaluations: evaluations.into_values().collect(),
    }
}

#[cfg(test)]
mod tests;
