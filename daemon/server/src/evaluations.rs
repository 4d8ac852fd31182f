//! Evaluations: delete them, while the broker is paused.

use nomadd_model::{EvalDeleteResponse, EvaluationId};
use nomadd_state::{Command, EvaluationDelete};

use crate::caller::Caller;
use crate::error::{Answer, EndpointError};
use crate::server::Server;

/// How many one entry of the log removes at most.
const CHUNK: usize = 2048;

/// Deletes evaluations. Only those whose allocations are over, and only while nobody works on evaluations.
pub async fn delete(server: &Server, caller: &Caller, ids: &[EvaluationId]) -> Answer<(u64, EvalDeleteResponse)> {
    caller.resolve()?;
    let state = server.state();
    if !state.scheduler_configuration().pause_eval_broker {
        return Err(EndpointError::refused("eval broker is enabled; eval broker must be paused to delete evals"));
    }
    for &id in ids {
        if state.evaluation(id).is_none() {
            return Err(EndpointError::not_found("eval not found"));
        }
        if !state.allocations_by_evaluation(id).all(|allocation| allocation.client_status.is_terminal()) {
            return Err(EndpointError::refused(format!("eval {id} is not safe to delete")));
        }
    }
    let mut index = state.index();
    for chunk in ids.chunks(CHUNK) {
        let command = EvaluationDelete { evaluations: chunk.to_vec(), ..EvaluationDelete::default() };
        index = server.commit(Command::EvaluationDelete(command)).await?.index;
        server.queue().forget(chunk);
    }
    Ok((index, EvalDeleteResponse { count: ids.len() as i64 }))
}
