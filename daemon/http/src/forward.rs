//! Passes requests on to the agent that answers them: HTTP/1.1 over a byte stream to it.
//!
//! Bodies are streamed both ways, upgrades (`alloc exec`) are joined, headers stay as they are but for the count of hops.
//! Where to is decided by `direct`; who opens the streams is the agent's wiring (`Ways`). Called for every request by `listen`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use nomadd_model::{AllocationId, NodeId};
use nomadd_rpc::Tunnel;
use nomadd_runtime::TaskKind;
use tokio::time::Instant;

use crate::app::App;
pub use crate::direct::Standing;
use crate::direct::{About, Asked, Target, direct};
use crate::failure::Failure;

/// Counts how often a request was passed on.
const HOPS: HeaderName = HeaderName::from_static("x-nomad-forwarded");
/// More than a client, a follower and the leader never stand in one row.
const MOST_HOPS: u8 = 3;
/// How long a request that has not been sent yet waits for somebody to take it.
const PATIENCE: Duration = Duration::from_secs(7);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);
/// How many unused connections are kept for each agent.
const IDLE: usize = 64;

/// An agent that a request can be passed on to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// This agent itself, as it turned out.
    Here,
    /// A server, by `HOST:PORT` of its RPC port.
    Server(String),
    /// A server of another region: its name, and `HOST:PORT` of its RPC port.
    Region(String, String),
    /// The agent of a node.
    Node(NodeId),
}

/// Why a request cannot be passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// The servers have no leader.
    #[error("No cluster leader")]
    NoLeader,
    /// No server is known, or none answers.
    #[error("No path to any server: {0}")]
    NoServer(String),
    /// No server of the region is known.
    #[error("No path to region")]
    NoRegion,
    /// There is no such server.
    #[error("unknown Nomad server {0}")]
    UnknownServer(String),
    /// No server has a stream of the node.
    #[error("No path to node: {0}")]
    NoNode(String),
    /// The other agent does not answer.
    #[error("cannot reach {0}")]
    Unreachable(String),
}

impl NoWay {
    /// Whether the same try may succeed a moment later.
    fn passes(&self) -> bool {
        matches!(self, Self::NoLeader | Self::Unreachable(_))
    }
}

/// The ways from this agent to others; supplied by the agent's wiring.
#[async_trait]
pub trait Ways: Send + Sync {
    /// What this agent is at the moment.
    fn standing(&self) -> Standing;
    /// The leader.
    fn leader(&self) -> Result<Place, NoWay>;
    /// Any server, the best at the moment.
    fn any_server(&self) -> Result<Place, NoWay>;
    /// A server by name or id.
    fn server(&self, name: &str) -> Result<Place, NoWay>;
    /// A server of a region.
    fn region(&self, name: &str) -> Result<Place, NoWay>;
    /// The agent of a node, or the server that can reach it.
    async fn node(&self, id: NodeId) -> Result<Place, NoWay>;
    /// Opens a stream over which the other agent serves its API.
    async fn open(&self, place: &Place) -> Result<Tunnel, NoWay>;
    /// Waits until everything that was acknowledged before the call is applied here.
    async fn catch_up(&self) -> Result<(), NoWay>;
}

/// Connections that wait for their next request, by the agent at their end.
#[derive(Default)]
pub struct Idle(Mutex<BTreeMap<Place, Vec<SendRequest<Incoming>>>>);

impl Idle {
    fn take(&self, place: &Place) -> Option<SendRequest<Incoming>> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.get_mut(place)?;
        waiting.retain(|sender| !sender.is_closed());
        let at = waiting.iter().position(SendRequest::is_ready)?;
        Some(waiting.swap_remove(at))
    }
    fn put(&self, place: &Place, sender: SendRequest<Incoming>) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.entry(place.clone()).or_default();
        if waiting.len() < IDLE {
            waiting.push(sender);
        }
        // Agents that went away do not stay in the list.
        idle.retain(|_, waiting| {
            waiting.retain(|sender| !sender.is_closed());
            !waiting.is_empty()
        });
    }
}

/// What became of a request.
pub(crate) enum Passed {
    /// It is answered here.
    Here(Request<Incoming>),
    /// Somebody else has answered it.
    Answered(Response<Body>),
}

/// Passes a request on, unless it is answered here.
pub(crate) async fn pass(app: &App, request: Request<Incoming>) -> Result<Passed, Failure> {
    let Some(ways) = &app.ways else { return Ok(Passed::Here(request)) };
    let query = request.uri().query().unwrap_or_default();
    let hops = hops(request.headers());
    let asked = Asked {
        method: request.method(),
        path: request.uri().path(),
        region: parameter(query, "region").unwrap_or_default(),
        stale: parameter(query, "stale").is_some_and(|value| !matches!(value, "false" | "0" | "f")),
        about: about(app, request.uri().path(), query),
        server: parameter(query, "server_id").unwrap_or_default(),
        hops,
    };
    let wanted = match direct(&asked, ways.standing(), &app.info.region) {
        Target::Here => return Ok(Passed::Here(request)),
        Target::AfterReadIndex => return after_read_index(ways, request).await,
        Target::Leader => Wanted::Leader,
        Target::AnyServer => Wanted::AnyServer,
        Target::Server(name) => Wanted::Server(name.to_owned()),
        Target::Node(id) => Wanted::Node(id),
        Target::Region(name) => Wanted::Region(name.to_owned()),
    };
    if hops >= MOST_HOPS {
        return Err(Failure::internal(format!(
            "the request was passed on {hops} times, and no agent answered it: the servers do not agree on who does; try again"
        )));
    }
    deliver(app, ways, &wanted, request, hops).await
}

enum Wanted {
    Leader,
    AnyServer,
    Server(String),
    Node(NodeId),
    Region(String),
}

async fn after_read_index(ways: &Arc<dyn Ways>, request: Request<Incoming>) -> Result<Passed, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ways.catch_up().await {
            Ok(()) => return Ok(Passed::Here(request)),
            Err(reason) if reason.passes() && Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            Err(reason) => return Err(Failure::internal(reason)),
        }
    }
}

/// Finds who takes the request, and sends it. As long as nothing of it has been sent it may go to somebody else.
async fn deliver(
    app: &App,
    ways: &Arc<dyn Ways>,
    wanted: &Wanted,
    mut request: Request<Incoming>,
    hops: u8,
) -> Result<Passed, Failure> {
    let ours = prepare(&mut request, hops);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let place = match wanted {
            Wanted::Leader => ways.leader(),
            Wanted::AnyServer => ways.any_server(),
            Wanted::Server(name) => ways.server(name),
            Wanted::Region(name) => ways.region(name),
            Wanted::Node(id) => ways.node(*id).await,
        };
        let reason = match place {
            Ok(Place::Here) => {
                let upgrade = ours;
                if let Some(upgrade) = upgrade {
                    request.extensions_mut().insert(upgrade);
                }
                return Ok(Passed::Here(request));
            }
            Ok(place) => match sender(app, ways, &place).await {
                Ok(mut sender) => match sender.try_send_request(request).await {
                    Ok(response) => {
                        app.idle.put(&place, sender);
                        return Ok(Passed::Answered(answered(app, response, ours)));
                    }
                    Err(mut error) => match error.take_message() {
                        Some(unsent) => {
                            request = unsent;
                            NoWay::Unreachable(error.error().to_string())
                        }
                        None => {
                            return Err(Failure::internal(format!(
                                "the connection with the agent that answers broke off, and it is not known whether the request had an effect: {}",
                                error.error()
                            )));
                        }
                    },
                },
                Err(reason) => reason,
            },
            Err(reason) => reason,
        };
        if !reason.passes() || Instant::now() >= deadline {
            let status = match reason {
                NoWay::NoNode(_) | NoWay::UnknownServer(_) => StatusCode::NOT_FOUND,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            return Err(Failure::new(status, reason.to_string()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A connection to an agent: one that waits, or a new one.
async fn sender(app: &App, ways: &Arc<dyn Ways>, place: &Place) -> Result<SendRequest<Incoming>, NoWay> {
    if let Some(sender) = app.idle.take(place) {
        return Ok(sender);
    }
    let stream = ways.open(place).await?;
    let unreachable = |error: hyper::Error| NoWay::Unreachable(error.to_string());
    let (sender, connection) =
        http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
    app.runtime.tasks.spawn(TaskKind::HttpConnection, async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection with another agent ended early");
        }
    });
    Ok(sender)
}

/// Makes a received request one to be sent; returns the caller's half of an upgrade.
fn prepare(request: &mut Request<Incoming>, hops: u8) -> Option<hyper::upgrade::OnUpgrade> {
    let upgrades = request.headers().contains_key(header::UPGRADE);
    let ours = upgrades.then(|| hyper::upgrade::on(&mut *request));
    let headers = request.headers_mut();
    for name in [header::EXPECT, header::TE, header::TRAILER, header::PROXY_AUTHORIZATION] {
        headers.remove(name);
    }
    if !upgrades {
        headers.remove(header::CONNECTION);
    }
    if !headers.contains_key(header::HOST) {
        headers.insert(header::HOST, HeaderValue::from_static("nomadd"));
    }
    headers.insert(HOPS, HeaderValue::from(u16::from(hops) + 1));
    *request.version_mut() = axum::http::Version::HTTP_11;
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = path.into();
    }
    ours
}

/// Passes the answer back; after an upgrade both sides are joined.
fn answered(app: &App, mut response: Response<Incoming>, ours: Option<hyper::upgrade::OnUpgrade>) -> Response<Body> {
    if let (Some(ours), StatusCode::SWITCHING_PROTOCOLS) = (ours, response.status()) {
        let theirs = hyper::upgrade::on(&mut response);
        app.runtime.tasks.spawn(TaskKind::Request, async move {
            if let (Ok(ours), Ok(theirs)) = tokio::join!(ours, theirs) {
                let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
                // Either side may go at any time; the other then ends, too.
                let _ended = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await;
            }
        });
        return response.map(|_| Body::empty());
    }
    response.headers_mut().remove(header::CONNECTION);
    response.map(Body::new)
}

fn hops(headers: &HeaderMap) -> u8 {
    headers.get(HOPS).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The first value of a parameter as it stands; names of regions, servers and nodes need no decoding.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// The node that a request is about.
fn about(app: &App, path: &str, query: &str) -> About {
    let Some(rest) = path.strip_prefix("/v1/client/") else {
        let of_agent = path.starts_with("/v1/agent/") || path == "/v1/metrics";
        return if of_agent { named_node(app, query) } else { About::Nobody };
    };
    let mut parts = rest.split('/');
    let id = match (parts.next(), parts.next(), parts.next()) {
        (Some("allocation"), Some(id), _) | (Some("fs"), Some(_), Some(id)) => id,
        _ => return named_node(app, query),
    };
    let Ok(id) = id.parse::<AllocationId>() else { return About::Unknown };
    if app.client.as_ref().is_some_and(|client| client.allocation_status(id).is_ok()) {
        return About::ThisNode;
    }
    match app.server.as_ref().and_then(|server| server.state().allocation(id).map(|found| found.node_id)) {
        Some(node) => of_node(app, node),
        None => About::Unknown,
    }
}

fn named_node(app: &App, query: &str) -> About {
    match parameter(query, "node_id").filter(|id| !id.is_empty()).map(str::parse::<NodeId>) {
        None => About::Nobody,
        Some(Ok(id)) => of_node(app, id),
        // What is no id is refused by who answers.
        Some(Err(_)) => About::ThisNode,
    }
}

fn of_node(app: &App, id: NodeId) -> About {
    match app.client.as_ref().map(nomadd_client::Client::node_id) {
        Some(own) if own == id => About::ThisNode,
        _ => About::Node(id),
    }
}

#[cfg(test)]
mod tests;
