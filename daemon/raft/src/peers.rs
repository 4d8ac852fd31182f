//! How this server reaches the others: what the agent's wiring hands in. The room itself knows no sockets.

use std::fmt::Debug;
use std::sync::Arc;

use nomadd_rpc::Connection;

use crate::membership::Server;

/// Finds connections with other servers. Asking is cheap: it dials nothing by itself.
pub trait Peers: Send + Sync + Debug {
    /// The connection with a server; `bulk` chooses the one for snapshots, which must not share its socket with the other.
    /// Both are driven by the room's own thread.
    fn to(&self, server: &Server, bulk: bool) -> Arc<dyn Connection>;
}
