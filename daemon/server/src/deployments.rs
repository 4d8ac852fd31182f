//! Deployments: pause, resume, fail, and the health of their allocations set by hand.

use std::sync::Arc;

use nomadd_model::{
    AllocationId, Deployment, DeploymentId, DeploymentStatus, DeploymentStatusUpdate, DeploymentUpdateResponse,
    Evaluation, EvaluationId,
};
use nomadd_state::{Command, DeploymentAllocHealth, DeploymentStatusSet, State};

use crate::caller::Caller;
use crate::duty::evaluation_of_deployment;
use crate::error::{Answer, EndpointError};
use crate::server::Server;

/// What is wanted of a running deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It stands still.
    Pause,
    /// It goes on.
    Resume,
}

/// Lets a deployment stand still or go on.
pub async fn set_progress(
    server: &Server,
    caller: &Caller,
    id: DeploymentId,
    progress: Progress,
) -> Answer<(u64, DeploymentUpdateResponse)> {
    caller.resolve()?;
    let state = server.state();
    let deployment = find(&state, id)?;
    let (status, description, evaluation) = match progress {
        Progress::Pause => {
            active(deployment, "pause")?;
            (DeploymentStatus::Paused, "Deployment is paused", None)
        }
        Progress::Resume => {
            active(deployment, "resume")?;
            let evaluation = evaluation_of_deployment(server, &state, deployment);
            (DeploymentStatus::Running, "Deployment is running", evaluation)
        }
    };
    set_status(server, id, status, description, evaluation).await
}

/// Fails a deployment.
pub async fn fail(server: &Server, caller: &Caller, id: DeploymentId) -> Answer<(u64, DeploymentUpdateResponse)> {
    caller.resolve()?;
    let state = server.state();
    let deployment = find(&state, id)?;
    active(deployment, "fail")?;
    let evaluation = evaluation_of_deployment(server, &state, deployment);
    set_status(server, id, DeploymentStatus::Failed, "Deployment marked as failed", evaluation).await
}

/// Promotes canaries; this build places none.
pub fn promote(server: &Server, caller: &Caller, id: DeploymentId) -> Answer<(u64, DeploymentUpdateResponse)> {
    caller.resolve()?;
    let state = server.state();
    active(find(&state, id)?, "promote")?;
    Err(EndpointError::refused("no canaries to promote: this build does not place canaries yet"))
}

/// Sets the health of allocations by hand.
pub async fn set_health(
    server: &Server,
    caller: &Caller,
    id: DeploymentId,
    healthy: Vec<AllocationId>,
    unhealthy: Vec<AllocationId>,
) -> Answer<(u64, DeploymentUpdateResponse)> {
    caller.resolve()?;
    if healthy.is_empty() && unhealthy.is_empty() {
        return Err(EndpointError::bad_request("must specify at least one healthy/unhealthy allocation ID"));
    }
    let state = server.state();
    let deployment = find(&state, id)?;
    active(deployment, "set health of allocations for a")?;
    for allocation in healthy.iter().chain(&unhealthy) {
        let known = state.allocation(*allocation);
        let known =
            known.ok_or_else(|| EndpointError::not_found(format!("unknown alloc {:?}", allocation.to_string())))?;
        if known.deployment_id != id {
            let text = format!("alloc {:?} is not part of deployment {:?}", allocation.to_string(), id.to_string());
            return Err(EndpointError::refused(text));
        }
    }
    let evaluation = evaluation_of_deployment(server, &state, deployment);
    let eval_id = id_of(evaluation.as_ref());
    let command = DeploymentAllocHealth { id, healthy, unhealthy, evaluation, update: None, revert: None };
    let index = server.commit(Command::DeploymentAllocHealth(command)).await?.index;
    Ok((index, response(index, eval_id)))
}

async fn set_status(
    server: &Server,
    id: DeploymentId,
    status: DeploymentStatus,
    description: &str,
    evaluation: Option<Evaluation>,
) -> Answer<(u64, DeploymentUpdateResponse)> {
    let eval_id = id_of(evaluation.as_ref());
    let update = DeploymentStatusUpdate { deployment_id: id, status, description: description.into() };
    let command = DeploymentStatusSet { update, evaluation, revert: None };
    let index = server.commit(Command::DeploymentStatus(command)).await?.index;
    Ok((index, response(index, eval_id)))
}

fn id_of(evaluation: Option<&Evaluation>) -> EvaluationId {
    evaluation.map_or(EvaluationId::NONE, |evaluation| evaluation.id)
}

fn response(index: u64, eval_id: EvaluationId) -> DeploymentUpdateResponse {
    DeploymentUpdateResponse {
        deployment_modify_index: index,
        eval_create_index: if eval_id.is_some() { index } else { 0 },
        eval_id,
        reverted_job_version: None,
    }
}

fn find(state: &State, id: DeploymentId) -> Answer<&Arc<Deployment>> {
    state.deployment(id).ok_or_else(|| EndpointError::not_found("deployment not found"))
}

fn active(deployment: &Deployment, what: &str) -> Answer<()> {
    if deployment.status.is_active() {
        return Ok(());
    }
    Err(EndpointError::refused(format!("can't {what} terminal deployment")))
}
