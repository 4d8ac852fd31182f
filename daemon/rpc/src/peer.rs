//! Who is at the other end of a connection, what its certificate lets it do, and how the connection ended.
//!
//! Made by the listener (from the certificate) or by `InProcess`; read by services. Which methods a role may call stands
//! in `method`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nomadd_model::Text;
use tokio::sync::watch;

use crate::network::Notes;

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
pub struct Link {
    end: watch::Receiver<Option<LinkEnd>>,
    /// Of a network connection.
    notes: Option<Arc<Notes>>,
}

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
        Self::joined(None)
    }
    /// The link of a connection whose bytes are watched.
    pub(crate) fn of(notes: Arc<Notes>) -> (LinkEnds, Self) {
        Self::joined(Some(notes))
    }
    fn joined(notes: Option<Arc<Notes>>) -> (LinkEnds, Self) {
        let (sender, end) = watch::channel(None);
        (LinkEnds(sender), Self { end, notes })
    }
    /// For how long nothing at all was heard; both sides say something each second. Within the process: zero.
    pub fn quiet(&self) -> Duration {
        self.notes.as_ref().map_or(Duration::ZERO, |notes| notes.quiet())
    }
    /// How it ended; nothing while it lives.
    pub fn end(&self) -> Option<LinkEnd> {
        *self.end.borrow()
    }
    /// Waits until the connection has ended. Ask after a subscription or tunnel has ended; within the process: closed.
    pub async fn ended(&self) -> LinkEnd {
        let mut receiver = self.end.clone();
        let end = receiver.wait_for(Option::is_some).await;
        end.ok().and_then(|end| *end).unwrap_or(LinkEnd::Closed)
    }
}
