//! The connection with a server: calls, subscriptions that the server pushes on, and tunnels.
//!
//! `InProcess` joins the two halves of one process. It carries encoded bytes all the same, so that what works here works over
//! a network.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::codec::{CodecError, decode, encode};
use crate::error::{Reach, RpcError};
use crate::method::Method;
use crate::network::Pushed;
use crate::peer::Peer;
use crate::tunnel::{TUNNEL_BUFFER, Tunnel, TunnelHello};

/// The pushed half of a subscription; bounded: a node that does not read makes the server wait, not grow.
#[derive(Debug)]
pub struct Updates {
    source: Source,
    ended: Option<RpcError>,
}

#[derive(Debug)]
enum Source {
    Channel(mpsc::Receiver<Vec<u8>>),
    Network(Box<Pushed>),
}

impl Updates {
    /// Joins a bounded channel.
    pub fn new(receiver: mpsc::Receiver<Vec<u8>>) -> Self {
        Self { source: Source::Channel(receiver), ended: None }
    }
    pub(crate) fn network(pushed: Pushed) -> Self {
        Self { source: Source::Network(Box::new(pushed)), ended: None }
    }
    /// The next message, or `None` when the subscription has ended: subscribe again.
    pub async fn next<T: serde::de::DeserializeOwned>(&mut self) -> Option<Result<T, CodecError>> {
        match &mut self.source {
            Source::Channel(receiver) => receiver.recv().await.map(|bytes| decode(&bytes)),
            Source::Network(pushed) => match pushed.next().await? {
                Ok(bytes) => Some(decode(&bytes)),
                Err(error) => {
                    self.ended = Some(error);
                    None
                }
            },
        }
    }
    /// Why it ended, after `next` said `None`: nothing when the server ended it in order.
    pub fn ended(&self) -> Option<&RpcError> {
        self.ended.as_ref()
    }
    /// The next message as it came, to be passed on.
    pub async fn next_encoded(&mut self) -> Option<Vec<u8>> {
        match &mut self.source {
            Source::Channel(receiver) => receiver.recv().await,
            Source::Network(pushed) => match pushed.next().await? {
                Ok(bytes) => Some(bytes.to_vec()),
                Err(error) => {
                    self.ended = Some(error);
                    None
                }
            },
        }
    }
}

/// Opens connections by address; what keeps and shares them stands behind it.
#[async_trait]
pub trait Dial: Send + Sync + std::fmt::Debug {
    /// The connection with `HOST:PORT`. It is opened when it is first used.
    fn dial(&self, address: &str) -> Arc<dyn Connection>;
    /// Whether the host of `HOST:PORT` answers to a bare connection, refuses it, or is silent.
    async fn probe(&self, _address: &str) -> Reach {
        Reach::Unknown
    }
}

/// The dialer's end of a connection.
#[async_trait]
pub trait Connection: Send + Sync + std::fmt::Debug {
    /// Calls a method with an encoded request; returns the encoded response.
    async fn call(&self, method: Method, request: Vec<u8>) -> Result<Vec<u8>, RpcError>;
    /// Opens a subscription with an encoded request.
    async fn subscribe(&self, method: Method, request: Vec<u8>) -> Result<Updates, RpcError>;
    /// Opens a tunnel; returns when the server has accepted it.
    async fn tunnel(&self, hello: TunnelHello) -> Result<Tunnel, RpcError>;
}

/// The server's end of a connection.
#[async_trait]
pub trait Service: Send + Sync {
    /// Answers a call.
    async fn call(&self, peer: &Peer, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError>;
    /// Begins to serve a subscription in a task of its own, which ends when the node is gone (`updates` closed), and returns.
    async fn subscribe(
        &self,
        peer: &Peer,
        method: Method,
        request: &[u8],
        updates: mpsc::Sender<Vec<u8>>,
    ) -> Result<(), RpcError>;
    /// Begins to serve a tunnel in a task of its own and returns; an error refuses it.
    async fn tunnel(&self, peer: &Peer, hello: TunnelHello, stream: Tunnel) -> Result<(), RpcError>;
}

/// Calls a method with typed messages.
pub async fn call<Q, A>(connection: &dyn Connection, method: Method, request: &Q) -> Result<A, RpcError>
where
    Q: serde::Serialize + Sync,
    A: serde::de::DeserializeOwned,
{
    let answer = connection.call(method, encode(request)?).await?;
    Ok(decode(&answer)?)
}

/// A connection within one process.
#[derive(Clone)]
pub struct InProcess(Arc<dyn Service>, Peer);

/// How many pushed messages may wait for a node.
pub(crate) const UPDATES_IN_FLIGHT: usize = 16;

impl InProcess {
    /// Joins a node to a server of the same process.
    pub fn new(service: Arc<dyn Service>) -> Self {
        Self(service, Peer::in_process())
    }
}
impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

#[async_trait]
impl Connection for InProcess {
    async fn call(&self, method: Method, request: Vec<u8>) -> Result<Vec<u8>, RpcError> {
        self.0.call(&self.1, method, &request).await
    }
    /// The service's `subscribe` returns at once and goes on pushing in a task of its own.
    async fn subscribe(&self, method: Method, request: Vec<u8>) -> Result<Updates, RpcError> {
        let (sender, receiver) = mpsc::channel(UPDATES_IN_FLIGHT);
        self.0.subscribe(&self.1, method, &request, sender).await?;
        Ok(Updates::new(receiver))
    }
    async fn tunnel(&self, hello: TunnelHello) -> Result<Tunnel, RpcError> {
        let (near, far) = tokio::io::duplex(TUNNEL_BUFFER);
        self.0.tunnel(&self.1, hello, Box::new(far)).await?;
        Ok(Box::new(near))
    }
}
