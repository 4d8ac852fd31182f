//! The listener: connections, their limits and time limits, and the layers around every request.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Request, State, WebSocketUpgrade};
use axum::http::{HeaderName, HeaderValue, Response, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use nomadd_runtime::TaskKind;
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};

use crate::app::App;
use crate::call::{Call, parameters};
use crate::failure::Failure;
use crate::route;

/// How long a client may take to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(10);

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

/// Serves the API until the runtime is shut down.
pub fn serve(app: App, listener: Listener, limits: Limits) {
    let tasks = app.runtime.tasks.clone();
    // Streams and small answers are not worth compressing; the event and log streams must not be held back.
    let worth_it = SizeAbove::new(1024).and(NotForContentType::new("application/octet-stream"));
    let layer = CompressionLayer::new().gzip(true).compress_when(worth_it);
    let router = Router::new().fallback(answer).with_state(app.clone()).layer(layer);
    let clients = Clients { most: limits.connections_per_client, open: Arc::default() };
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
            let Some(open) = clients.open(peer.ip()) else {
                refuse(socket);
                continue;
            };
            let router = router.clone();
            tasks.spawn(TaskKind::HttpConnection, async move {
                connection(socket, router).await;
                drop(open);
            });
        }
    });
}

async fn connection(socket: TcpStream, router: Router) {
    // Answers are written whole: waiting for more to send would only delay them.
    let _unsupported = socket.set_nodelay(true);
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        router.clone().call(request.map(Body::new))
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(128)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Tells a client that has too many connections, and closes this one.
fn refuse(socket: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 73\r\nConnection: close\r\n\r\nToo many connections from this address (limits.http_max_conns_per_client)";
    // The answer fits into the socket's buffer; who does not read it learns it by the closed connection.
    let _best_effort = socket.try_write(ANSWER);
}

#[derive(Clone)]
struct Clients {
    most: usize,
    open: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}
struct Open(IpAddr, Clients);

impl Clients {
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
    }
}

/// Every request comes through here.
async fn answer(
    State(app): State<App>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let answered = async {
        let path = percent_encoding::percent_decode_str(parts.uri.path())
            .decode_utf8()
            .map_err(|_| Failure::bad_request("the path is not UTF-8"))?
            .into_owned();
        let call = Call {
            method: parts.method,
            path,
            parameters: parameters(parts.uri.query().unwrap_or_default())?,
            headers: parts.headers,
            body: body.into(),
            upgrade: upgrade.ok(),
        };
        Box::pin(route::answer(&app, call)).await
    };
    let mut response = answered.await.unwrap_or_else(Failure::into_response);
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    for (name, value) in &app.info.response_headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    response
}
