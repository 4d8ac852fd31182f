//! A scheduling worker: takes an evaluation, lets the scheduler compute, has the plan written, writes what came of it.
//!
//! Several run on the leader (`work`) and on each follower (`help`). A plan that was committed only in part is made again from the newer state, a few times. The
//! scheduler runs on the compute pool; what a worker has finished is written and acknowledged beside it (`Evaluations`),
//! so that it goes on with the next at once.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use nomadd_model::{AllocationMetric, DeploymentStatus, Duration as Span, Evaluation, Plan, PlanResult};
use nomadd_raft::ServerId;
use nomadd_rpc::connection::call;
use nomadd_rpc::{
    Acknowledged, Connection, EvaluationDequeueRequest, EvaluationDequeueResponse, EvaluationDoneRequest,
    EvaluationsWriteRequest, Method, PlanSubmitRequest, RpcError,
};
use nomadd_scheduler::{Context, Outcome, Scheduler};
use nomadd_state::{Command, EvaluationUpsert, Response, State};
use tokio::sync::{RwLockReadGuard, RwLockWriteGuard, oneshot};

use crate::applier::Submission;
use crate::batch::Batched;
use crate::broker::Delivery;
use crate::error::{Answer, EndpointError};
use crate::peers::within;
use crate::server::Server;

/// How long the leader may take to answer a worker.
const CALL: Duration = Duration::from_secs(30);
/// How long a worker on a follower rests while there is nobody to work for.
const REST: Duration = Duration::from_secs(1);
/// The pause after something went wrong with the leader.
const PAUSE: Duration = Duration::from_millis(100);

/// Writes evaluations.
pub(crate) struct Evaluations;

impl Batched for Evaluations {
    type Item = Vec<Evaluation>;
    type Answer = u64;
    type Memo = usize;
    // Nobody waits for these but the next evaluation of the same job: what ends while a write is on its way goes into one.
    const IN_FLIGHT: usize = 1;
    const WEIGHT: usize = 1024;

    fn weigh(item: &Vec<Evaluation>) -> usize {
        item.len().max(1)
    }
    fn command(&mut self, items: Vec<Vec<Evaluation>>) -> (Command, usize) {
        let count = items.len();
        let evaluations = items.into_iter().flatten().collect();
        (Command::EvaluationUpsert(EvaluationUpsert { evaluations }), count)
    }
    fn answers(&mut self, index: u64, _: Response, count: usize) -> Vec<u64> {
        vec![index; count]
    }
}

/// Works on the leader, for ever.
pub(crate) async fn work(server: Server) {
    let mut scheduler = Scheduler::default();
    loop {
        let waited = std::time::Instant::now();
        let delivery = server.queue().take().await;
        metrics::histogram!("nomad.nomad.worker.dequeue_eval").record(waited.elapsed().as_secs_f64() * 1e3);
        let id = delivery.evaluation.id;
        let written = match process(&server, &Desk::Here, &mut scheduler, &delivery).await {
            Ok(evaluations) if evaluations.is_empty() => {
                let _ = server.queue().acknowledge(id, delivery.token);
                continue;
            }
            Ok(evaluations) => server.evaluations().send(evaluations).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(written) => {
                let server_of_task = server.clone();
                let finish = finish(server_of_task, delivery, written);
                server.duties().spawn(nomadd_runtime::TaskKind::LeaderDuty, finish);
            }
            Err(error) => {
                tracing::warn!(evaluation = %id, %error, "an evaluation was not finished; it will be tried again");
                // A stale delivery is in somebody else's hands already.
                let _ = server.queue().refuse(id, delivery.token);
            }
        }
    }
}

/// The number of a worker: the same after a restart of its server, so that what the one before had in hand comes back when
/// the new one asks, and not when the time of that delivery is over.
fn number(server: ServerId, place: usize) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = server.0.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).wrapping_add(place as u64).max(1)
}

/// Works on a follower for the leader, for ever; rests while this server leads itself.
pub(crate) async fn help(server: Server, place: usize) {
    let mut scheduler = Scheduler::default();
    let worker = number(server.raft().id(), place);
    let mut leadership = server.raft().leadership();
    loop {
        let waits = { leadership.borrow_and_update().leading || server.leader().is_none() };
        if waits {
            // The membership is no part of the leadership: look again after a while.
            let _either = tokio::time::timeout(REST, leadership.changed()).await;
            continue;
        }
        if let Err(error) = help_once(&server, worker, &mut scheduler).await {
            tracing::debug!(%error, "an evaluation of the leader was not finished here");
            tokio::time::sleep(PAUSE + server.runtime().seeds.jitter(PAUSE)).await;
        }
    }
}

/// One evaluation of the leader, when it has one.
async fn help_once(server: &Server, worker: u64, scheduler: &mut Scheduler) -> Result<(), RpcError> {
    let leader = server.leader_connection()?;
    let request = EvaluationDequeueRequest { wait: Span::from_secs(2), worker };
    let asked = call::<_, EvaluationDequeueResponse>(&*leader, Method::EvaluationDequeue, &request);
    let EvaluationDequeueResponse { evaluation, token } = within(CALL, asked).await?;
    let Some(evaluation) = evaluation else { return Ok(()) };
    let id = evaluation.id;
    let desk = Desk::Leader { connection: Arc::clone(&leader), token };
    // The token of the leader's broker stays there; the one on the wire counts.
    let delivery = Delivery { evaluation: Arc::new(evaluation), token: crate::broker::Token(0) };
    let done = EvaluationDoneRequest { id, token };
    let written = match process(server, &desk, scheduler, &delivery).await {
        Ok(evaluations) if evaluations.is_empty() => Ok(()),
        Ok(evaluations) => {
            let request = EvaluationsWriteRequest { evaluations };
            let asked = call::<_, Acknowledged>(&*leader, Method::EvaluationsWrite, &request);
            within(CALL, asked).await.map(|_| ())
        }
        Err(error) => Err(RpcError::Refused(error.message)),
    };
    let method = if written.is_ok() { Method::EvaluationAcknowledge } else { Method::EvaluationRefuse };
    let told = within(CALL, call::<_, Acknowledged>(&*leader, method, &done)).await;
    written.and(told.map(|_| ()))
}

/// Where plans are written: here, or by the leader.
enum Desk {
    Here,
    Leader { connection: Arc<dyn Connection>, token: u64 },
}

/// Acknowledges an evaluation once its outcome is durable.
async fn finish(server: Server, delivery: Delivery, written: oneshot::Receiver<Answer<u64>>) {
    let id = delivery.evaluation.id;
    let outcome = match written.await {
        Ok(Ok(_)) => server.queue().acknowledge(id, delivery.token),
        Ok(Err(error)) => {
            tracing::warn!(evaluation = %id, %error, "the outcome of an evaluation was not written; it will be tried again");
            server.queue().refuse(id, delivery.token)
        }
        Err(_) => server.queue().refuse(id, delivery.token),
    };
    if let Err(stale) = outcome {
        tracing::debug!(evaluation = %id, %stale, "a late acknowledgement");
    }
}

/// Processes one evaluation. Returns what is to be written of it; nothing when it was over already.
async fn process(
    server: &Server,
    desk: &Desk,
    scheduler: &mut Scheduler,
    delivery: &Delivery,
) -> Answer<Vec<Evaluation>> {
    let evaluation = &delivery.evaluation;
    let limit = nomadd_scheduler::attempts(evaluation.kind.parse().unwrap_or_default());
    let (mut failed, mut wanted) = (0, evaluation.modify_index.max(evaluation.snapshot_index));
    loop {
        let begun = std::time::Instant::now();
        let state = server.raft().wait_for(wanted).await;
        if state.evaluation(evaluation.id).is_none_or(|found| found.status.is_terminal()) {
            return Ok(Vec::new());
        }
        metrics::histogram!("nomad.nomad.worker.wait_for_index").record(begun.elapsed().as_secs_f64() * 1e3);
        // Workers agree on which nodes are best and may take the last room from each other again and again: who had a plan
        // refused without any progress makes the next one while nobody else does.
        let _lane = if failed == 0 {
            Lane::Shared(server.lane().read().await)
        } else {
            Lane::Alone(server.lane().write().await)
        };
        let outcome = schedule(server, scheduler, evaluation).await?;
        let updated = outcome.evaluation;
        let (later, mut written): (Vec<_>, Vec<_>) =
            outcome.created.into_iter().partition(|created| created.wait_until.0 != 0);
        let Some(mut plan) = outcome.plan else {
            written.extend(later);
            written.insert(0, updated);
            return Ok(written);
        };
        tell_what_is_not_done(&server.state(), &mut plan);
        let result = submit(server, desk, delivery, Submission { plan, evaluations: later }).await?;
        if result.refresh_index == 0 {
            written.insert(0, updated);
            return Ok(written);
        }
        metrics::counter!("nomad.nomad.plan.node_rejected").increment(result.rejected_nodes.len() as u64);
        failed = if result.placed > 0 { 0 } else { failed + 1 };
        if failed >= limit {
            let context = context(server);
            let Outcome { evaluation: failed, mut created, .. } =
                nomadd_scheduler::out_of_attempts(&updated, limit, &context);
            created.insert(0, failed);
            return Ok(created);
        }
        wanted = wanted.max(result.refresh_index).max(result.index);
    }
}

/// How a worker holds the lane; only kept to be let go.
enum Lane<'a> {
    Shared(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'a, ()>),
    Alone(#[expect(dead_code, reason = "held, not read")] RwLockWriteGuard<'a, ()>),
}

/// Deployments say in their status which services are not registered and how many checks are not run by this build.
fn tell_what_is_not_done(state: &State, plan: &mut Plan) {
    if plan.deployment.is_none() && plan.deployment_updates.is_empty() {
        return;
    }
    let Some(job) = state.job(&plan.namespace, &plan.job_id) else { return };
    let told: Vec<_> = job.task_groups.iter().filter_map(nomadd_admission::unregistered).collect();
    if told.is_empty() {
        return;
    }
    let told = format!(" ({})", told.join("; "));
    if let Some(deployment) = &mut plan.deployment
        && !deployment.status_description.ends_with(&told)
    {
        deployment.status_description.push_str(&told);
    }
    for update in &mut plan.deployment_updates {
        if update.status == DeploymentStatus::Successful {
            update.description = format!("{}{told}", update.description).into();
        }
    }
}

fn context(server: &Server) -> Context {
    let runtime = server.runtime();
    Context { now: runtime.clock.now(), seed: runtime.seeds.seed() }
}

/// Computes on the pool, unless there is next to nothing to do. The scheduler goes there and comes back: it remembers the nodes.
/// A panic costs that memory only.
async fn schedule(server: &Server, scheduler: &mut Scheduler, evaluation: &Arc<Evaluation>) -> Answer<Outcome> {
    let (context, state, evaluation_of_run) = (context(server), server.state(), Arc::clone(evaluation));
    let mut taken = std::mem::take(scheduler);
    let begun = tokio::time::Instant::now();
    let idle = nomadd_scheduler::is_idle(&state, &evaluation.namespace, &evaluation.job_id);
    let compute = move || {
        let outcome = taken.process(&state, &evaluation_of_run, &context);
        (outcome, taken)
    };
    let computed = match idle {
        true => std::panic::catch_unwind(AssertUnwindSafe(compute)).map_err(|_| nomadd_runtime::pool::Unfinished),
        false => server.runtime().pool.run(compute).await,
    };
    let (mut outcome, taken) = computed.map_err(|unfinished| EndpointError::refused(unfinished.to_string()))?;
    *scheduler = taken;
    let took = begun.elapsed();
    tell_time(&mut outcome, took);
    let millis = took.as_secs_f64() * 1e3;
    metrics::histogram!(format!("nomad.nomad.worker.invoke_scheduler.{}", evaluation.kind)).record(millis);
    Ok(outcome)
}

/// Says in every metric how long one allocation took: the run's time, shared among those it looked for. The scheduler
/// has no clock.
fn tell_time(outcome: &mut Outcome, took: Duration) {
    let failed = outcome.evaluation.failed_tg_allocs.len();
    let batches = outcome.plan.as_ref().map_or(&[][..], |plan| &plan.placements);
    let count = failed + batches.iter().map(|batch| batch.placements.len()).sum::<usize>();
    let each = took / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    let each = Span(i64::try_from(each.as_nanos()).unwrap_or(i64::MAX));
    let tell = |metric: &mut Arc<AllocationMetric>| Arc::make_mut(metric).allocation_time = each;
    for batch in outcome.plan.iter_mut().flat_map(|plan| &mut plan.placements) {
        batch.metrics.iter_mut().for_each(tell);
        batch.placements.iter_mut().filter_map(|placement| placement.metrics.as_mut()).for_each(tell);
    }
    for evaluation in std::iter::once(&mut outcome.evaluation).chain(&mut outcome.created) {
        evaluation.failed_tg_allocs.values_mut().for_each(tell);
    }
}

/// Has a plan written. The worker's time stands still meanwhile.
async fn submit(server: &Server, desk: &Desk, delivery: &Delivery, submission: Submission) -> Answer<PlanResult> {
    if let Desk::Leader { connection, token } = desk {
        let Submission { plan, evaluations } = submission;
        let request = PlanSubmitRequest { id: delivery.evaluation.id, token: *token, plan, evaluations };
        let asked = call::<_, PlanResult>(&**connection, Method::PlanSubmit, &request);
        return within(CALL, asked).await.map_err(|error| EndpointError::refused(error.to_string()));
    }
    let (queue, id) = (server.queue(), delivery.evaluation.id);
    let stale = |stale: crate::broker::StaleDelivery| EndpointError::refused(stale.to_string());
    let pausing = queue.pausing(id, delivery.token).map_err(stale)?;
    let begun = std::time::Instant::now();
    let result = server.plans().write(submission).await;
    metrics::histogram!("nomad.nomad.plan.submit").record(begun.elapsed().as_secs_f64() * 1e3);
    pausing.end().map_err(stale)?;
    result
}

#[cfg(test)]
mod tests {
    use nomadd_model::{Placement, PlacementBatch};

    use super::*;

    #[test]
    fn every_metric_says_how_long_one_allocation_took() {
        let metrics = || Some(Arc::new(AllocationMetric::default()));
        let batch = PlacementBatch {
            metrics: metrics(),
            placements: vec![Placement { metrics: metrics(), ..Placement::default() }, Placement::default()],
            ..PlacementBatch::default()
        };
        let mut outcome = Outcome {
            plan: Some(Plan { placements: vec![batch], ..Plan::default() }),
            evaluation: Evaluation::default(),
            created: vec![Evaluation::default()],
            annotations: None,
        };
        let shared = Arc::new(AllocationMetric::default());
        outcome.evaluation.failed_tg_allocs.insert("g".into(), Arc::clone(&shared));
        outcome.created[0].failed_tg_allocs.insert("g".into(), shared);
        tell_time(&mut outcome, Duration::from_nanos(300));
        let batch = &outcome.plan.as_ref().unwrap().placements[0];
        assert_eq!(batch.metrics.as_ref().unwrap().allocation_time, Span(100));
        assert_eq!(batch.placements[0].metrics.as_ref().unwrap().allocation_time, Span(100));
        assert_eq!(outcome.evaluation.failed_tg_allocs["g"].allocation_time, Span(100));
        assert_eq!(outcome.created[0].failed_tg_allocs["g"].allocation_time, Span(100));
    }
}
