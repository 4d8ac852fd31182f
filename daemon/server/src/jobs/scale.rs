//! Scaling: the count of a group within its bounds, notes of scalers, and how a job's groups stand.

use nomadd_model::{
    DesiredStatus, EvaluationId, Job, JobRegisterResponse, JobScaleStatusResponse, ScalingEvent, ScalingRequest,
    TaskGroupScaleStatus, Trigger,
};
use nomadd_state::{Command, JobScale, State};

use super::{job_modify_index, registrations_are_allowed};
use crate::caller::Caller;
use crate::error::{Answer, EndpointError};
use crate::evaluation;
use crate::server::Server;

/// The most allocations that all groups of a job may ask for.
const MOST: i64 = 50_000;

/// Sets the count of a group, or only notes what a scaler says.
pub async fn scale(
    server: &Server,
    caller: &Caller,
    namespace: &str,
    id: &str,
    request: ScalingRequest,
) -> Answer<(u64, JobRegisterResponse)> {
    caller.resolve()?;
    let ScalingRequest {
        count,
        error,
        job_modify_index: enforced,
        message,
        meta,
        namespace: _,
        policy_override: _,
        region: _,
        target,
    } = request;
    let state = server.state();
    registrations_are_allowed(&state)?;
    let bad = |text: String| Err(EndpointError::bad_request(text));
    let Some(group) = target.get("Group").filter(|group| !group.is_empty()) else {
        return bad("missing task group name for scaling action".to_owned());
    };
    if error && count.is_some() {
        return bad("scaling action should not contain count if error is true".to_owned());
    }
    if count.is_some_and(|count| count < 0) {
        return bad("scaling action count can't be negative".to_owned());
    }
    let job = state.job(namespace, id).ok_or_else(|| EndpointError::not_found(format!("job {id:?} not found")))?;
    if job.kind.is_system() {
        return bad(format!("cannot scale jobs of type {:?}", job.kind.as_str()));
    }
    let Some(found) = job.group(group) else {
        return bad(format!("task group {group:?} specified for scaling does not exist in job"));
    };
    let previous = found.count;
    if let Some(count) = count {
        check_bounds(&state, job, group, count).map_err(EndpointError::bad_request)?;
    }
    let evaluation = count.map(|_| evaluation::of_job(job, Trigger::Scaling, evaluation::id(&server.runtime().seeds)));
    let eval_id = evaluation.as_ref().map_or(EvaluationId::NONE, |evaluation| evaluation.id);
    let now = server.now().unix_nanos();
    let event = ScalingEvent { count, error, message, meta, previous_count: previous, time: now, ..Default::default() };
    let command = JobScale {
        namespace: namespace.into(),
        id: id.into(),
        group: group.into(),
        count,
        event,
        evaluation,
        enforce_index: (enforced != 0).then_some(enforced),
        submit_time: now,
        tracked_versions: server.config().job_tracked_versions,
    };
    let committed = server.commit(Command::JobScale(command)).await?;
    let index = committed.index;
    Ok((
        index,
        JobRegisterResponse {
            eval_create_index: if eval_id.is_some() { index } else { 0 },
            eval_id,
            job_modify_index: job_modify_index(&committed.response, index),
            warnings: String::new(),
        },
    ))
}

fn check_bounds(state: &State, job: &Job, group: &str, count: i64) -> Result<(), String> {
    let active = state
        .latest_deployment(&job.namespace, &job.id)
        .is_some_and(|deployment| deployment.status.is_active() && deployment.job_create_index == job.create_index);
    if active {
        return Err("job scaling blocked due to active deployment".to_owned());
    }
    if let Some(policy) = job.group(group).and_then(|group| group.scaling.as_ref()) {
        if count < policy.min {
            return Err(format!("group count was less than scaling policy minimum: {count} < {}", policy.min));
        }
        if count > policy.max {
            return Err(format!("group count was greater than scaling policy maximum: {count} > {}", policy.max));
        }
    }
    let others = job.task_groups.iter().filter(|other| other.name != *group).map(|other| other.count);
    let total = others.fold(count, i64::saturating_add);
    if total > MOST {
        return Err(format!("total count was greater than configured job_max_count: {total} > {MOST}"));
    }
    Ok(())
}

/// How the groups of a job stand; `None` when there is no such job.
pub fn scale_status(state: &State, namespace: &str, id: &str) -> Option<JobScaleStatusResponse> {
    let job = state.job(namespace, id)?;
    let deployment = state.latest_deployment(namespace, id);
    let mut status = JobScaleStatusResponse {
        job_create_index: job.create_index,
        job_id: job.id.to_string(),
        job_modify_index: job.job_modify_index,
        job_stopped: job.stop,
        namespace: job.namespace.to_string(),
        ..Default::default()
    };
    for group in &job.task_groups {
        let of_group = TaskGroupScaleStatus { desired: group.count, ..Default::default() };
        status.task_groups.insert(group.name.to_string(), of_group);
    }
    for allocation in state.allocations_by_job(namespace, id) {
        let live = allocation.desired_status == DesiredStatus::Run && !allocation.client_status.is_terminal();
        let Some(group) = status.task_groups.get_mut(allocation.task_group.as_str()) else { continue };
        if !live {
            continue;
        }
        group.placed += 1;
        group.running += i64::from(allocation.client_status == nomadd_model::ClientStatus::Running);
        let of_deployment = deployment.is_some_and(|deployment| deployment.id == allocation.deployment_id);
        match allocation.deployment_status.as_ref().and_then(|status| status.healthy).filter(|_| of_deployment) {
            Some(true) => group.healthy += 1,
            Some(false) => group.unhealthy += 1,
            None => {}
        }
    }
    for (group, events) in state.scaling_events(namespace, id) {
        if let Some(group) = status.task_groups.get_mut(group.as_str()) {
            group.events.clone_from(events);
        }
    }
    Some(status)
}
