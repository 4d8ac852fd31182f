//! Dialling: name, TCP, TLS, HTTP/2; and the slot of the pool that holds what was dialled and says why it ended.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use nomadd_model::Text;
use nomadd_runtime::TaskKind;
use rustls::pki_types::ServerName;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tonic::body::Body;

use super::refusal::{self, Refusal};
use super::watched::{Notes, Seen, Silence, Watched};
use super::{Limits, Shared, Spawn, Upgrade};
use crate::error::{Reach, RpcError};
use crate::tls::{not_tls, refused_by_dialer};
use crate::tunnel::Tunnel;

/// Why there is no connection (any more).
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Refused,
    Silent,
    Lost(String),
    Address(String),
    Security(String),
    /// The other side speaks without TLS, or nothing that this side knows.
    NotTls,
    Busy,
    /// This agent is shutting down.
    Stopping,
}

impl Failure {
    pub(crate) fn at(self, address: &str) -> RpcError {
        let address = address.to_owned();
        match self {
            Self::Refused => RpcError::ConnectionRefused { address },
            Self::Silent => RpcError::Silent { address },
            Self::Lost(reason) => RpcError::Lost { address, reason },
            Self::Address(reason) => RpcError::Address { address, reason },
            Self::Security(reason) => RpcError::Security { address, reason },
            Self::NotTls => RpcError::Security { address, reason: not_tls() },
            Self::Busy => RpcError::Busy,
            Self::Stopping => RpcError::Unreachable,
        }
    }
    pub(crate) fn reach(&self) -> Reach {
        self.clone().at("").reach()
    }
    fn of_connecting(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Self::Silent
            }
            _ => Self::Lost(error.to_string()),
        }
    }
}

/// The name that a server of a region proves.
pub(crate) fn server_name(region: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(format!("server.{region}.nomad")).ok()
}

/// One living connection.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) send: SendRequest<Body>,
    notes: Arc<Notes>,
    ended: watch::Receiver<bool>,
    stopping: nomadd_runtime::Tasks,
}

/// How long the end of a connection may take to become known after a call on it has failed.
const AFTERMATH: Duration = Duration::from_millis(250);

impl Live {
    /// Why a call on it failed: what is known of the connection's end, else `otherwise`.
    pub(crate) async fn failure(&self, otherwise: impl FnOnce() -> Failure) -> Failure {
        let mut ended = self.ended.clone();
        if self.notes.seen().is_none() {
            drop(timeout(AFTERMATH, ended.wait_for(|ended| *ended)).await);
        }
        if self.stopping.is_cancelled() {
            return Failure::Stopping;
        }
        let first = self.notes.first();
        match (refusal::read(&first), self.notes.seen()) {
            (Some((Refusal::Security, sentence)), _) => Failure::Security(sentence),
            (Some((Refusal::Busy, _)), _) => Failure::Busy,
            // A TLS record where HTTP/2 should begin.
            (None, _) if matches!(first.first(), Some(0x15 | 0x16)) => Failure::Security(
                "it speaks TLS on this port: set tls { rpc = true } and certificates here, too".to_owned(),
            ),
            (None, _) if first.starts_with(b"HTTP/1") => Failure::Security(
                "an HTTP server answers there: use the RPC port (ports.rpc), not that of HTTP".to_owned(),
            ),
            (None, Some(Seen::Failed { tls: Some(error), .. })) => Failure::Security(refused_by_dialer(&error)),
            (None, Some(Seen::Failed { text, .. })) => Failure::Lost(text),
            (None, Some(Seen::Closed)) => Failure::Lost("the other side closed it".to_owned()),
            (None, Some(Seen::Silent)) => Failure::Silent,
            (None, None) => otherwise(),
        }
    }
}

/// One address and class of the pool.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) address: String,
    pub(crate) region: Text,
    pub(crate) calls: Arc<Semaphore>,
    live: ArcSwapOption<Live>,
    /// Held while dialling; what the last attempt came to and when.
    dialling: tokio::sync::Mutex<Option<(Instant, Failure)>>,
    used: Mutex<Instant>,
}

impl Slot {
    pub(crate) fn new(address: String, region: Text, limits: &Limits) -> Self {
        Self {
            address,
            region,
            calls: Arc::new(Semaphore::new(limits.calls_per_connection)),
            live: ArcSwapOption::empty(),
            dialling: tokio::sync::Mutex::default(),
            used: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn unused_for(&self, span: Duration, now: Instant) -> bool {
        now.duration_since(*self.used.lock().unwrap_or_else(PoisonError::into_inner)) >= span
    }

    fn living(&self) -> Option<Arc<Live>> {
        self.live.load_full().filter(|live| !live.send.is_closed())
    }

    /// The connection, dialled if there is none. Who waited while another dialled shares what came of it.
    pub(crate) async fn live(&self, shared: &Arc<Shared>) -> Result<Arc<Live>, Failure> {
        let asked = Instant::now();
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        if let Some(live) = self.living() {
            return Ok(live);
        }
        let mut last = self.dialling.lock().await;
        if let Some(live) = self.living() {
            return Ok(live);
        }
        if let Some((when, failure)) = &*last
            && *when >= asked
        {
            return Err(failure.clone());
        }
        let dialled = dial(shared, &self.address, &self.region).await;
        match dialled {
            Ok(live) => {
                *last = None;
                let live = Arc::new(live);
                self.live.store(Some(Arc::clone(&live)));
                Ok(live)
            }
            Err(failure) => {
                *last = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    /// Drops a connection that does not work, unless another one is in its place.
    pub(crate) fn forget(&self, live: &Arc<Live>) {
        let current = self.live.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            self.live.compare_and_swap(&*current, None);
        }
    }
}

/// A bare connection.
pub(crate) async fn connect(shared: &Shared, address: &str) -> Result<Tunnel, Failure> {
    let (sockets, limits) = (&shared.config.sockets, &shared.config.limits);
    let resolved = timeout(limits.connect, sockets.resolve(address)).await;
    let addresses = match resolved {
        Err(_) => return Err(Failure::Address("the name server does not answer".to_owned())),
        Ok(Err(error)) => return Err(Failure::Address(error.to_string())),
        Ok(Ok(addresses)) => addresses,
    };
    let mut failure = Failure::Address("the name has no address".to_owned());
    for address in addresses {
        failure = match timeout(limits.connect, sockets.connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => Failure::of_connecting(&error),
            Err(_) => Failure::Silent,
        };
    }
    Err(failure)
}

async fn encrypt(shared: &Shared, stream: Tunnel, region: &str) -> Result<Tunnel, Failure> {
    let Some(tls) = shared.tls.current() else { return Ok(stream) };
    let name = server_name(region)
        .ok_or_else(|| Failure::Security(format!("the region {region:?} cannot be part of a certificate's name")))?;
    let connector = TlsConnector::from(Arc::clone(&tls.client));
    match timeout(shared.config.limits.handshake, connector.connect(name, stream)).await {
        Err(_) => Err(Failure::Silent),
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. }) => Failure::NotTls,
            Some(error) => Failure::Security(refused_by_dialer(error)),
            None => Failure::Lost(format!("during the TLS handshake: {error}")),
        }),
    }
}

async fn dial(shared: &Arc<Shared>, address: &str, region: &str) -> Result<Live, Failure> {
    if shared.runtime.tasks.is_cancelled() {
        return Err(Failure::Stopping);
    }
    let limits = shared.config.limits;
    let stream = match encrypt(shared, connect(shared, address).await?, region).await {
        // A cluster on its way to TLS: this one is not there yet.
        Err(Failure::NotTls) if shared.config.upgrade == Upgrade::Mixed => connect(shared, address).await?,
        stream => stream?,
    };
    let (stream, notes) = Watched::new(stream, Silence(limits.silence));
    let mut builder = Builder::new(Spawn(shared.runtime.clone()));
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .keep_alive_interval(limits.ping)
        // `Watched` is stricter, and tells silence from an end.
        .keep_alive_timeout(limits.silence * 8);
    let (send, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| Failure::Lost(error.to_string()))?;
    let (end, ended) = watch::channel(false);
    drop(shared.runtime.tasks.spawn(TaskKind::RpcConnection, async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to another agent ended");
        }
        end.send_replace(true);
    }));
    Ok(Live { send, notes, ended, stopping: shared.runtime.tasks.clone() })
}
