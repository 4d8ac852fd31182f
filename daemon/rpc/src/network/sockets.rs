//! Sockets behind two small traits, so that a simulation can put its own in their place.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream, lookup_host};

use crate::tunnel::Tunnel;

/// Where connections come from.
#[async_trait]
pub trait Sockets: Send + Sync + std::fmt::Debug {
    /// The addresses of `HOST:PORT`, best first.
    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>>;
    /// Connects; the caller sets a limit.
    async fn connect(&self, address: SocketAddr) -> io::Result<Tunnel>;
}

/// A socket that listens.
#[async_trait]
pub trait Accept: Send + Sync + std::fmt::Debug {
    /// The next connection.
    async fn accept(&self) -> io::Result<(Tunnel, SocketAddr)>;
    /// Where it listens.
    fn address(&self) -> SocketAddr;
}

/// TCP of this host.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

#[async_trait]
impl Sockets for Tcp {
    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host(address).await?.collect())
    }
    async fn connect(&self, address: SocketAddr) -> io::Result<Tunnel> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// A TCP listener of this host.
#[derive(Debug)]
pub struct TcpAccept(TcpListener, SocketAddr);

impl TcpAccept {
    /// Listens.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self(listener, address))
    }
}

#[async_trait]
impl Accept for TcpAccept {
    async fn accept(&self) -> io::Result<(Tunnel, SocketAddr)> {
        let (stream, from) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((Box::new(stream), from))
    }
    fn address(&self) -> SocketAddr {
        self.1
    }
}
