//! Simulated nodes: one process that is many nodes. Each registers, sends heartbeats, holds its two streams and tells what
//! became of its allocations with the client's own rules for servers; its tasks are mock ones that run at once.
//!
//! What is not simulated: gossip (the nodes take no part in it), processes, and that every node has a connection of its own:
//! here some connections are shared by all. Used by the load tests through `nomadd-simulated-nodes`.

mod node;
mod pushed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nomadd_client::servers::Servers;
use nomadd_rpc::{Class, Connection, Dial, Network, NetworkConfig, TlsFiles};
use nomadd_runtime::{Runtime, TaskKind};

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `HOST:PORT` of the RPC of servers that the nodes know.
    pub servers: Vec<String>,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many connections they share for each server.
    pub connections: usize,
    /// The number of the first node; those of two processes must differ.
    pub first: usize,
    /// Certificates, when the servers speak TLS.
    pub tls: Option<TlsFiles>,
}

/// What happened so far, in all nodes together.
#[derive(Debug, Default)]
pub struct Counts {
    /// Nodes that are registered.
    pub registered: AtomicU64,
    /// Nodes that have seen all of their allocations at least once.
    pub subscribed: AtomicU64,
    /// Allocations that nodes were given and have not lost again.
    pub assigned: AtomicU64,
    /// Allocations whose task runs, as a server has acknowledged.
    pub running: AtomicU64,
    /// Allocations that were stopped.
    pub stopped: AtomicU64,
    /// Batches of status that servers have acknowledged.
    pub batches: AtomicU64,
    /// Messages that servers have pushed.
    pub messages: AtomicU64,
    /// Bytes of those.
    pub bytes: AtomicU64,
    /// Calls and streams that failed and were tried again.
    pub failures: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
    /// The counts as one line of JSON.
    pub fn line(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        serde_json::json!({
            "registered": of(&self.registered), "subscribed": of(&self.subscribed), "assigned": of(&self.assigned),
            "running": of(&self.running), "stopped": of(&self.stopped), "batches": of(&self.batches),
            "messages": of(&self.messages), "bytes": of(&self.bytes), "failures": of(&self.failures),
        })
        .to_string()
    }
}

/// Dials over the connections of one of the shared networks.
#[derive(Debug)]
struct Dialer(Network);

impl Dial for Dialer {
    fn dial(&self, address: &str) -> Arc<dyn Connection> {
        self.0.to(address, Class::Calls)
    }
}

/// Starts the nodes; they live as long as the process.
pub fn start(settings: &Settings, runtime: &Runtime) -> anyhow::Result<Arc<Counts>> {
    let counts = Arc::new(Counts::default());
    let mut dialers: Vec<Arc<Dialer>> = Vec::new();
    for _ in 0..settings.connections.max(1) {
        let config = match &settings.tls {
            Some(files) => NetworkConfig::with_tls("global", files.clone()),
            None => NetworkConfig::plain("global"),
        };
        dialers.push(Arc::new(Dialer(Network::new(config, runtime.clone())?)));
    }
    for number in 0..settings.nodes {
        let dial = Arc::clone(&dialers[number % dialers.len()]) as Arc<dyn Dial>;
        let servers = Servers::start(settings.servers.clone(), "global", dial, runtime.clone());
        let node = node::Node::new(settings.first + number, Arc::new(servers), Arc::clone(&counts), runtime.clone());
        runtime.tasks.spawn(TaskKind::ClientLoop, Arc::clone(&node).keep_registered());
        runtime.tasks.spawn(TaskKind::ClientStream, Arc::clone(&node).keep_subscribed());
        runtime.tasks.spawn(TaskKind::ClientStream, Arc::clone(&node).keep_offering());
        runtime.tasks.spawn(TaskKind::ClientStream, node.keep_telling());
    }
    Ok(counts)
}
