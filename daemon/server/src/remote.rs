//! What other servers ask of this one: raft's messages, and the leader's half of the workers that run on followers.
//!
//! Decodes, does, encodes. Called by `surface`.

use nomadd_rpc::{Method, RpcError};

use crate::server::Server;

/// A message of the consensus.
pub(crate) async fn raft(server: &Server, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError> {
    let _ = (server, request);
    Err(RpcError::Refused(format!("this server does not answer {method}")))
}
