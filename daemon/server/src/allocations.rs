//! Allocations: stop one, so that it is placed elsewhere. What only the node can do (restart, signal, exec) is the client's.

use nomadd_model::{AllocStopResponse, AllocationId, DesiredTransition, Trigger};
use nomadd_state::{AllocationDesiredTransitions, AllocationTransition, Command};

use crate::caller::Caller;
use crate::error::{Answer, EndpointError};
use crate::evaluation;
use crate::server::Server;

/// Whether a task's shutdown delay is kept when its allocation is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownDelay {
    /// As the job says.
    Keep,
    /// At once.
    Skip,
}

/// Stops an allocation; the scheduler places it again.
pub async fn stop(
    server: &Server,
    caller: &Caller,
    id: AllocationId,
    delay: ShutdownDelay,
) -> Answer<(u64, AllocStopResponse)> {
    caller.resolve()?;
    let state = server.state();
    let allocation = state.allocation(id).ok_or_else(|| EndpointError::not_found("allocation not found"))?;
    let mut made = match state.job(&allocation.namespace, &allocation.job_id) {
        Some(job) => evaluation::of_job(job, Trigger::AllocStop, evaluation::id(&server.runtime().seeds)),
        None => return Err(EndpointError::not_found("job not found")),
    };
    if let Some(job) = state.job_of(allocation) {
        made.priority = job.priority;
    }
    let eval_id = made.id;
    let transition = DesiredTransition {
        migrate: Some(true),
        no_shutdown_delay: (delay == ShutdownDelay::Skip).then_some(true),
        ..DesiredTransition::default()
    };
    let command = AllocationDesiredTransitions {
        transitions: vec![AllocationTransition { id, transition }],
        evaluations: vec![made],
    };
    let index = server.commit(Command::AllocationDesiredTransition(command)).await?.index;
    Ok((index, AllocStopResponse { eval_id }))
}
