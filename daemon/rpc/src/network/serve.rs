//! Answers calls: checks format, region, role and size before the service sees anything, and bounds what is held.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Status, Streaming};

use super::stream::{StreamTunnel, outgoing};
use super::wire::{self, Raw};
use super::{Limits, Shared};
use crate::codec::{MAX_MESSAGE, decode};
use crate::connection::{Service, UPDATES_IN_FLIGHT};
use crate::error::RpcError;
use crate::method::{Kind, Method};
use crate::peer::{Peer, Role};
use crate::tunnel::TunnelHello;

/// A tunnel's messages are pieces; nobody sends larger ones.
const TUNNEL_MESSAGE: usize = 1 << 20;

/// The answering half of a listener.
pub(crate) struct Serving {
    shared: Arc<Shared>,
    service: Arc<dyn Service>,
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// In KiB.
    bytes: Arc<Semaphore>,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Serving")
    }
}

fn refused(sentence: impl Into<String>) -> RpcError {
    RpcError::Refused(sentence.into())
}
fn security(reason: String) -> RpcError {
    RpcError::Security { address: String::new(), reason }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl Serving {
    pub(crate) fn new(shared: Arc<Shared>, service: Arc<dyn Service>) -> Self {
        let Limits { calls, streams, request_bytes, .. } = shared.config.limits;
        let semaphore = |count| Arc::new(Semaphore::new(count));
        Self {
            shared,
            service,
            calls: semaphore(calls),
            streams: semaphore(streams),
            bytes: semaphore(request_bytes >> 10),
        }
    }

    /// Answers one request, whatever it is.
    pub(crate) async fn answer(self: Arc<Self>, peer: Arc<Peer>, request: Request<Incoming>) -> Response<Body> {
        let address = peer.address;
        let answer = match request.uri().path() {
            wire::CALL => self.call(peer, request).await,
            wire::SUBSCRIBE => self.subscribe(peer, request).await,
            wire::TUNNEL => self.tunnel(peer, request).await,
            _ => return Status::unimplemented("no such path").into_http(),
        };
        answer.unwrap_or_else(|error| {
            if !error.is_transient() {
                let sentence = match &error {
                    RpcError::Security { reason, .. } => reason.clone(),
                    other => other.to_string(),
                };
                self.shared.complaints.warn(address.ip(), "call", &sentence);
            }
            wire::to_status(&error).into_http()
        })
    }

    fn check_format(headers: &HeaderMap) -> Result<(), RpcError> {
        let format = header(headers, wire::FORMAT);
        if format == wire::FORMAT_VERSION {
            return Ok(());
        }
        Err(refused(format!(
            "the caller speaks RPC format {format:?}, this agent format {:?}: bring both to neighbouring releases",
            wire::FORMAT_VERSION
        )))
    }

    /// The method, if this peer may call it here.
    fn admit(&self, peer: &Peer, headers: &HeaderMap, kind: Kind) -> Result<Method, RpcError> {
        Self::check_format(headers)?;
        let name = header(headers, wire::METHOD);
        let method = Method::from_name(name)
            .ok_or_else(|| refused(format!("this release does not know the method {name:?}: upgrade servers first")))?;
        if method.kind() != kind {
            return Err(refused(format!("{method} is a {:?}, not a {kind:?}", method.kind())));
        }
        let own = &self.shared.config.region;
        let meant = header(headers, wire::REGION);
        if meant != &**own && !method.crosses_regions() {
            return Err(security(format!(
                "this agent is of region {own}, the caller wants region {meant}: check region, server_join and retry_join of the caller"
            )));
        }
        if let Some(identity) = &peer.identity {
            if !method.roles().contains(&identity.role) {
                return Err(security(format!(
                    "a {} may not call {method}: set tls.cert_file of the caller to a certificate for server.{own}.nomad",
                    identity.role
                )));
            }
            if identity.region != *own && !method.crosses_regions() {
                return Err(security(format!(
                    "the caller's certificate is for {}.{}.nomad and {method} is for region {own} only: check region and tls.cert_file of the caller",
                    identity.role, identity.region
                )));
            }
        }
        Ok(method)
    }

    async fn call(&self, peer: Arc<Peer>, request: Request<Incoming>) -> Result<Response<Body>, RpcError> {
        let method = self.admit(&peer, request.headers(), Kind::Call)?;
        let permit = Arc::clone(&self.calls).try_acquire_owned().map_err(|_| RpcError::Busy)?;
        let (request, held) = self.metered(request);
        let answer = Answer { service: Arc::clone(&self.service), peer, method, held };
        let mut grpc =
            Grpc::new(Raw).max_decoding_message_size(method.request_limit()).max_encoding_message_size(MAX_MESSAGE);
        let answered = timeout(self.shared.config.limits.call, grpc.unary(answer, request)).await;
        drop(permit);
        answered.map_err(|_| RpcError::Deadline { address: "the server".to_owned() })
    }

    async fn subscribe(&self, peer: Arc<Peer>, request: Request<Incoming>) -> Result<Response<Body>, RpcError> {
        let method = self.admit(&peer, request.headers(), Kind::Subscription)?;
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| RpcError::Busy)?;
        let (request, held) = self.metered(request);
        let subscribe = Subscribe { service: Arc::clone(&self.service), peer, method, held, permit: Some(permit) };
        let mut grpc =
            Grpc::new(Raw).max_decoding_message_size(method.request_limit()).max_encoding_message_size(MAX_MESSAGE);
        let opened = timeout(self.shared.config.limits.call, grpc.server_streaming(subscribe, request)).await;
        opened.map_err(|_| RpcError::Deadline { address: "the server".to_owned() })
    }

    async fn tunnel(self: &Arc<Self>, peer: Arc<Peer>, request: Request<Incoming>) -> Result<Response<Body>, RpcError> {
        Self::check_format(request.headers())?;
        let own = &self.shared.config.region;
        let meant = header(request.headers(), wire::REGION);
        if meant != &**own {
            return Err(security(format!(
                "this agent is of region {own}, the caller wants region {meant}: check region and the server addresses of the caller"
            )));
        }
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| RpcError::Busy)?;
        let open = OpenTunnel { serving: Arc::clone(self), peer, permit: Some(permit) };
        let mut grpc = Grpc::new(Raw).max_decoding_message_size(TUNNEL_MESSAGE);
        let opened = timeout(self.shared.config.limits.call, grpc.streaming(open, request)).await;
        opened.map_err(|_| RpcError::Deadline { address: "the server".to_owned() })
    }

    fn metered(&self, request: Request<Incoming>) -> (Request<Metered>, Held) {
        let held = Held::default();
        let budget = Arc::clone(&self.bytes);
        let request = request.map(|inner| Metered { inner, prefix: Vec::new(), budget, held: Arc::clone(&held) });
        (request, held)
    }
}

/// The bytes that a request holds of the listener's budget, until it is answered.
type Held = Arc<Mutex<Option<OwnedSemaphorePermit>>>;

/// A request's body, which asks for its size from the budget before it is read.
struct Metered {
    inner: Incoming,
    /// The bytes that gRPC puts before a message: a flag and the length; complete once it was asked.
    prefix: Vec<u8>,
    budget: Arc<Semaphore>,
    held: Held,
}

const PREFIX: usize = 5;
/// Requests up to this many bytes are bounded by the count of calls: whoever claims the whole budget does not stop heartbeats.
const UNCOUNTED: u32 = 64 << 10;

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(frame) = ready!(Pin::new(&mut this.inner).poll_frame(cx)) else { return Poll::Ready(None) };
        let frame = frame.map_err(|error| Status::unavailable(error.to_string()))?;
        if this.prefix.len() < PREFIX
            && let Some(data) = frame.data_ref()
        {
            this.prefix.extend(data.chunk().iter().take(PREFIX - this.prefix.len()));
            if let [_, a, b, c, d] = *this.prefix {
                let size = u32::from_be_bytes([a, b, c, d]).min(u32::try_from(MAX_MESSAGE).unwrap_or(u32::MAX));
                if size > UNCOUNTED {
                    let permit = Arc::clone(&this.budget).try_acquire_many_owned((size >> 10) + 1);
                    let permit = permit.map_err(|_| wire::to_status(&RpcError::Busy))?;
                    *this.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

type Answered<T> = BoxFuture<'static, Result<tonic::Response<T>, Status>>;

struct Answer {
    service: Arc<dyn Service>,
    peer: Arc<Peer>,
    method: Method,
    held: Held,
}

impl UnaryService<Bytes> for Answer {
    type Response = Bytes;
    type Future = Answered<Bytes>;
    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (service, peer, method) = (Arc::clone(&self.service), Arc::clone(&self.peer), self.method);
        let held = Arc::clone(&self.held);
        Box::pin(async move {
            let answer = service.call(&peer, method, request.get_ref()).await;
            drop(held);
            answer.map(|bytes| tonic::Response::new(Bytes::from(bytes))).map_err(|error| wire::to_status(&error))
        })
    }
}

struct Subscribe {
    service: Arc<dyn Service>,
    peer: Arc<Peer>,
    method: Method,
    held: Held,
    permit: Option<OwnedSemaphorePermit>,
}

impl ServerStreamingService<Bytes> for Subscribe {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = Answered<Self::ResponseStream>;
    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (service, peer, method) = (Arc::clone(&self.service), Arc::clone(&self.peer), self.method);
        let (held, permit) = (Arc::clone(&self.held), self.permit.take());
        Box::pin(async move {
            let (updates, pushed) = mpsc::channel(UPDATES_IN_FLIGHT);
            let opened = service.subscribe(&peer, method, request.get_ref(), updates).await;
            drop(held);
            opened.map_err(|error| wire::to_status(&error))?;
            let messages = ReceiverStream::new(pushed).map(move |bytes| {
                let _held_while_it_lives = &permit;
                Ok(Bytes::from(bytes))
            });
            Ok(tonic::Response::new(messages.boxed()))
        })
    }
}

struct OpenTunnel {
    serving: Arc<Serving>,
    peer: Arc<Peer>,
    permit: Option<OwnedSemaphorePermit>,
}

impl OpenTunnel {
    async fn open(
        serving: &Serving,
        peer: &Peer,
        mut incoming: Streaming<Bytes>,
    ) -> Result<super::stream::Outgoing, RpcError> {
        let hello = incoming.message().await.map_err(|status| refused(status.message()))?;
        let hello: TunnelHello = decode(&hello.unwrap_or_default())?;
        let own = &serving.shared.config.region;
        if let Some(identity) = &peer.identity
            && identity.region != *own
            && (identity.role, hello) != (Role::Server, TunnelHello::Http)
        {
            return Err(security(format!(
                "the caller's certificate is for {}.{}.nomad, this agent is of region {own}: check region and tls.cert_file of the caller",
                identity.role, identity.region
            )));
        }
        let (sender, receiver) = outgoing();
        serving.service.tunnel(peer, hello, Box::new(StreamTunnel::new(incoming, sender))).await?;
        Ok(receiver)
    }
}

impl StreamingService<Bytes> for OpenTunnel {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = Answered<Self::ResponseStream>;
    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let (serving, peer, permit) = (Arc::clone(&self.serving), Arc::clone(&self.peer), self.permit.take());
        Box::pin(async move {
            let opened = Self::open(&serving, &peer, request.into_inner()).await;
            let receiver = opened.map_err(|error| wire::to_status(&error))?;
            let messages = ReceiverStream::new(receiver).map(move |bytes| {
                let _held_while_it_lives = &permit;
                Ok(bytes)
            });
            Ok(tonic::Response::new(messages.boxed()))
        })
    }
}
