//! The listener: connections, their limits and time limits, and the layers around every request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use nomadd_runtime::TaskKind;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tower::Service as _;
use tower_http::compression::Compression;
use tower_http::compression::predicate::{Predicate, SizeAbove};

use crate::app::App;
use crate::call::{Call, parameters};
use crate::failure::Failure;
use crate::forward::{self, Passed};
use crate::linger::Lingering;
use crate::park::{self, Spot};
use crate::route;

/// How long a client may take to send the head of a request, and how long a connection may be idle: longer than clients keep
/// one (90 s in Go), so that none sends a request into a connection that is just being closed.
const HEAD_TIME: Duration = Duration::from_secs(120);
/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// The longest head of a request, and how much of a body is read ahead, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// How long a client that seems to have too many connections waits for the end of one to be noticed.
const GRACE: Duration = Duration::from_millis(200);
/// How many connections may wait for that at a time, of all clients.
const MOST_WAITING: usize = 1024;

/// The limits of the listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections one address may have; 0 is no limit.
    pub connections_per_client: usize,
}

/// The API cannot be served at an address.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve the HTTP API at {address}; is another agent running there? Choose another port with ports.http")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// A bound listener: the port is ours before anything else starts.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds an address; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let bound = async {
            let socket = TcpListener::bind(address).await?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        bound.await.map_err(|source| ListenError { address, source })
    }
    /// The address that is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// How connections are encrypted: asked for each of them, so that new certificates count at once.
pub type Encryption = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// Serves the API until the runtime is shut down.
pub fn serve(app: App, listener: Listener, limits: Limits, encryption: Option<Encryption>) {
    let tasks = app.runtime.tasks.clone();
    let shared = Shared::new(app);
    let clients = Clients::new(limits.connections_per_client);
    tasks.clone().spawn(TaskKind::HttpListener, async move {
        loop {
            let (socket, peer) = match listener.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: give connections time to end.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let open = match clients.open(peer.ip()) {
                Some(open) => Some(open),
                None if clients.waiting.available_permits() > 0 => None,
                None => {
                    refuse(socket);
                    continue;
                }
            };
            let (shared, clients) = (Arc::clone(&shared), clients.clone());
            // Answers are written whole: waiting for more to send would only delay them.
            let _unsupported = socket.set_nodelay(true);
            let encryption = encryption.clone();
            tasks.spawn(TaskKind::HttpConnection, async move {
                let open = match open {
                    Some(open) => Some(open),
                    None => clients.open_soon(peer.ip()).await,
                };
                match open {
                    None => refuse(socket),
                    Some(_open) => match encryption {
                        None => connection(socket, shared).await,
                        // Boxed: a handshake takes more room than a connection that waits.
                        Some(encryption) => Box::pin(encrypted(socket, encryption, shared)).await,
                    },
                }
            });
        }
    });
}

/// The first byte of TLS: a handshake record.
const TLS_RECORD: u8 = 0x16;

/// Serves HTTPS; who speaks plain HTTP is told so, as Nomad does.
async fn encrypted(socket: TcpStream, encryption: Encryption, shared: Arc<Shared>) {
    const PLAIN: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    let mut first = [0];
    if !matches!(tokio::time::timeout(HANDSHAKE_TIME, socket.peek(&mut first)).await, Ok(Ok(1))) {
        return;
    }
    if first[0] != TLS_RECORD {
        // The request is read before the connection ends: a reset would take the answer along.
        let told = async {
            let mut socket = socket;
            socket.write_all(PLAIN).await?;
            socket.shutdown().await?;
            let mut rest = [0; 4096];
            while socket.read(&mut rest).await? > 0 {}
            std::io::Result::Ok(())
        };
        let _best_effort = tokio::time::timeout(Duration::from_secs(1), told).await;
        return;
    }
    let handshake = tokio_rustls::TlsAcceptor::from(encryption()).accept(socket);
    match tokio::time::timeout(HANDSHAKE_TIME, handshake).await {
        Ok(Ok(stream)) => connection(stream, shared).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// The headers that every answer of this agent carries by its configuration.
fn headers(app: &App) -> Vec<(HeaderName, HeaderValue)> {
    let pairs = app.info.response_headers.iter();
    pairs
        .filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value).ok()?)))
        .collect()
}

/// Serves the API over one byte stream until that ends: a tunnel to another agent is served as a socket is.
pub async fn serve_stream(app: App, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
    let stream = Lingering::new(stream, app.runtime.tasks.clone());
    connection(stream, Shared::new(app)).await;
}

/// What all connections share: the agent, and the headers of every answer.
struct Shared {
    app: App,
    always: Vec<(HeaderName, HeaderValue)>,
}

impl Shared {
    fn new(app: App) -> Arc<Self> {
        let always = headers(&app);
        Arc::new(Self { app, always })
    }
}

/// Serves one connection.
async fn connection(socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, shared: Arc<Shared>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(128)
        .max_buf_size(MAX_HEAD)
        .title_case_headers(true);
    park::serve(socket, http, move |request, spot| {
        let shared = Arc::clone(&shared);
        async move {
            let zip = wants_gzip(request.headers());
            let answered = answer(&shared, request, spot);
            if zip {
                return compressed(answered).await;
            }
            Ok::<_, Infallible>(answered.await)
        }
    })
    .await;
}

/// Whether a client may be answered with gzip; most that ask often do not, and are spared the layer.
fn wants_gzip(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT_ENCODING).is_some_and(|value| value.as_bytes().windows(4).any(|word| word == b"gzip"))
}

/// Passes an answer through the compression that the request allows.
async fn compressed(answered: impl Future<Output = Response<Body>> + Send) -> Result<Response<Body>, Infallible> {
    // Small answers are not worth it; files and event and log streams must not be held back.
    let worth_it = SizeAbove::new(1024).and(Whole);
    let mut request = hyper::Request::new(());
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let mut answered = Some(answered);
    let inner = tower::service_fn(move |_| {
        let answered = answered.take();
        async move {
            Ok::<_, Infallible>(match answered {
                Some(answered) => answered.await,
                None => Response::default(),
            })
        }
    });
    let mut service = Compression::new(inner).gzip(true).compress_when(worth_it);
    Ok(service.call(request).await?.map(Body::new))
}

/// Answers whose length is known: those that stand in memory, not streams.
#[derive(Clone, Copy, Debug)]
struct Whole;

impl Predicate for Whole {
    fn should_compress<B: hyper::body::Body>(&self, response: &Response<B>) -> bool {
        response.body().size_hint().exact().is_some()
    }
}

/// Tells a client that has too many connections, and closes this one.
fn refuse(socket: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 73\r\nConnection: close\r\n\r\nToo many connections from this address (limits.http_max_conns_per_client)";
    // Asked directly: the reactor does not know yet that a new socket can be written.
    let Ok(mut socket) = socket.into_std() else { return };
    // The answer fits into the socket's buffer; who does not read it learns it by the closed connection.
    let _best_effort = socket.write(ANSWER);
    // What it has sent is taken: closing on unread bytes would reset the connection and the answer with it.
    let mut sink = [0; 4096];
    for _ in 0..16 {
        if !matches!(socket.read(&mut sink), Ok(1..)) {
            break;
        }
    }
}

#[derive(Clone)]
struct Clients {
    most: usize,
    open: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    /// Told whenever a connection is over.
    over: Arc<Notify>,
    /// How many more may wait for that.
    waiting: Arc<Semaphore>,
}
struct Open(IpAddr, Clients);

impl Clients {
    fn new(most: usize) -> Self {
        Self { most, open: Arc::default(), over: Arc::default(), waiting: Arc::new(Semaphore::new(MOST_WAITING)) }
    }
    /// The same for an address that seems to have too many: connections that it has closed just now still count until
    /// their tasks have seen it.
    async fn open_soon(&self, peer: IpAddr) -> Option<Open> {
        let _one_of_few = self.waiting.try_acquire().ok()?;
        let until = tokio::time::Instant::now() + GRACE;
        loop {
            let over = self.over.notified();
            tokio::pin!(over);
            // From here on no end is missed, also one before the next line.
            over.as_mut().enable();
            if let Some(open) = self.open(peer) {
                return Some(open);
            }
            tokio::time::timeout_at(until, over).await.ok()?;
        }
    }
    fn open(&self, peer: IpAddr) -> Option<Open> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(peer).or_default();
        if self.most > 0 && *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Open(peer, self.clone()))
    }
}
impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.1.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.0);
            }
        }
        drop(open);
        self.1.over.notify_waiters();
    }
}

/// Every request comes through here.
async fn answer(shared: &Shared, request: hyper::Request<hyper::body::Incoming>, spot: Option<Spot>) -> Response<Body> {
    let Shared { app, always } = shared;
    let request = match forward::pass(app, request).await {
        Ok(Passed::Here(request)) => request,
        // The headers of the agent that answered stay as they are.
        Ok(Passed::Answered(response)) => return response,
        Err(failure) => return failure.into_response(),
    };
    let (mut parts, body) = request.into_parts();
    let upgrade = if parts.headers.contains_key(header::UPGRADE) {
        WebSocketUpgrade::from_request_parts(&mut parts, &()).await.ok()
    } else {
        None
    };
    let of_client = parts.uri.path().starts_with("/v1/client/");
    let answered = async {
        let path = percent_encoding::percent_decode_str(parts.uri.path())
            .decode_utf8()
            .map_err(|_| Failure::bad_request("the path is not UTF-8"))?;
        let call = Call {
            method: parts.method,
            parameters: parameters(parts.uri.query().unwrap_or_default())?,
            headers: parts.headers,
            body: Mutex::new(Body::new(body)),
            upgrade,
            spot,
        };
        route::answer(app, &path, call).await
    };
    let mut response = answered.await.unwrap_or_else(Failure::into_response);
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if of_client {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    for (name, value) in always {
        headers.insert(name.clone(), value.clone());
    }
    response
}
