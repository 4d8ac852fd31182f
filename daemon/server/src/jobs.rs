//! Jobs: register, validate, stop, evaluate, mark and name versions. Plans, reverts and scaling have their own files.
//!
//! Every call returns the index for the response beside its answer. Lists and reads are made by `http` from the state.

mod admit;
mod plan;
mod revert;
mod scale;

use nomadd_model::spec::JobVersionTag;
use nomadd_model::{
    DesiredTransition, EvalOptions, EvaluationId, Job, JobDeregisterResponse, JobDispatchRequest, JobDispatchResponse,
    JobRegisterRequest, JobRegisterResponse, JobStabilityRequest, JobSubmission, JobValidateRequest,
    JobValidateResponse, Text, Trigger,
};
use nomadd_state::{
    AllocationDesiredTransitions, AllocationTransition, Command, EvaluationUpsert, JobDeregister, JobRegister,
    JobStability, JobVersionTagSet, Response, State,
};
use std::sync::Arc;

use crate::caller::Caller;
use crate::error::{Answer, EndpointError};
use crate::evaluation;
use crate::reschedule;
use crate::server::Server;

pub use plan::plan;
pub use revert::revert;
pub use scale::{scale, scale_status};

/// Registers a job: a new one, a new version, or nothing new; either way it is evaluated.
pub async fn register(
    server: &Server,
    caller: &Caller,
    request: JobRegisterRequest,
) -> Answer<(u64, JobRegisterResponse)> {
    caller.resolve()?;
    let JobRegisterRequest {
        enforce_index,
        eval_priority,
        job: written,
        job_modify_index,
        namespace,
        // Sentinel policies are Nomad Enterprise's; there is none to override.
        policy_override: _,
        preserve_counts,
        preserve_resources,
        region: _,
        submission,
    } = request;
    let written = written.ok_or_else(|| EndpointError::bad_request("Job must be specified"))?;
    let state = server.state();
    registrations_are_allowed(&state)?;
    let admitted = admit::admit(server, &state, written, &namespace)
        .map_err(|refused| EndpointError::refused(refused.to_string()))?;
    let (mut job, mut warnings) = (admitted.job, admitted.warnings);
    if let Some(existing) = state.job(&job.namespace, &job.id) {
        preserve(&mut job, existing, preserve_counts, preserve_resources);
    }
    let submission = keep_submission(server, submission, &mut warnings);
    let evaluation = evaluation_of(server, &job, eval_priority);
    let eval_id = evaluation.as_ref().map_or(EvaluationId::NONE, |evaluation| evaluation.id);
    let register = JobRegister {
        job: Arc::new(job),
        submission,
        evaluation,
        enforce_index: enforce_index.then_some(job_modify_index),
        tracked_versions: server.config().job_tracked_versions,
    };
    registered(server, register, eval_id, nomadd_admission::warning_text(&warnings)).await
}

/// Writes a registration and answers it.
async fn registered(
    server: &Server,
    register: JobRegister,
    eval_id: EvaluationId,
    warnings: String,
) -> Answer<(u64, JobRegisterResponse)> {
    let begun = std::time::Instant::now();
    let committed = server.commit(Command::JobRegister(register)).await?;
    metrics::histogram!("nomad.nomad.fsm.register_job").record(begun.elapsed().as_secs_f64() * 1e3);
    let index = committed.index;
    let eval_create_index = if eval_id.is_some() { index } else { 0 };
    let job_modify_index = job_modify_index(&committed.response, index);
    Ok((index, JobRegisterResponse { eval_create_index, eval_id, job_modify_index, warnings }))
}

/// Checks a job without registering it.
pub fn validate(server: &Server, caller: &Caller, request: JobValidateRequest) -> Answer<JobValidateResponse> {
    caller.resolve()?;
    let JobValidateRequest { job, namespace, region: _ } = request;
    let written = job.ok_or_else(|| EndpointError::bad_request("Job must be specified"))?;
    let (errors, warnings) = match admit::admit(server, &server.state(), written, &namespace) {
        Ok(admitted) => (Vec::new(), admitted.warnings),
        Err(refused) => (refused.errors, refused.warnings),
    };
    Ok(JobValidateResponse {
        driver_config_validated: true,
        error: nomadd_admission::error_text(&errors),
        validation_errors: errors,
        warnings: nomadd_admission::warning_text(&warnings),
    })
}

/// How a job is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StopOptions {
    /// It is removed at once, too.
    pub purge: bool,
    /// Clients skip the shutdown delay.
    pub no_shutdown_delay: bool,
    /// The priority of the evaluation; 0: the job's.
    pub eval_priority: i64,
}

/// Stops a job. One that is not there is no error, and its answer is empty.
pub async fn deregister(
    server: &Server,
    caller: &Caller,
    namespace: &str,
    id: &str,
    options: StopOptions,
) -> Answer<(u64, JobDeregisterResponse)> {
    caller.resolve()?;
    let state = server.state();
    let Some(job) = state.job(namespace, id) else { return Ok((0, JobDeregisterResponse::default())) };
    let mut evaluation = evaluation::of_job(job, Trigger::JobDeregister, evaluation::id(&server.runtime().seeds));
    if options.eval_priority > 0 {
        evaluation.priority = options.eval_priority;
    }
    let eval_id = evaluation.id;
    let command = JobDeregister {
        namespace: namespace.into(),
        id: id.into(),
        purge: options.purge,
        submit_time: server.now().unix_nanos(),
        evaluation: Some(evaluation),
        no_shutdown_delay: options.no_shutdown_delay,
    };
    let index = server.commit(Command::JobDeregister(command)).await?.index;
    Ok((index, JobDeregisterResponse { eval_create_index: index, eval_id, job_modify_index: index }))
}

/// Evaluates a job again, if asked with its failed allocations placed at once.
pub async fn evaluate(
    server: &Server,
    caller: &Caller,
    namespace: &str,
    id: &str,
    options: EvalOptions,
) -> Answer<(u64, JobRegisterResponse)> {
    caller.resolve()?;
    let state = server.state();
    let job = find(&state, namespace, id)?;
    if job.periodic.is_some() {
        return Err(EndpointError::refused("can't evaluate periodic job"));
    }
    if job.parameterized_job.is_some() {
        return Err(EndpointError::refused("can't evaluate parameterized job"));
    }
    let evaluation = evaluation::of_job(job, Trigger::JobRegister, evaluation::id(&server.runtime().seeds));
    let eval_id = evaluation.id;
    let force = DesiredTransition { force_reschedule: Some(true), ..DesiredTransition::default() };
    let transitions: Vec<_> = if options.force_reschedule {
        let failed = state.allocations_by_job(namespace, id).filter(|allocation| {
            allocation.next_allocation.is_none()
                && !allocation.desired_status.is_terminal()
                && allocation.client_status == nomadd_model::ClientStatus::Failed
                && reschedule::group_of(&state, allocation).is_some_and(|group| group.reschedule_policy.is_some())
        });
        failed.map(|failed| AllocationTransition { id: failed.id, transition: force.clone() }).collect()
    } else {
        Vec::new()
    };
    let evaluations = vec![evaluation];
    let command = if transitions.is_empty() {
        Command::EvaluationUpsert(EvaluationUpsert { evaluations })
    } else {
        Command::AllocationDesiredTransition(AllocationDesiredTransitions { transitions, evaluations })
    };
    let job_modify_index = job.modify_index;
    let index = server.commit(command).await?.index;
    Ok((index, JobRegisterResponse { eval_create_index: index, eval_id, job_modify_index, warnings: String::new() }))
}

/// Marks a version as stable or not.
pub async fn set_stable(server: &Server, caller: &Caller, request: JobStabilityRequest) -> Answer<u64> {
    caller.resolve()?;
    let JobStabilityRequest { job_id, job_version, namespace, region: _, stable } = request;
    let command = JobStability { namespace: or_default(namespace), id: job_id.into(), version: job_version, stable };
    Ok(server.commit(Command::JobStability(command)).await?.index)
}

/// Names a version: the one that is given, or the newest.
pub async fn tag_version(
    server: &Server,
    caller: &Caller,
    namespace: &str,
    id: &str,
    version: Option<u64>,
    name: &str,
    description: &str,
) -> Answer<(u64, JobVersionTag)> {
    caller.resolve()?;
    if name.is_empty() {
        return Err(EndpointError::bad_request("missing tag name"));
    }
    let state = server.state();
    let job = find(&state, namespace, id)?;
    let tag = JobVersionTag {
        name: name.to_owned(),
        description: description.to_owned(),
        tagged_time: server.now().unix_nanos(),
    };
    let command = JobVersionTagSet {
        namespace: namespace.into(),
        id: id.into(),
        version: version.unwrap_or(job.version),
        tag: Some(tag.clone()),
        name: name.into(),
    };
    let index = server.commit(Command::JobVersionTag(command)).await?.index;
    Ok((index, tag))
}

/// Takes the name of a version away.
pub async fn untag_version(server: &Server, caller: &Caller, namespace: &str, id: &str, name: &str) -> Answer<u64> {
    caller.resolve()?;
    let state = server.state();
    find(&state, namespace, id)?;
    let tagged = state
        .job_versions(namespace, id)
        .find(|job| job.version_tag.as_ref().is_some_and(|tag| tag.name == name))
        .ok_or_else(|| EndpointError::not_found(format!("tag {name:?} not found on job {id:?}")))?;
    let command = JobVersionTagSet {
        namespace: namespace.into(),
        id: id.into(),
        version: tagged.version,
        tag: None,
        name: name.into(),
    };
    Ok(server.commit(Command::JobVersionTag(command)).await?.index)
}

/// Dispatches a parameterized job; this build has none.
pub fn dispatch(
    server: &Server,
    caller: &Caller,
    namespace: &str,
    request: &JobDispatchRequest,
) -> Answer<(u64, JobDispatchResponse)> {
    caller.resolve()?;
    let state = server.state();
    let job = find(&state, namespace, &request.job_id)?;
    if job.parameterized_job.is_some() {
        return Err(EndpointError::not_there_yet(format!(
            "dispatching is not there yet: parameterized job {:?} cannot be run by this build",
            request.job_id
        )));
    }
    Err(EndpointError::refused(format!("Specified job {:?} is not a parameterized job", request.job_id)))
}

/// Launches a periodic job now; this build has none.
pub fn force_periodic(server: &Server, caller: &Caller, namespace: &str, id: &str) -> Answer<(u64, EvaluationId)> {
    caller.resolve()?;
    let state = server.state();
    if find(&state, namespace, id)?.periodic.is_some() {
        return Err(EndpointError::not_there_yet(format!(
            "periodic jobs are not there yet: {id:?} cannot be launched by this build"
        )));
    }
    Err(EndpointError::refused("can't force launch non-periodic job"))
}

/// Why a job is not placed or not running, in plain words: `Group`, `Summary`, `Reasons`, `Suggestions` of each thing that is
/// not as it shall be.
pub fn why(state: &State, job: &Job) -> Vec<serde_json::Value> {
    let explanations = nomadd_scheduler::why(state, job).into_iter();
    explanations
        .map(|nomadd_scheduler::Explanation { group, summary, reasons, suggestions }| {
            serde_json::json!({
                "Group": group.as_str(), "Summary": summary, "Reasons": reasons, "Suggestions": suggestions,
            })
        })
        .collect()
}

pub(crate) fn find<'a>(state: &'a State, namespace: &str, id: &str) -> Answer<&'a Arc<Job>> {
    state.job(namespace, id).ok_or_else(|| EndpointError::not_found("job not found"))
}

pub(crate) fn registrations_are_allowed(state: &State) -> Answer<()> {
    if state.scheduler_configuration().reject_job_registration {
        return Err(EndpointError::new(
            403,
            "Job registration, dispatch, and scale are disabled by the scheduler configuration",
        ));
    }
    Ok(())
}

fn or_default(namespace: Text) -> Text {
    if namespace.is_empty() { "default".into() } else { namespace }
}

fn job_modify_index(response: &Response, index: u64) -> u64 {
    match response {
        Response::Job { job_modify_index, .. } => *job_modify_index,
        _ => index,
    }
}

/// The evaluation of a registration; jobs that are launched by something else have none.
fn evaluation_of(server: &Server, job: &Job, priority: i64) -> Option<nomadd_model::Evaluation> {
    if job.periodic.is_some() || (job.parameterized_job.is_some() && !job.dispatched) {
        return None;
    }
    let mut made = evaluation::of_job(job, Trigger::JobRegister, evaluation::id(&server.runtime().seeds));
    if priority > 0 {
        made.priority = priority;
    }
    Some(made)
}

/// Keeps what the caller does not want to change: counts that a scaler has set, resources that somebody has tuned.
fn preserve(job: &mut Job, existing: &Job, counts: bool, resources: bool) {
    for group in &mut job.task_groups {
        let Some(old) = existing.group(&group.name) else { continue };
        if counts {
            group.count = old.count;
        }
        for task in group.tasks.iter_mut().filter(|_| resources) {
            if let Some(old) = old.task(&task.name) {
                task.resources = old.resources.clone();
            }
        }
    }
}

fn keep_submission(
    server: &Server,
    submission: Option<JobSubmission>,
    warnings: &mut Vec<String>,
) -> Option<JobSubmission> {
    let submission = submission.filter(|submission| !submission.source.is_empty())?;
    let (size, most) = (submission.source.len(), server.config().job_max_source_size);
    if size > most {
        warnings.push(format!("job source size of {size} B exceeds maximum of {most} B and will be discarded"));
        return None;
    }
    Some(submission)
}
