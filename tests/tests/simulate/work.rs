//! The work: people who register jobs with check-and-set, read anywhere, write namespaces; and workers that compete with the real
//! ones, with plans from old snapshots.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nomadd_model::{
    Evaluation, EvaluationId, EvaluationStatus, JobRegisterRequest, Namespace, NodeId, Plan, Time, Trigger, spec,
};
use nomadd_scheduler::{Context, process};
use nomadd_server::Caller;
use nomadd_state::{Command, JobRegister, NodeRegister, PlanResults, State};

use super::dice::{Dice, Trace};
use super::history::{History, What};
use super::host::Running;
use super::mutant::Mutant;
use super::node;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What clients share: who runs, what happened, what was acknowledged.
pub struct Desk {
    pub running: Mutex<BTreeMap<usize, Running>>,
    pub history: Mutex<History>,
    /// Namespaces whose writing was acknowledged.
    pub acknowledged: Mutex<Vec<String>>,
    /// Which write made which index of which job.
    pub marks: Mutex<BTreeMap<(String, u64), u64>>,
    pub wrong: Mutex<Vec<String>>,
    pub stop: std::sync::atomic::AtomicBool,
    pub nodes: usize,
    pub mutant: Option<Mutant>,
    pub dice: Dice,
    pub trace: Trace,
    pub counts: Mutex<BTreeMap<&'static str, u64>>,
}

/// The jobs: dynamic ports, a fixed port on few nodes, more memory.
pub const JOBS: [&str; 3] = ["web", "fixed", "large"];

/// A job whose content is `mark`.
pub fn job(id: &str, mark: u64, nodes: usize) -> spec::Job {
    let (count, memory, network) = match id {
        "web" => (3, 300, serde_json::json!([{ "DynamicPorts": [{ "Label": "a" }, { "Label": "b" }] }])),
        "fixed" => (nodes as i64 - 1, 100, serde_json::json!([{ "ReservedPorts": [{ "Label": "f", "Value": 9000 }] }])),
        _ => (2, 600, serde_json::json!([])),
    };
    let update =
        if id == "web" { serde_json::json!({ "MaxParallel": 2 }) } else { serde_json::json!({ "MaxParallel": 0 }) };
    let reschedule = serde_json::json!({ "Delay": 5_000_000_000_i64, "DelayFunction": "constant", "Unlimited": true });
    let job = serde_json::json!({
        "ID": id, "Name": id, "Type": "service", "Datacenters": ["dc1"], "Meta": { "mark": mark.to_string() },
        "TaskGroups": [{
            "Name": "g", "Count": count, "Networks": network, "Update": update, "ReschedulePolicy": reschedule,
            "Tasks": [{ "Name": "t", "Driver": "mock_driver", "Resources": { "CPU": 50, "MemoryMB": memory } }],
        }],
    });
    serde_json::from_value(job).unwrap()
}

/// Index and mark of a job; zeros when it is not there.
pub fn seen(state: &State, id: &str) -> (u64, u64) {
    state.job("default", id).map_or((0, 0), |job| {
        let mark = job.meta.iter().find(|(key, _)| key.as_str() == "mark");
        (job.job_modify_index, mark.and_then(|(_, mark)| mark.parse().ok()).unwrap_or(0))
    })
}

impl Desk {
    fn stopped(&self) -> bool {
        self.stop.load(std::sync::atomic::Ordering::SeqCst)
    }
    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }
    fn anyone(&self) -> Option<(usize, Running)> {
        let running = self.running.lock().unwrap();
        let all: Vec<usize> = running.keys().copied().collect();
        (!all.is_empty()).then(|| *self.dice.pick(&all)).and_then(|at| Some((at, running.get(&at)?.clone())))
    }
    fn leader(&self) -> Option<(usize, Running)> {
        let running = self.running.lock().unwrap();
        let leading: Vec<usize> = running.iter().filter(|(_, one)| one.server.leads()).map(|(at, _)| *at).collect();
        (!leading.is_empty()).then(|| *self.dice.pick(&leading)).and_then(|at| Some((at, running.get(&at)?.clone())))
    }
    /// Notes which write an index is of; two for one is wrong.
    fn mark(&self, job: &str, index: u64, mark: u64) {
        if index == 0 {
            return;
        }
        let before = self.marks.lock().unwrap().insert((job.to_owned(), index), mark);
        if before.is_some_and(|before| before != mark) {
            self.wrong.lock().unwrap().push(format!("job {job} at index {index} was written by {before:?} and {mark}"));
        }
    }

    /// Reads a job at a server; what it says, or nothing.
    pub async fn read(&self, client: &str, at: usize, from: &Running, job: &str) -> Option<(u64, u64)> {
        let called = self.history.lock().unwrap().moment();
        let stale = match self.mutant {
            Some(Mutant::StaleRead) => true,
            Some(Mutant::LeaseRead) => from.server.leads(),
            _ => false,
        };
        if !stale {
            match tokio::time::timeout(PATIENCE, from.server.catch_up()).await {
                Ok(Ok(())) if from.life.goes_on() => {}
                _ => return None,
            }
        }
        let (index, mark) = seen(&from.server.state(), job);
        self.mark(job, index, mark);
        self.history.lock().unwrap().note(job, client, called, What::Read { saw: mark });
        self.trace.say(format!("{client} reads {job} at s{at}: {mark} at index {index}"));
        self.count("reads");
        Some((index, mark))
    }

    /// Registers a job over what was seen.
    async fn write(&self, client: &str, at: usize, to: &Running, job: &str, over: (u64, u64), mark: u64) {
        let called = self.history.lock().unwrap().moment();
        let request = JobRegisterRequest {
            job: Some(self::job(job, mark, self.nodes)),
            enforce_index: self.mutant != Some(Mutant::ForgottenCheck),
            job_modify_index: over.0,
            ..JobRegisterRequest::default()
        };
        let server = to.server.clone();
        let register = async move { nomadd_server::jobs::register(&server, &Caller::anonymous(), request).await };
        let answer = tokio::time::timeout(PATIENCE, register).await;
        let what = match answer {
            Ok(Ok((_, answer))) if to.life.goes_on() => {
                self.mark(job, answer.job_modify_index, mark);
                self.count("writes");
                What::Wrote { over: over.1, mark }
            }
            Ok(Err(error)) if error.message.starts_with("Enforcing job modify index") && to.life.goes_on() => {
                self.count("refused");
                What::Refused { over: over.1 }
            }
            other => {
                if let Ok(Err(error)) = other {
                    self.trace.say(format!("{client} is told: {error}"));
                }
                self.count("unknown");
                What::Perhaps { over: over.1, mark }
            }
        };
        self.trace.say(format!("{client} writes {job} at s{at}: {what:?}"));
        self.history.lock().unwrap().note(job, client, called, what);
    }

    async fn namespace(&self, at: usize, to: &Running, name: String) {
        let namespace = Namespace { name: name.as_str().into(), ..Namespace::default() };
        let server = to.server.clone();
        let write =
            async move { nomadd_server::namespaces::upsert(&server, &Caller::anonymous(), vec![namespace]).await };
        if self.mutant == Some(Mutant::AcknowledgeBeforeCommit) {
            tokio::spawn(write);
            self.acknowledged.lock().unwrap().push(name);
            return;
        }
        if let Ok(Ok(index)) = tokio::time::timeout(PATIENCE, write).await
            && to.life.goes_on()
        {
            self.trace.say(format!("namespace {name} was acknowledged by s{at} at index {index}"));
            self.acknowledged.lock().unwrap().push(name);
            self.count("namespaces");
        }
    }
}

/// A person with a keyboard.
pub async fn client(desk: Arc<Desk>, number: u64) {
    let name = format!("c{number}");
    let mut written = 0;
    while !desk.stopped() {
        tokio::time::sleep(desk.dice.millis(5, 120)).await;
        let job = *desk.dice.pick(&JOBS);
        match desk.dice.below(10) {
            0..=3 => {
                let Some((at, from)) = desk.anyone() else { continue };
                let Some(over) = desk.read(&name, at, &from, job).await else { continue };
                drop(from);
                if desk.dice.chance(300) {
                    tokio::time::sleep(desk.dice.millis(1, 50)).await;
                }
                let Some((at, to)) = desk.leader() else { continue };
                written += 1;
                desk.write(&name, at, &to, job, over, number * 1_000_000 + written).await;
            }
            4..=6 => {
                let stale = desk.mutant == Some(Mutant::LeaseRead);
                let Some((at, from)) = (if stale { desk.leader() } else { desk.anyone() }) else { continue };
                desk.read(&name, at, &from, job).await;
            }
            7..=8 => {
                let Some((at, to)) = desk.leader() else { continue };
                written += 1;
                desk.namespace(at, &to, format!("{name}-{written}")).await;
            }
            _ => {
                let Some((_, to)) = desk.leader() else { continue };
                let evaluate = async move {
                    let options = nomadd_model::EvalOptions::default();
                    nomadd_server::jobs::evaluate(&to.server, &Caller::anonymous(), "default", job, options).await
                };
                let _either = tokio::time::timeout(PATIENCE, evaluate).await;
            }
        }
    }
}

/// A worker that the broker knows nothing of: it plans from a state of some time ago and hands the plan to whoever leads, as a
/// worker of a leader that was deposed may.
pub async fn rival(desk: Arc<Desk>) {
    let mut number = 0_u64;
    while !desk.stopped() {
        tokio::time::sleep(desk.dice.millis(100, 500)).await;
        let Some((at, from)) = desk.anyone() else { continue };
        let (state, now) = (from.server.state(), from.server.runtime().clock.now());
        drop(from);
        let job = *desk.dice.pick(&JOBS);
        let Some(found) = state.job("default", job) else { continue };
        number += 1;
        let plan = planned(&desk, &state, found, (0xaa, number), now);
        hand_in(&desk, at, plan).await;
    }
}

/// The job of the squatter.
const SQUAT: &str = "squat";

/// Places a job of its own, for which nobody else plans, again and again: its plans are never too old for the job, and often for the
/// nodes, whose room the workers have given away meanwhile.
pub async fn squatter(desk: Arc<Desk>) {
    let mut number = 0_u64;
    while !desk.stopped() {
        tokio::time::sleep(desk.dice.millis(50, 300)).await;
        let Some((at, leader)) = desk.leader() else { continue };
        let Some(pattern) = leader.server.state().job("default", "large").cloned() else { continue };
        number += 1;
        let mut job = nomadd_model::Job::clone(&pattern);
        (job.id, job.name) = (SQUAT.into(), SQUAT.into());
        job.meta.insert("mark".to_owned(), number.to_string());
        for task in job.task_groups.iter_mut().flat_map(|group| &mut group.tasks) {
            task.resources.memory_mb = 400;
        }
        let register = Command::JobRegister(JobRegister { job: Arc::new(job), ..JobRegister::default() });
        let raft = leader.raft.clone();
        let registered = tokio::time::timeout(PATIENCE, async move { raft.propose(register).await }).await;
        let (state, now) = (leader.server.state(), leader.server.runtime().clock.now());
        drop(leader);
        let Some(found) = state.job("default", SQUAT).filter(|_| matches!(registered, Ok(Ok(_)))) else { continue };
        let plan = planned(&desk, &state, found, (0xbb, number), now);
        hand_in(&desk, at, plan).await;
    }
}

/// Stops the squatter's job; whether somebody did.
pub async fn evict(desk: &Desk) -> bool {
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let Some((_, to)) = desk.leader() else { continue };
        let stop = async move {
            let options = nomadd_server::jobs::StopOptions::default();
            nomadd_server::jobs::deregister(&to.server, &Caller::anonymous(), "default", SQUAT, options).await
        };
        if matches!(tokio::time::timeout(PATIENCE, stop).await, Ok(Ok(_))) {
            return true;
        }
    }
    false
}

/// What the scheduler makes of a job, for an evaluation that is nowhere else: a plan, and the later evaluations that it refers to.
/// A worker has both written in one entry, too.
fn planned(
    desk: &Desk,
    state: &State,
    job: &nomadd_model::Job,
    (whose, number): (u8, u64),
    now: Time,
) -> Option<(Plan, Vec<Evaluation>)> {
    let mut id = [whose; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    let evaluation = Evaluation {
        id: EvaluationId::from_random(id),
        namespace: "default".into(),
        job_id: job.id.clone(),
        kind: job.kind.as_str().into(),
        priority: job.priority,
        triggered_by: Trigger::JobRegister,
        status: EvaluationStatus::Pending,
        ..Evaluation::default()
    };
    let outcome = process(state, &evaluation, &Context { now, seed: desk.dice.seed() });
    let later = outcome.created.into_iter().filter(|created| created.wait_until.0 != 0).collect();
    Some((outcome.plan?, later))
}

/// Hands a plan in after a while, to whoever leads then.
async fn hand_in(desk: &Desk, at: usize, planned: Option<(Plan, Vec<Evaluation>)>) {
    let Some((mut plan, evaluations)) = planned else { return };
    let job = plan.job_id.clone();
    tokio::time::sleep(desk.dice.millis(1, 400)).await;
    let Some((to, leader)) = desk.leader() else { return };
    let placed: Vec<NodeId> =
        plan.placements.iter().flat_map(|batch| &batch.placements).map(|one| one.node_id).collect();
    if desk.mutant == Some(Mutant::NoStaleCheck) {
        plan.snapshot_index = 0;
    }
    let results = PlanResults { plans: vec![plan], evaluations };
    let command = match desk.mutant {
        Some(Mutant::NoFitCheck) => unchecked(&leader.server.state(), &placed, results),
        _ => Command::PlanResults(results),
    };
    let proposed = async move { leader.raft.propose(command).await };
    if let Ok(Ok(committed)) = tokio::time::timeout(PATIENCE, proposed).await {
        desk.count("rival plans");
        desk.trace.say(format!("a rival's plan for {job} from s{at} went in at s{to}, index {}", committed.index));
    }
}

/// A plan that meets nodes which seem to have room for everything, for this one index.
fn unchecked(state: &State, nodes: &[NodeId], results: PlanResults) -> Command {
    let register = |grown: bool| {
        nodes.iter().filter_map(move |id| {
            let mut node = nomadd_model::Node::clone(state.node(*id)?);
            if grown {
                node.node_resources.memory.memory_mb = node::MEMORY * 1000;
                node.node_resources.cpu.cpu_shares *= 1000;
            }
            let secret = state.node_secret(*id).unwrap_or_default();
            Some(Command::NodeRegister(NodeRegister { node: Arc::new(node), secret, ..NodeRegister::default() }))
        })
    };
    let mut commands: Vec<Command> = register(true).collect();
    commands.push(Command::PlanResults(results));
    commands.extend(register(false));
    Command::Batch(commands)
}
