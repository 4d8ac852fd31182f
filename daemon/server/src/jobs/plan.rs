//! A dry run of a registration: what would change, computed on a copy of the state that nobody else sees.

use std::sync::Arc;

use nomadd_model::diff;
use nomadd_model::{Evaluation, EvaluationStatus, JobPlanRequest, JobPlanResponse, Time, Trigger};
use nomadd_scheduler::Context;
use nomadd_state::{Command, JobRegister, State};

use super::admit;
use crate::caller::Caller;
use crate::error::{Answer, EndpointError};
use crate::evaluation;
use crate::server::Server;

/// What registering a job would do. Changes nothing.
pub async fn plan(server: &Server, caller: &Caller, request: JobPlanRequest) -> Answer<(u64, JobPlanResponse)> {
    caller.resolve()?;
    let JobPlanRequest { diff: wants_diff, job, namespace, policy_override: _, region: _ } = request;
    let written = job.ok_or_else(|| EndpointError::bad_request("Job must be specified"))?;
    let state = server.state();
    let admitted = admit::admit(server, &state, written, &namespace)
        .map_err(|refused| EndpointError::refused(refused.to_string()))?;
    let existing = state.job(&admitted.job.namespace, &admitted.job.id).cloned();
    let job_modify_index = existing.as_ref().map_or(0, |job| job.job_modify_index);
    let runtime = server.runtime();
    let context = Context { now: runtime.clock.now(), seed: runtime.seeds.seed() };
    let evaluation = Evaluation {
        annotate_plan: true,
        status: EvaluationStatus::Pending,
        ..evaluation::of_job(&admitted.job, Trigger::JobRegister, evaluation::id(&runtime.seeds))
    };
    let register = JobRegister {
        job: Arc::new(admitted.job),
        evaluation: Some(evaluation.clone()),
        tracked_versions: server.config().job_tracked_versions,
        ..JobRegister::default()
    };
    let index = state.index();
    let (outcome, diff) = runtime
        .pool
        .run(move || {
            let tried = try_out(&state, context.now, &register);
            let evaluation = tried.evaluation(evaluation.id).cloned().unwrap_or_else(|| Arc::new(evaluation));
            let outcome = nomadd_scheduler::process(&tried, &evaluation, &context);
            let diff = wants_diff.then(|| {
                let mut diff = diff::diff(existing.as_deref(), Some(&register.job), diff::Detail::Context);
                diff::annotate(&mut diff, outcome.annotations.as_ref());
                diff
            });
            (outcome, diff)
        })
        .await
        .map_err(|unfinished| EndpointError::refused(unfinished.to_string()))?;
    let failed = &outcome.evaluation.failed_tg_allocs;
    Ok((
        index,
        JobPlanResponse {
            annotations: outcome.annotations,
            created_evals: outcome.created,
            diff,
            failed_tg_allocs: failed.iter().map(|(group, metric)| (group.to_string(), Arc::clone(metric))).collect(),
            job_modify_index,
            next_periodic_launch: Time::default(),
            warnings: nomadd_admission::warning_text(&admitted.warnings),
        },
    ))
}

/// The state as if the job were registered.
fn try_out(state: &State, now: Time, register: &JobRegister) -> State {
    let mut tried = state.clone();
    let next = tried.index() + 1;
    tried.apply(next, now, Command::JobRegister(register.clone()));
    tried
}
