//! Going back to an earlier version: it is registered again as the newest.

use std::sync::Arc;

use nomadd_model::{EvaluationId, Job, JobRegisterResponse, JobRevertRequest};
use nomadd_state::JobRegister;

use super::{evaluation_of, find, or_default, registered};
use crate::caller::Caller;
use crate::error::{Answer, EndpointError};
use crate::server::Server;

/// Registers an earlier version of a job again.
pub async fn revert(server: &Server, caller: &Caller, request: JobRevertRequest) -> Answer<(u64, JobRegisterResponse)> {
    caller.resolve()?;
    let JobRevertRequest { enforce_prior_version, job_id, job_version, namespace, region: _ } = request;
    let namespace = or_default(namespace);
    let state = server.state();
    let current = find(&state, &namespace, &job_id)?;
    if job_version == current.version {
        return Err(EndpointError::refused("can't revert to current version"));
    }
    if let Some(expected) = enforce_prior_version
        && expected != current.version
    {
        return Err(EndpointError::refused(format!(
            "Current job has version {}; enforcing version {expected}",
            current.version
        )));
    }
    let earlier = state.job_version(&namespace, &job_id, job_version).ok_or_else(|| {
        EndpointError::refused(format!(
            "job {job_id:?} in namespace {:?} at version {job_version} not found",
            namespace.as_str()
        ))
    })?;
    let job = Job {
        submit_time: server.now().unix_nanos(),
        stable: false,
        stop: false,
        version_tag: None,
        ..Job::clone(earlier)
    };
    let evaluation = evaluation_of(server, &job, 0);
    let eval_id = evaluation.as_ref().map_or(EvaluationId::NONE, |evaluation| evaluation.id);
    let register = JobRegister {
        job: Arc::new(job),
        submission: state.job_submission(&namespace, &job_id, job_version).map(|source| source.as_ref().clone()),
        evaluation,
        enforce_index: Some(current.job_modify_index),
        tracked_versions: server.config().job_tracked_versions,
    };
    registered(server, register, eval_id, String::new()).await
}
