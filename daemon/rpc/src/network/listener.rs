//! The listener: takes connections, tells TLS from plain ones, learns who calls, refuses with a sentence.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use nomadd_runtime::{Runtime, TaskKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::refusal::{self, Refusal};
use super::serve::Serving;
use super::sockets::{Accept, TcpAccept};
use super::watched::{Prefixed, Seen, Silence, Watched};
use super::{Network, Shared, Spawn, Upgrade};
use crate::connection::Service;
use crate::peer::{Identity, Link, LinkEnd, Peer, Role};
use crate::tls::{Named, named, names, refused_by_listener};
use crate::tunnel::Tunnel;

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen for RPC at {address}: is the port taken, and is the address of this host (bind_addr, ports.rpc)?"
)]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// A socket that listens for other agents; serves when it is told to.
#[derive(Debug)]
pub struct RpcListener(Box<dyn Accept>);

/// The first byte of TLS: a handshake record.
const TLS: u8 = 0x16;
/// The first byte of HTTP/2's preface.
const HTTP2: u8 = b'P';
/// After a failed accept (too many open files) the listener waits a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A refused peer may take that long to read why, and send that much meanwhile.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 256 << 10;

impl RpcListener {
    /// Listens, TCP.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let accept = TcpAccept::bind(address).await.map_err(|source| ListenError { address, source })?;
        Ok(Self(Box::new(accept)))
    }
    /// Listens on a socket of another kind.
    pub fn over(accept: impl Accept + 'static) -> Self {
        Self(Box::new(accept))
    }
    /// Where it listens: with the port that the kernel chose.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Serves in tasks of the runtime until that is shut down. Certificates, region and limits are the network's.
    pub fn serve(self, network: &Network, service: Arc<dyn Service>, runtime: &Runtime) {
        let shared = Arc::clone(network.shared());
        let limits = shared.config.limits;
        let inner = Arc::new(Listening {
            serving: Arc::new(Serving::new(Arc::clone(&shared), service)),
            connections: Arc::new(Semaphore::new(limits.connections)),
            per_address: Mutex::default(),
            shared,
            runtime: runtime.clone(),
        });
        let tasks = runtime.tasks.clone();
        drop(runtime.tasks.spawn(TaskKind::RpcListener, async move {
            loop {
                match self.0.accept().await {
                    Ok((stream, from)) => {
                        let connection = Arc::clone(&inner).connection(stream, from);
                        drop(tasks.spawn(TaskKind::RpcConnection, connection));
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a connection of another agent was not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }));
    }
}

#[derive(Debug)]
struct Listening {
    shared: Arc<Shared>,
    serving: Arc<Serving>,
    connections: Arc<Semaphore>,
    per_address: Mutex<BTreeMap<IpAddr, usize>>,
    runtime: Runtime,
}

/// Counts a connection while it lives.
struct Counted(Arc<Listening>, IpAddr);

impl Counted {
    fn new(listening: &Arc<Listening>, address: IpAddr) -> Option<Self> {
        let most = listening.shared.config.limits.connections_per_address;
        let mut counts = listening.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if most > 0 && *count >= most {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Self(Arc::clone(listening), address))
    }
}
impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.0.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

/// Tells a peer why it is refused, in bytes that it can read, and gives it time to.
async fn refuse(mut stream: Tunnel, why: Refusal, sentence: &str) {
    if stream.write_all(&refusal::write(why, sentence)).await.is_ok() {
        linger(stream).await;
    }
}

/// Closes so that what was written last arrives: a socket with unread bytes would be reset.
async fn linger(mut stream: Tunnel) {
    drop(
        timeout(LINGER, async {
            drop(stream.shutdown().await);
            drop(tokio::io::copy(&mut (&mut stream).take(LINGER_BYTES), &mut tokio::io::sink()).await);
        })
        .await,
    );
}

impl Listening {
    fn complain(&self, from: SocketAddr, reason: &'static str, sentence: &str) {
        self.shared.complaints.warn(from.ip(), reason, sentence);
    }

    async fn connection(self: Arc<Self>, stream: Tunnel, from: SocketAddr) {
        let Ok(_permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            self.complain(from, "too many connections", "there are too many connections");
            return refuse(stream, Refusal::Busy, "too many connections").await;
        };
        let Some(_counted) = Counted::new(&self, from.ip()) else {
            let sentence = "this address has too many connections (limits.rpc_max_conns_per_client)";
            self.complain(from, "too many connections of one address", sentence);
            return refuse(stream, Refusal::Busy, sentence).await;
        };
        if let Some((stream, identity)) = self.admit(stream, from).await {
            self.serve(stream, from, identity).await;
        }
    }

    /// Looks at what the peer speaks; takes it or tells it why not.
    async fn admit(&self, mut stream: Tunnel, from: SocketAddr) -> Option<(Tunnel, Option<Identity>)> {
        // Who closes at once only wanted to know whether this host is alive.
        let first = timeout(self.shared.config.limits.handshake, stream.read_u8()).await.ok()?.ok()?;
        let stream: Tunnel = Box::new(Prefixed { first: Some(first), inner: stream });
        let tls = self.shared.tls.current();
        let mixed = self.shared.config.upgrade == Upgrade::Mixed;
        match (first, tls) {
            (TLS, Some(tls)) => self.handshake(stream, from, Arc::clone(&tls.server)).await,
            (TLS, None) => {
                let sentence = "the caller speaks TLS and this agent does not: set tls { rpc = true } here, too";
                self.complain(from, "TLS", sentence);
                refuse(stream, Refusal::Security, sentence).await;
                None
            }
            (HTTP2, Some(_)) if mixed => {
                let sentence = "the caller speaks without TLS; taken because tls.rpc_upgrade_mode is on: \
                                set tls { rpc = true } there, and turn the mode off when all agents have it";
                self.shared.complaints.warn_taken(from.ip(), "plain, taken", sentence);
                Some((stream, None))
            }
            (HTTP2, Some(_)) => {
                self.complain(
                    from,
                    "plain",
                    "the caller speaks without TLS: set tls { rpc = true } and certificates there \
                     (tls.rpc_upgrade_mode here while a cluster is moved to TLS)",
                );
                let sentence = "it takes only TLS connections: set tls { rpc = true } and certificates here";
                refuse(stream, Refusal::Security, sentence).await;
                None
            }
            (HTTP2, None) => Some((stream, None)),
            _ => {
                self.complain(
                    from,
                    "garbage",
                    "what came is no agent's: does something else use the address of this RPC port?",
                );
                None
            }
        }
    }

    async fn handshake(
        &self,
        stream: Tunnel,
        from: SocketAddr,
        config: Arc<rustls::ServerConfig>,
    ) -> Option<(Tunnel, Option<Identity>)> {
        let accept = TlsAcceptor::from(config).accept(stream).into_fallible();
        let stream = match timeout(self.shared.config.limits.handshake, accept).await.ok()? {
            Ok(stream) => stream,
            Err((error, stream)) => {
                if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    let (reason, sentence) = refused_by_listener(error);
                    self.complain(from, reason, &sentence);
                    // The alert is on its way.
                    linger(stream).await;
                }
                return None;
            }
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = certificate.map(names).unwrap_or_default();
        let region = &self.shared.config.region;
        let wrong = match named(&names, region) {
            Named::Agent(identity) if identity.role == Role::Client && identity.region != *region => Some((
                "region",
                format!(
                    "the caller's certificate is for client.{}.nomad, this server is of region {region}: \
                     check region, tls.cert_file and server addresses of the caller",
                    identity.region
                ),
            )),
            Named::Agent(identity) => return Some((Box::new(stream), Some(identity))),
            Named::CommandLine => Some((
                "command line",
                "the caller's certificate is one for the command line: set tls.cert_file to one that \
                 nomadctl tls cert create -server or -client made"
                    .to_owned(),
            )),
            Named::Nobody if self.shared.config.verify_server_hostname => Some((
                "name",
                format!(
                    "the caller's certificate is for {}, which is neither server.{region}.nomad nor client.{region}.nomad: \
                     create one by nomadctl tls cert create -region {region} (tls.verify_server_hostname is on)",
                    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
                ),
            )),
            Named::Nobody => None,
        };
        match wrong {
            None => Some((Box::new(stream), None)),
            Some((reason, sentence)) => {
                self.complain(from, reason, &sentence);
                refuse(Box::new(stream), Refusal::Security, &sentence).await;
                None
            }
        }
    }

    async fn serve(&self, stream: Tunnel, from: SocketAddr, identity: Option<Identity>) {
        let limits = self.shared.config.limits;
        let (stream, notes) = Watched::new(stream, Silence(limits.silence));
        let (ends, link) = Link::of(Arc::clone(&notes));
        let peer = Arc::new(Peer { address: from, identity, link });
        let serving = Arc::clone(&self.serving);
        let service = hyper::service::service_fn(move |request| {
            let (serving, peer) = (Arc::clone(&serving), Arc::clone(&peer));
            async move { Ok::<_, std::convert::Infallible>(serving.answer(peer, request).await) }
        });
        let mut builder = Builder::new(Spawn(self.runtime.clone()));
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(8 << 20)
            .max_concurrent_streams(u32::try_from(limits.calls_per_connection * 2).unwrap_or(u32::MAX))
            .max_header_list_size(16 << 10)
            .keep_alive_interval(limits.ping)
            .keep_alive_timeout(limits.silence * 8);
        if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, peer = %from, "a connection of another agent ended");
        }
        let silent = matches!(notes.seen(), Some(Seen::Silent));
        ends.end(if silent { LinkEnd::Silent } else { LinkEnd::Closed });
    }
}
