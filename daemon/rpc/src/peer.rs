//! Who is at the other end of a connection, what its certificate lets it do, and how the connection ended.
//!
//! Made by the listener (from the certificate) or by `InProcess`; read by services. Which methods a role may call stands
//! in `method`.

use std::net::{Ipv4Addr, SocketAddr};

use nomadd_model::Text;
use tokio::sync::watch;

/// Who is at the other end, as transport security proved it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it connects from; the unspecified address and port 0 within the process.
    pub address: SocketAddr,
    /// What its certificate says; `None` without TLS, within the process, and for a certificate without a role where
    /// `verify_server_hostname` is off.
    pub identity: Option<Identity>,
    /// The connection, to learn how it ends.
    pub link: Link,
}

impl Peer {
    /// The other half of this process.
    pub fn in_process() -> Self {
        Self { address: (Ipv4Addr::UNSPECIFIED, 0).into(), identity: None, link: Link::new().1 }
    }
}

/// What a certificate proves: from its name `server.REGION.nomad` or `client.REGION.nomad`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The role.
    pub role: Role,
    /// The region that it belongs to.
    pub region: Text,
}

/// What a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A server (which may be a client, too).
    Server,
    /// An agent that is only a client.
    Client,
}

impl Role {
    /// The first label of the certificate's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}
impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The other side closed it, or its host reset it: the host is alive.
    Closed,
    /// The other side no longer answers pings: its host, or the way to it, is gone.
    Silent,
}

/// The end of a connection, to wait for; a clone watches the same connection.
#[derive(Clone, Debug)]
pub struct Link(watch::Receiver<Option<LinkEnd>>);

/// Says how a connection ended; dropped without a word it was closed.
#[derive(Debug)]
pub(crate) struct LinkEnds(watch::Sender<Option<LinkEnd>>);

impl LinkEnds {
    pub(crate) fn end(&self, end: LinkEnd) {
        self.0.send_replace(Some(end));
    }
}

impl Link {
    pub(crate) fn new() -> (LinkEnds, Self) {
        let (sender, receiver) = watch::channel(None);
        (LinkEnds(sender), Self(receiver))
    }
    /// Waits until the connection has ended. Ask after a subscription or tunnel has ended; within the process: closed.
    pub async fn ended(&self) -> LinkEnd {
        let mut receiver = self.0.clone();
        let end = receiver.wait_for(Option::is_some).await;
        end.ok().and_then(|end| *end).unwrap_or(LinkEnd::Closed)
    }
}
