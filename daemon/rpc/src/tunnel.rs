//! Tunnels: duplex byte streams between agents, over which HTTP/1.1 is spoken, and what is said when one opens.
//!
//! Carries bytes and knows nothing of HTTP. Used by the agent's router (serves them as it serves sockets) and by whoever
//! forwards requests.

use nomadd_model::NodeId;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::message::NodeSecret;

/// A duplex byte stream to the other agent.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// An open tunnel; dropping it closes it.
pub type Tunnel = Box<dyn ByteStream>;

/// How many bytes may wait in each direction of a tunnel within the process.
pub(crate) const TUNNEL_BUFFER: usize = 64 << 10;

/// What a tunnel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum TunnelHello {
    /// Serve your whole HTTP API to me.
    Http,
    /// This is the tunnel that you ordered over the node's control stream: speak HTTP to my node.
    Reverse {
        /// The order's id.
        id: [u8; 16],
        /// The node.
        node_id: NodeId,
        /// Its secret.
        secret: NodeSecret,
    },
}

/// What a server tells a node over its control stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum NodeOrder {
    /// Open a tunnel to me and serve your HTTP API on it: `TunnelHello::Reverse` with this id.
    OpenTunnel {
        /// The order's id.
        id: [u8; 16],
    },
    /// Nothing to do; the stream is alive.
    Ping,
}
