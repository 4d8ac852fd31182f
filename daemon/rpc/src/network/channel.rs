//! A dialled connection: calls, subscriptions and tunnels as gRPC over the pool's HTTP/2 connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Code, Request, Status, Streaming};

use super::Shared;
use super::dial::{Failure, Live, Slot};
use super::stream::{StreamTunnel, outgoing};
use super::wire::{self, Raw};
use crate::codec::{MAX_MESSAGE, encode};
use crate::connection::{Connection, Updates};
use crate::error::RpcError;
use crate::method::Method;
use crate::tunnel::{Tunnel, TunnelHello};

/// A connection of the pool; dialled when it is used.
#[derive(Debug)]
pub(crate) struct Dialed {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
}

/// No connection, as an error that travels through tonic.
#[derive(Debug)]
pub(crate) struct Unconnected(Failure);
impl std::fmt::Display for Unconnected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no connection")
    }
}
impl std::error::Error for Unconnected {}

/// The way of one call to the connection, and on which one it went.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    used: Arc<Mutex<Option<Arc<Live>>>>,
}

impl tower_service::Service<http::Request<Body>> for Route {
    type Response = http::Response<Incoming>;
    type Error = Unconnected;
    type Future = BoxFuture<'static, Result<Self::Response, Unconnected>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let Self { shared, slot, used } = self.clone();
        Box::pin(async move {
            let mut again = true;
            loop {
                let live = slot.live(&shared).await.map_err(Unconnected)?;
                *used.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&live));
                let mut error = match live.send.clone().try_send_request(request).await {
                    Ok(response) => return Ok(response),
                    Err(error) => error,
                };
                slot.forget(&live);
                match error.take_message() {
                    // It was never sent: the connection had ended unnoticed.
                    Some(unsent) if again => {
                        again = false;
                        request = unsent;
                    }
                    _ => {
                        let text = error.error().to_string();
                        return Err(Unconnected(live.failure(|| Failure::Lost(text)).await));
                    }
                }
            }
        })
    }
}

impl Route {
    /// What a failed call means.
    async fn error(&self, status: Status) -> RpcError {
        if let Some(error) = wire::from_status(&status, &self.slot.address) {
            return error;
        }
        if let Some(Unconnected(failure)) = source(&status) {
            return failure.clone().at(&self.slot.address);
        }
        match status.code() {
            Code::OutOfRange => RpcError::Refused(format!("a message is too large: {}", status.message())),
            Code::Unimplemented => RpcError::Refused(format!(
                "it does not know this kind of call ({}): is it an agent of another release?",
                status.message()
            )),
            _ => {
                let live = self.used.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let otherwise = || Failure::Lost(status.message().to_owned());
                match live {
                    Some(live) => live.failure(otherwise).await.at(&self.slot.address),
                    None => otherwise().at(&self.slot.address),
                }
            }
        }
    }
}

fn source(status: &Status) -> Option<&Unconnected> {
    let mut error: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    while let Some(inner) = error {
        if let Some(found) = inner.downcast_ref() {
            return Some(found);
        }
        error = inner.source();
    }
    None
}

impl Dialed {
    pub(crate) fn new(shared: Arc<Shared>, slot: Arc<Slot>) -> Self {
        Self { shared, slot }
    }

    fn grpc(&self) -> (Grpc<Route>, Route) {
        let route = Route { shared: Arc::clone(&self.shared), slot: Arc::clone(&self.slot), used: Arc::default() };
        let origin = http::Uri::from_static("http://nomadd");
        (Grpc::with_origin(route.clone(), origin).max_decoding_message_size(MAX_MESSAGE), route)
    }

    fn request<T>(&self, method: &str, message: T) -> Result<Request<T>, RpcError> {
        let mut request = Request::new(message);
        for (name, value) in
            [(wire::METHOD, method), (wire::REGION, &self.slot.region), (wire::FORMAT, wire::FORMAT_VERSION)]
        {
            let value = value.parse().map_err(|_| RpcError::Refused(format!("{value:?} cannot stand in a header")))?;
            request.metadata_mut().insert(name, value);
        }
        Ok(request)
    }

    fn late(&self) -> RpcError {
        RpcError::Deadline { address: self.slot.address.clone() }
    }

    fn limit(&self) -> Duration {
        self.shared.config.limits.call
    }
}

fn checked(method: Method, request: Vec<u8>) -> Result<Bytes, RpcError> {
    let (size, limit) = (request.len(), method.request_limit());
    if size > limit {
        return Err(RpcError::Refused(format!("a request of {method} has {size} bytes; at most {limit} are allowed")));
    }
    Ok(Bytes::from(request))
}

#[async_trait]
impl Connection for Dialed {
    async fn call(&self, method: Method, request: Vec<u8>) -> Result<Vec<u8>, RpcError> {
        let request = self.request(method.as_str(), checked(method, request)?)?;
        let _permit = self.slot.calls.try_acquire().map_err(|_| RpcError::Busy)?;
        let (mut grpc, route) = self.grpc();
        let call = grpc.unary(request, PathAndQuery::from_static(wire::CALL), Raw);
        match timeout(self.limit(), call).await.map_err(|_| self.late())? {
            Ok(answer) => Ok(answer.into_inner().into()),
            Err(status) => Err(route.error(status).await),
        }
    }

    async fn subscribe(&self, method: Method, request: Vec<u8>) -> Result<Updates, RpcError> {
        let request = self.request(method.as_str(), checked(method, request)?)?;
        let _permit = self.slot.calls.try_acquire().map_err(|_| RpcError::Busy)?;
        let (mut grpc, route) = self.grpc();
        let open = grpc.server_streaming(request, PathAndQuery::from_static(wire::SUBSCRIBE), Raw);
        match timeout(self.limit(), open).await.map_err(|_| self.late())? {
            Ok(answer) => Ok(Updates::network(Pushed { stream: answer.into_inner(), route })),
            Err(status) => Err(route.error(status).await),
        }
    }

    async fn tunnel(&self, hello: TunnelHello) -> Result<Tunnel, RpcError> {
        let hello = Bytes::from(encode(&hello)?);
        let (sender, receiver) = outgoing();
        let messages = futures_util::stream::iter([hello]).chain(ReceiverStream::new(receiver));
        let request = self.request("tunnel", messages)?;
        let _permit = self.slot.calls.try_acquire().map_err(|_| RpcError::Busy)?;
        let (mut grpc, route) = self.grpc();
        let open = grpc.streaming(request, PathAndQuery::from_static(wire::TUNNEL), Raw);
        match timeout(self.limit(), open).await.map_err(|_| self.late())? {
            Ok(answer) => Ok(Box::new(StreamTunnel::new(answer.into_inner(), sender))),
            Err(status) => Err(route.error(status).await),
        }
    }
}

/// The messages of a subscription over the network.
#[derive(Debug)]
pub(crate) struct Pushed {
    stream: Streaming<Bytes>,
    route: Route,
}

impl Pushed {
    /// The next message; `None` when the server ended the subscription; an error when the connection did.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, RpcError>> {
        match self.stream.message().await {
            Ok(message) => message.map(Ok),
            Err(status) => Some(Err(self.route.error(status).await)),
        }
    }
}
