//! The network: one HTTP/2 connection per address and class, kept open, dialled anew at once when it is lost.
//!
//! `Network` dials and holds the certificates; `RpcListener` accepts with the same. What goes over it is the business of
//! `connection`. Everything is bounded: connections, calls in flight, sizes, waits.

mod channel;
mod complaints;
mod dial;
mod listener;
mod refusal;
mod serve;
mod sockets;
mod stream;
mod watched;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nomadd_model::Text;
use nomadd_runtime::Runtime;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::error::Reach;
use crate::tls::{Tls, TlsError, TlsFiles};
use channel::Dialed;
use complaints::Complaints;
use dial::Slot;

pub(crate) use channel::Pushed;
pub use listener::{ListenError, RpcListener};
pub use sockets::{Accept, Sockets, Tcp, TcpAccept};
pub(crate) use watched::Notes;

/// What a connection is for: classes do not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Raft's entries and votes.
    Raft,
    /// Everything else that is short.
    Calls,
    /// Snapshots, tunnels with files and logs.
    Bulk,
}

/// The limits of connections; the defaults suit a cluster of thousands of nodes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a TCP connection may take.
    pub connect: Duration,
    /// How long TLS may take, and how long a listener waits for the first byte (`limits.rpc_handshake_timeout`).
    pub handshake: Duration,
    /// How long a call may take, and the opening of a subscription or tunnel.
    pub call: Duration,
    /// How often both sides of a connection say something at least.
    pub ping: Duration,
    /// After this long without a word a connection is dead.
    pub silence: Duration,
    /// Calls in flight per address and class, at the dialer; more are `Busy`.
    pub calls_per_connection: usize,
    /// Calls in flight at a listener; more are `Busy`.
    pub calls: usize,
    /// Subscriptions and tunnels at a listener; more are `Busy`.
    pub streams: usize,
    /// Connections at a listener.
    pub connections: usize,
    /// Connections of one address at a listener (`limits.rpc_max_conns_per_client`); 0: as many as there may be.
    pub connections_per_address: usize,
    /// Bytes of requests that a listener holds at a time; more are `Busy`.
    pub request_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(1500),
            handshake: Duration::from_secs(5),
            call: Duration::from_secs(30),
            ping: Duration::from_secs(1),
            silence: Duration::from_millis(2900),
            calls_per_connection: 1024,
            calls: 8192,
            streams: 65_536,
            connections: 20_000,
            connections_per_address: 0,
            request_bytes: 512 << 20,
        }
    }
}

/// Whether a listener takes connections without TLS although certificates are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// It does not.
    #[default]
    Strict,
    /// It does, and dialers fall back to plain connections (`tls.rpc_upgrade_mode`): while a cluster is moved to TLS.
    Mixed,
}

/// How an agent takes part in the network.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Its region.
    pub region: Text,
    /// Certificates; `None`: no TLS (`tls.rpc = false`).
    pub tls: Option<TlsFiles>,
    /// Whether peers must carry the names `server.REGION.nomad` and `client.REGION.nomad`. A certificate that carries one is
    /// held to it anyway.
    pub verify_server_hostname: bool,
    /// `tls.rpc_upgrade_mode`.
    pub upgrade: Upgrade,
    /// The limits.
    pub limits: Limits,
    /// Where connections come from.
    pub sockets: Arc<dyn Sockets>,
}

impl NetworkConfig {
    /// Plain TCP without TLS.
    pub fn plain(region: impl Into<Text>) -> Self {
        Self {
            region: region.into(),
            tls: None,
            verify_server_hostname: false,
            upgrade: Upgrade::Strict,
            limits: Limits::default(),
            sockets: Arc::new(Tcp),
        }
    }
    /// TLS with these files, names verified.
    pub fn with_tls(region: impl Into<Text>, files: TlsFiles) -> Self {
        Self { tls: Some(files), verify_server_hostname: true, ..Self::plain(region) }
    }
}

/// An address, what the connection is for, and the region that it leads to.
type Key = (String, Class, Text);

/// What dialers and listeners of an agent share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: NetworkConfig,
    pub(crate) tls: Tls,
    pub(crate) runtime: Runtime,
    pub(crate) complaints: Complaints,
    pool: Mutex<BTreeMap<Key, Arc<Slot>>>,
}

/// Dials; a clone shares the pool.
#[derive(Clone, Debug)]
pub struct Network(Arc<Shared>);

/// Addresses that nobody has asked for since then are forgotten.
const FORGET: Duration = Duration::from_secs(600);

impl Network {
    /// Reads the certificates; dials nothing yet.
    pub fn new(config: NetworkConfig, runtime: Runtime) -> Result<Self, TlsError> {
        let tls = Tls::new(config.tls.as_ref(), config.verify_server_hostname)?;
        if config.tls.is_some() {
            dial::server_name(&config.region).ok_or_else(|| TlsError::Region { region: config.region.to_string() })?;
        }
        Ok(Self(Arc::new(Shared { config, tls, runtime, complaints: Complaints::default(), pool: Mutex::default() })))
    }

    /// A connection to a server of this region, by `HOST:PORT`; it is dialled when it is first used.
    pub fn to(&self, address: &str, class: Class) -> Arc<dyn Connection> {
        self.to_region(address, class, &self.0.config.region)
    }

    /// A connection to a server of another region.
    pub fn to_region(&self, address: &str, class: Class, region: &Text) -> Arc<dyn Connection> {
        let key = (address.to_owned(), class, region.clone());
        let mut pool = self.0.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = if let Some(slot) = pool.get(&key) {
            Arc::clone(slot)
        } else {
            let now = Instant::now();
            pool.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.unused_for(FORGET, now));
            let slot = Arc::new(Slot::new(address.to_owned(), region.clone(), &self.0.config.limits));
            pool.insert(key, Arc::clone(&slot));
            slot
        };
        drop(pool);
        Arc::new(Dialed::new(Arc::clone(&self.0), slot))
    }

    /// Reads certificates anew: new connections use them, old ones stay. On an error all stays as it was.
    pub fn reload(&self, tls: Option<&TlsFiles>) -> Result<(), TlsError> {
        self.0.tls.reload(tls)
    }

    /// Whether the host of an address answers to a bare TCP connection, refuses it, or is silent.
    pub async fn probe(&self, address: &str) -> Reach {
        match dial::connect(&self.0, address).await {
            Ok(_) => Reach::Answers,
            Err(failure) => failure.reach(),
        }
    }

    /// The region of this agent.
    pub fn region(&self) -> &Text {
        &self.0.config.region
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

/// Runs HTTP/2's futures as tasks of the agent.
#[derive(Clone, Debug)]
pub(crate) struct Spawn(pub(crate) Runtime);

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.tasks.spawn(nomadd_runtime::TaskKind::RpcStream, future));
    }
}
