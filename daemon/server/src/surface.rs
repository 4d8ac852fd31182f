//! What a server answers to nodes and to other servers: the whole RPC surface.
//!
//! Methods of nodes are answered by the leader and passed on to it by the others; a node's allocations are pushed by any
//! server. Roles were checked by the listener. Called by the RPC listener, and within the process by the agent's own client.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use nomadd_model::{NodeId, SecretId};
use nomadd_rpc::{
    Method, NodeControlRequest, Peer, ReadIndexResponse, RpcError, ServerAddress, ServerHelloRequest,
    ServerHelloResponse, Service, Tunnel, TunnelHello, decode, encode,
};
use nomadd_runtime::TaskKind;
use tokio::sync::mpsc;

use crate::nodes::{NodeService, inquiry, silence};
use crate::remote;
use crate::server::Server;

/// Serves the agent's HTTP API over a byte stream.
pub type ServeHttp = Box<dyn Fn(Tunnel) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The surface of a server; a clone is the same one.
#[derive(Clone)]
pub struct Surface(Arc<Inner>);

struct Inner {
    server: Server,
    nodes: NodeService,
    http: OnceLock<ServeHttp>,
}

impl Surface {
    /// The surface of a server.
    pub fn new(server: Server) -> Self {
        let nodes = NodeService::new(server.clone());
        Self(Arc::new(Inner { server, nodes, http: OnceLock::new() }))
    }
    /// Says how the API is served on tunnels; until then they are refused.
    pub fn serve_http(&self, serve: ServeHttp) {
        // Only the agent's wiring says so, once.
        let _twice = self.0.http.set(serve);
    }

    async fn of_node(&self, peer: &Peer, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError> {
        let inner = &self.0;
        if inner.server.leads() {
            return inner.nodes.call(peer, method, request).await;
        }
        let leader = inner.server.leader_connection()?;
        leader.call(method, request.to_vec()).await
    }

    /// A node proves who it is. A server that has not yet applied its registration asks it to try again.
    fn authenticate(&self, id: NodeId, secret: SecretId) -> Result<(), RpcError> {
        match self.0.server.state().node_secret(id) {
            Some(known) if known == secret => Ok(()),
            Some(_) => Err(RpcError::Refused(format!("node {id} proved another identity: its secret does not match"))),
            None => Err(RpcError::Busy),
        }
    }

    fn introduce(&self) -> ServerHelloResponse {
        let server = &self.0.server;
        let configuration = server.raft().configuration();
        let leader = server.raft().leadership().borrow().leader;
        let address = |member: &nomadd_raft::Member| ServerAddress {
            id: member.id.0,
            name: member.server.name.as_str().into(),
            rpc: member.server.address.as_str().into(),
            voter: member.voter,
            ..ServerAddress::default()
        };
        let config = server.config();
        ServerHelloResponse {
            id: server.raft().id().0,
            name: format!("{}.{}", config.name, config.region).into(),
            region: config.region.clone(),
            datacenter: config.datacenter.clone(),
            version: config.version.clone(),
            expect: config.expect,
            leader: configuration.members.iter().find(|member| Some(member.id) == leader).map(address),
            members: configuration.members.iter().map(address).collect(),
            bootstrapped: !configuration.members.is_empty(),
            promised: false,
            commands: server.raft().commands().number(),
        }
    }
}

#[async_trait]
impl Service for Surface {
    async fn call(&self, peer: &Peer, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError> {
        let server = &self.0.server;
        match method {
            Method::NodeRegister | Method::NodeHeartbeat | Method::NodeUpdateAllocations | Method::NodeEvents => {
                self.of_node(peer, method, request).await
            }
            Method::RaftAppend
            | Method::RaftVote
            | Method::RaftPreVote
            | Method::RaftSnapshot
            | Method::RaftTransfer => remote::raft(server, method, request).await,
            Method::ServerHello => {
                let ServerHelloRequest { id, region, bootstrap } = decode(request)?;
                let own = &server.config().region;
                if bootstrap && region != *own {
                    return Err(RpcError::Refused(format!("this server is of region {own}, not {region}")));
                }
                let promised = bootstrap && server.promise(id);
                Ok(encode(&ServerHelloResponse { promised, ..self.introduce() })?)
            }
            Method::ReadIndex => {
                let index = server.raft().read_barrier().await.map_err(|_| RpcError::NoLeader)?;
                Ok(encode(&ReadIndexResponse { index })?)
            }
            Method::NodeHere => Ok(encode(&inquiry::answer(server, decode(request)?).await?)?),
            Method::NodeSilent => Ok(encode(&silence::take(server, &decode(request)?)?)?),
            Method::EvaluationDequeue
            | Method::EvaluationAcknowledge
            | Method::EvaluationRefuse
            | Method::EvaluationsWrite
            | Method::PlanSubmit => remote::scheduling(server, method, request).await,
            Method::KeyringWrap => remote::keyring(server, request).await,
            other => Err(RpcError::Refused(format!("this server does not answer {other} as a call"))),
        }
    }

    async fn subscribe(
        &self,
        peer: &Peer,
        method: Method,
        request: &[u8],
        updates: mpsc::Sender<Vec<u8>>,
    ) -> Result<(), RpcError> {
        let server = &self.0.server;
        match method {
            Method::NodeAllocations => self.0.nodes.subscribe(peer, method, request, updates).await,
            Method::NodeControl => {
                let NodeControlRequest { node_id, secret } = decode(request)?;
                self.authenticate(node_id, SecretId(secret.0))?;
                let link = peer.link.clone();
                let number = server.streams().open(node_id, updates.clone(), link.clone());
                let server_of_task = server.clone();
                server.runtime().tasks.spawn(TaskKind::ClientStream, async move {
                    silence::look_once(&server_of_task, node_id).await;
                    updates.closed().await;
                    silence::ended(&server_of_task, node_id, number, link).await;
                });
                Ok(())
            }
            other => Err(RpcError::Refused(format!("{other} is a call, not a subscription"))),
        }
    }

    async fn tunnel(&self, _: &Peer, hello: TunnelHello, stream: Tunnel) -> Result<(), RpcError> {
        let server = &self.0.server;
        match hello {
            TunnelHello::Http => {
                if self.0.http.get().is_none() {
                    return Err(RpcError::Busy);
                }
                let inner = Arc::clone(&self.0);
                server.runtime().tasks.spawn(TaskKind::HttpConnection, async move {
                    if let Some(serve) = inner.http.get() {
                        serve(stream).await;
                    }
                });
                Ok(())
            }
            TunnelHello::Reverse { id, node_id, secret } => {
                self.authenticate(node_id, SecretId(secret.0))?;
                server.streams().arrived(node_id, id, stream)
            }
        }
    }
}
