//! The connection between a node and a server: calls, and a subscription that the server pushes on.
//!
//! `InProcess` joins the two halves of one process. It carries encoded bytes all the same, so that what works here works over
//! a network.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::codec::{CodecError, decode, encode};
use crate::message::Method;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// No server could be reached: try again later.
    #[error("no server can be reached")]
    Unreachable,
    /// There is no leader at the moment: try again later.
    #[error("the servers have no leader at the moment")]
    NoLeader,
    /// The server has too much to do: try again later.
    #[error("the server is busy")]
    Busy,
    /// The server refused the call; trying again does not help.
    #[error("the server refused: {0}")]
    Refused(String),
    /// A message could not be written or read.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl RpcError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable | Self::NoLeader | Self::Busy)
    }
}

/// The pushed half of a subscription; bounded: a node that does not read makes the server wait, not grow.
#[derive(Debug)]
pub struct Updates(mpsc::Receiver<Vec<u8>>);

impl Updates {
    /// Joins a bounded channel.
    pub fn new(receiver: mpsc::Receiver<Vec<u8>>) -> Self {
        Self(receiver)
    }
    /// The next message, or `None` when the subscription has ended: subscribe again.
    pub async fn next<T: serde::de::DeserializeOwned>(&mut self) -> Option<Result<T, CodecError>> {
        self.0.recv().await.map(|bytes| decode(&bytes))
    }
}

/// The node's end of a connection.
#[async_trait]
pub trait Connection: Send + Sync + std::fmt::Debug {
    /// Calls a method with an encoded request; returns the encoded response.
    async fn call(&self, method: Method, request: Vec<u8>) -> Result<Vec<u8>, RpcError>;
    /// Opens a subscription with an encoded request.
    async fn subscribe(&self, method: Method, request: Vec<u8>) -> Result<Updates, RpcError>;
}

/// The server's end of a connection.
#[async_trait]
pub trait Service: Send + Sync {
    /// Answers a call.
    async fn call(&self, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError>;
    /// Begins to serve a subscription in a task of its own, which ends when the node is gone (`updates` closed), and returns.
    async fn subscribe(&self, method: Method, request: &[u8], updates: mpsc::Sender<Vec<u8>>) -> Result<(), RpcError>;
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
pub struct InProcess(Arc<dyn Service>);

/// How many pushed messages may wait for a node.
const UPDATES_IN_FLIGHT: usize = 16;

impl InProcess {
    /// Joins a node to a server of the same process.
    pub fn new(service: Arc<dyn Service>) -> Self {
        Self(service)
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
        self.0.call(method, &request).await
    }
    /// The service's `subscribe` returns at once and goes on pushing in a task of its own.
    async fn subscribe(&self, method: Method, request: Vec<u8>) -> Result<Updates, RpcError> {
        let (sender, receiver) = mpsc::channel(UPDATES_IN_FLIGHT);
        self.0.subscribe(method, &request, sender).await?;
        Ok(Updates(receiver))
    }
}
