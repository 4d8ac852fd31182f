//! The control stream: how servers reach this node, which only dials out. Opens the tunnels that a server orders and has the
//! agent's API served on them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nomadd_rpc::{Connection, Method, NodeControlRequest, NodeOrder, Tunnel, TunnelHello, encode};
use nomadd_runtime::TaskKind;

use crate::client::{Client, Inner};

/// Serves the agent's HTTP API over a byte stream.
pub type ServeTunnel = Arc<dyn Fn(Tunnel) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The pause before the stream is opened again.
const PAUSE: Duration = Duration::from_millis(100);

impl Client {
    /// Tells servers that this agent stops in order and is expected back. Takes no longer than a stop may.
    pub async fn announce_stop(&self, connection: &dyn Connection) {
        crate::server::tell_stopping(&self.0, connection).await;
    }

    /// Offers this node's API to servers over the connection, as long as the client runs.
    pub fn offer(&self, connection: Arc<dyn Connection>, serve: ServeTunnel) {
        let inner = Arc::clone(&self.0);
        let tasks = inner.context.runtime.tasks.clone();
        tasks.spawn(TaskKind::ClientStream, keep_offering(inner, connection, serve));
    }
}

async fn keep_offering(inner: Arc<Inner>, connection: Arc<dyn Connection>, serve: ServeTunnel) {
    let mut registered = inner.registered.subscribe();
    if registered.wait_for(|count| *count > 0).await.is_err() {
        return;
    }
    let (node_id, secret) = (inner.context.identity.id, inner.context.identity.secret);
    let Ok(request) = encode(&NodeControlRequest { node_id, secret }) else { return };
    loop {
        match connection.subscribe(Method::NodeControl, request.clone()).await {
            Ok(mut orders) => {
                // Servers may have missed this node meanwhile: they learn at once that it is here.
                inner.beat.notify_one();
                while let Some(Ok(order)) = orders.next::<NodeOrder>().await {
                    inner.contact();
                    let NodeOrder::OpenTunnel { id } = order else { continue };
                    let (connection, serve) = (Arc::clone(&connection), Arc::clone(&serve));
                    inner.context.runtime.tasks.spawn(TaskKind::HttpConnection, async move {
                        match connection.tunnel(TunnelHello::Reverse { id, node_id, secret }).await {
                            Ok(tunnel) => serve(tunnel).await,
                            Err(error) => tracing::debug!(%error, "a tunnel that a server ordered was not opened"),
                        }
                    });
                }
            }
            Err(error) => tracing::debug!(%error, "cannot open this node's control stream; trying again"),
        }
        tokio::time::sleep(PAUSE + inner.context.runtime.seeds.jitter(PAUSE)).await;
    }
}
