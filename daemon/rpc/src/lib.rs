//! What nodes say to servers and servers to nodes and to each other.
//!
//! Owns the messages, their stored encoding, the methods with the roles that may call them, and the `Connection` that carries
//! the encoded bytes: within a process (`InProcess`) or over the network. Called by `client` (dials), `raft` (dials) and
//! `server` (serves); knows nothing of who listens.

pub mod codec;
pub mod connection;
pub mod error;
pub mod message;
pub mod method;
pub mod network;
pub mod peer;
pub mod scheduling;
pub mod tls;
pub mod tunnel;

pub use codec::{CodecError, MAX_MESSAGE, decode, encode};
pub use connection::{Connection, Dial, InProcess, Service, Updates};
pub use error::{Reach, RpcError};
pub use message::*;
pub use method::{Kind, Method};
pub use network::{Class, Limits, ListenError, Network, NetworkConfig, RpcListener, Upgrade};
pub use peer::{Identity, Link, LinkEnd, Peer, Role};
pub use scheduling::*;
pub use tls::{Https, HttpsClients, TlsError, TlsFiles, https};
pub use tunnel::{ByteStream, NodeOrder, Tunnel, TunnelHello};
