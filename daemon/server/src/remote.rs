//! What other servers ask of this one: raft's messages, and the leader's half of the workers that run on followers.
//!
//! Decodes, does, encodes. Called by `surface`.

use std::time::Duration;

use nomadd_rpc::{
    Acknowledged, EvaluationDequeueRequest, EvaluationDequeueResponse, EvaluationDoneRequest, EvaluationsWriteRequest,
    Method, PlanSubmitRequest, RpcError, decode, encode,
};

use crate::applier::Submission;
use crate::broker::{StaleDelivery, Token};
use crate::error::EndpointError;
use crate::keyring;
use crate::server::Server;

/// The longest wait for an evaluation.
const LONGEST: Duration = Duration::from_secs(5);
/// A token on the wire holds the term above these bits: a token of another leadership does not count.
const TERM: u32 = 40;

/// A message of the consensus.
pub(crate) async fn raft(server: &Server, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError> {
    server.raft().answer(method, request).await
}

/// What a worker on another server asks of the leader.
pub(crate) async fn scheduling(server: &Server, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError> {
    let leadership = server.raft().leadership().borrow().clone();
    if !leadership.leading {
        return Err(RpcError::NoLeader);
    }
    let term = leadership.term;
    let token = |wire: u64| {
        if wire >> TERM == term & (u64::MAX >> TERM) {
            Ok(Token(wire & ((1 << TERM) - 1)))
        } else {
            Err(stale(StaleDelivery))
        }
    };
    match method {
        Method::EvaluationDequeue => {
            let EvaluationDequeueRequest { wait, worker } = decode(request)?;
            let next = async {
                match worker {
                    0 => server.queue().take().await,
                    worker => server.queue().take_for(worker).await,
                }
            };
            let taken = tokio::time::timeout(wait.to_std().min(LONGEST), next).await;
            let answer = match taken {
                Ok(delivery) => EvaluationDequeueResponse {
                    evaluation: Some(nomadd_model::Evaluation::clone(&delivery.evaluation)),
                    token: (term << TERM) | delivery.token.0,
                },
                Err(_) => EvaluationDequeueResponse::default(),
            };
            Ok(encode(&answer)?)
        }
        Method::EvaluationAcknowledge => {
            let EvaluationDoneRequest { id, token: wire } = decode(request)?;
            server.queue().acknowledge(id, token(wire)?).map_err(stale)?;
            Ok(encode(&Acknowledged::default())?)
        }
        Method::EvaluationRefuse => {
            let EvaluationDoneRequest { id, token: wire } = decode(request)?;
            server.queue().refuse(id, token(wire)?).map_err(stale)?;
            Ok(encode(&Acknowledged::default())?)
        }
        Method::PlanSubmit => {
            let PlanSubmitRequest { id, token: wire, plan, evaluations } = decode(request)?;
            let token = token(wire)?;
            // The worker's time stands still while its plan is written, and no longer than it waits for that.
            let pausing = server.queue().pausing(id, token).map_err(stale)?;
            let written = server.plans().write(Submission { plan, evaluations }).await;
            pausing.end().map_err(stale)?;
            Ok(encode(&written.map_err(of_endpoint)?)?)
        }
        Method::EvaluationsWrite => {
            let EvaluationsWriteRequest { evaluations } = decode(request)?;
            let index = server.evaluations().write(evaluations).await.map_err(of_endpoint)?;
            Ok(encode(&Acknowledged { index })?)
        }
        other => Err(RpcError::Refused(format!("{other} is not about scheduling"))),
    }
}

/// A server without root keys asks for them.
pub(crate) async fn keyring(server: &Server, request: &[u8]) -> Result<Vec<u8>, RpcError> {
    if !server.leads() {
        return Err(RpcError::NoLeader);
    }
    let answer = keyring::handover::answer(server, decode(request)?).await.map_err(of_endpoint)?;
    Ok(encode(&answer)?)
}

fn stale(stale: StaleDelivery) -> RpcError {
    RpcError::Refused(stale.to_string())
}

/// An endpoint's error as other agents understand it.
pub(crate) fn of_endpoint(error: EndpointError) -> RpcError {
    match error.status {
        429 => RpcError::Busy,
        503 => RpcError::Unreachable,
        _ if error.message == "No cluster leader" => RpcError::NoLeader,
        _ => RpcError::Refused(error.message),
    }
}
