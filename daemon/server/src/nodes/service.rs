//! The RPC surface for nodes: decodes, checks the node's secret, calls what is meant, encodes.

use async_trait::async_trait;
use nomadd_model::{NodeId, SecretId};
use nomadd_rpc::{
    Acknowledged, Method, NodeAllocationUpdateRequest, NodeAllocationUpdateResponse, NodeAllocationsRequest,
    NodeEventsRequest, NodeHeartbeatRequest, NodeHeartbeatResponse, NodeRegisterRequest, NodeRegisterResponse, Peer,
    RpcError, Service, Tunnel, TunnelHello, decode, encode,
};
use nomadd_runtime::TaskKind;
use tokio::sync::mpsc;

use super::registration;
use super::subscription;
use super::updates::Report;
use crate::error::EndpointError;
use crate::server::Server;

/// The server as nodes see it.
#[derive(Clone, Debug)]
pub struct NodeService(Server);

impl NodeService {
    /// The surface of a server.
    pub fn new(server: Server) -> Self {
        Self(server)
    }

    fn authenticate(&self, id: NodeId, secret: SecretId) -> Result<(), RpcError> {
        match self.0.state().node_secret(id) {
            Some(known) if known == secret => Ok(()),
            Some(_) => Err(RpcError::Refused(format!("node {id} proved another identity: its secret does not match"))),
            None => Err(RpcError::Refused(format!("node {id} is not registered: register first"))),
        }
    }
}

fn rpc_error(error: EndpointError) -> RpcError {
    match error.status {
        429 => RpcError::Busy,
        503 => RpcError::Unreachable,
        _ if error.message == "No cluster leader" => RpcError::NoLeader,
        _ => RpcError::Refused(error.message),
    }
}

#[async_trait]
impl Service for NodeService {
    async fn call(&self, _: &Peer, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError> {
        metrics::counter!("nomad.nomad.rpc.request").increment(1);
        if !self.0.leads() {
            return Err(RpcError::NoLeader);
        }
        let answer = match method {
            Method::NodeRegister => {
                let NodeRegisterRequest { node, secret } = decode(request)?;
                let id = node.id;
                let (index, heartbeat_ttl) =
                    registration::register(&self.0, node, SecretId(secret.0)).await.map_err(rpc_error)?;
                encode(&NodeRegisterResponse { index, heartbeat_ttl, reported: self.0.state().reported(id) })?
            }
            Method::NodeHeartbeat => {
                let NodeHeartbeatRequest { node_id, secret, status } = decode(request)?;
                let unknown = NodeHeartbeatResponse { unknown: true, ..NodeHeartbeatResponse::default() };
                if self.0.state().node(node_id).is_none() {
                    return Ok(encode(&unknown)?);
                }
                self.authenticate(node_id, SecretId(secret.0))?;
                let heard = registration::heartbeat(&self.0, node_id, status).await.map_err(rpc_error)?;
                encode(&heard.map_or(unknown, |(index, heartbeat_ttl)| NodeHeartbeatResponse {
                    index,
                    heartbeat_ttl,
                    unknown: false,
                }))?
            }
            Method::NodeUpdateAllocations => {
                let NodeAllocationUpdateRequest { node_id, secret, updates, number } = decode(request)?;
                self.authenticate(node_id, SecretId(secret.0))?;
                // Another server may have told the node of an allocation before this one has applied it: what is said of it
                // must not be taken for the report of a stranger and dropped.
                let state = self.0.state();
                let unknown = updates.iter().any(|update| state.allocation(update.id).is_none());
                drop(state);
                if unknown {
                    self.0.barrier().await.map_err(rpc_error)?;
                }
                let report = Report { node_id, updates, number };
                let index = self.0.client_updates().write(report).await.map_err(rpc_error)?;
                encode(&NodeAllocationUpdateResponse { index, reported: self.0.state().reported(node_id) })?
            }
            Method::NodeEvents => {
                let NodeEventsRequest { node_id, secret, events } = decode(request)?;
                self.authenticate(node_id, SecretId(secret.0))?;
                let index = registration::note(&self.0, node_id, events).await.map_err(rpc_error)?;
                encode(&Acknowledged { index })?
            }
            other => return Err(RpcError::Refused(format!("a server does not answer {other} as a call"))),
        };
        Ok(answer)
    }

    async fn subscribe(
        &self,
        _: &Peer,
        method: Method,
        request: &[u8],
        updates: mpsc::Sender<Vec<u8>>,
    ) -> Result<(), RpcError> {
        if method != Method::NodeAllocations {
            return Err(RpcError::Refused(format!("{method:?} is a call, not a subscription")));
        }
        let NodeAllocationsRequest { node_id, secret, lean } = decode(request)?;
        self.authenticate(node_id, SecretId(secret.0))?;
        let push = subscription::push(self.0.clone(), node_id, lean, updates);
        self.0.runtime().tasks.spawn(TaskKind::ClientStream, push);
        Ok(())
    }

    async fn tunnel(&self, _: &Peer, _: TunnelHello, _: Tunnel) -> Result<(), RpcError> {
        Err(RpcError::Refused("the surface for nodes opens no tunnels".to_owned()))
    }
}
