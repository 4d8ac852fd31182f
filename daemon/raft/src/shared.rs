//! What the handle, the room, the network and the answers share: who this server is, the running consensus, what is known of
//! the others, and why this server must not take part, if so.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use nomadd_runtime::Runtime;
use tokio::sync::{Notify, watch};

use crate::answer::{Heard, Incoming, Order};
use crate::config::{Config, Limits};
use crate::disk::Disk;
use crate::error::ProposeError;
use crate::handle::Leadership;
use crate::log::Log;
use crate::machine::{Machine, Published};
use crate::membership::{Server, ServerId};
use crate::peers::Peers;
use crate::snapshots::Snapshots;
use crate::types::{LogId, Types};
use crate::wire::{Head, Why};

pub(crate) type Consensus = openraft::Raft<Types, Machine>;

/// The running consensus.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) raft: Consensus,
    pub(crate) log: Log,
}

/// What they share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: ServerId,
    /// Name and address of this server, as it was configured.
    pub(crate) me: Server,
    /// Made when the folder was opened.
    pub(crate) instance: u64,
    pub(crate) peers: Option<Arc<dyn Peers>>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) runtime: Runtime,
    pub(crate) limits: Limits,
    pub(crate) published: Arc<Published>,
    pub(crate) snapshots: Arc<Snapshots>,
    /// None while it is not running; then `trouble` says why.
    pub(crate) core: ArcSwapOption<Core>,
    pub(crate) trouble: ArcSwap<ProposeError>,
    pub(crate) leadership: watch::Sender<Leadership>,
    /// Wakes the compaction.
    pub(crate) grown: Arc<Notify>,
    /// How often the consensus was started again after a failure.
    pub(crate) restarts: AtomicU64,
    /// Why this server must not take part.
    pub(crate) refused: watch::Sender<Option<(Why, Arc<str>)>>,
    /// The servers of the newest membership, and the index of its entry.
    pub(crate) servers: ArcSwap<BTreeMap<ServerId, Server>>,
    pub(crate) membership: AtomicU64,
    /// The newest entry that a server acknowledged to this one, and in which term.
    acknowledged: Mutex<HashMap<ServerId, (u64, Option<LogId>)>>,
    /// Numbers the streams of appends.
    pub(crate) streams: AtomicU64,
    /// The order of appends that come in.
    pub(crate) order: Order,
    /// The snapshot that comes in.
    pub(crate) incoming: Incoming,
    /// Who was heard under which id.
    pub(crate) heard: Heard,
}

impl Shared {
    pub(crate) fn new(config: &Config, id: ServerId, published: Arc<Published>, snapshots: Arc<Snapshots>) -> Self {
        let starting = ProposeError::Storage { reason: "it is being opened".into() };
        Self {
            id,
            me: config.server.clone(),
            instance: config.runtime.seeds.seed(),
            peers: config.peers.clone(),
            disk: Arc::clone(&config.disk),
            runtime: config.runtime.clone(),
            limits: config.limits.clone(),
            published,
            snapshots,
            core: ArcSwapOption::empty(),
            trouble: ArcSwap::from_pointee(starting),
            leadership: watch::Sender::default(),
            grown: Arc::default(),
            restarts: AtomicU64::new(0),
            refused: watch::Sender::default(),
            servers: ArcSwap::default(),
            membership: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            streams: AtomicU64::new(0),
            order: Order::default(),
            incoming: Incoming::default(),
            heard: Heard::default(),
        }
    }

    /// Who asks whom.
    pub(crate) fn head(&self, to: ServerId) -> Head {
        Head {
            from: self.id,
            to,
            name: self.me.name.clone(),
            address: self.me.address.clone(),
            instance: self.instance,
            membership: (!self.servers.load().is_empty()).then(|| self.membership.load(Ordering::Relaxed)),
        }
    }

    /// From now on this server takes no part; the first reason stands, except that a removal is the weakest.
    pub(crate) fn refuse(&self, why: Why, text: &str) {
        let news = self.refused.send_if_modified(|refused| {
            let weaker = refused.as_ref().is_none_or(|(before, _)| *before == Why::Removed && why != Why::Removed);
            if weaker {
                *refused = Some((why, text.into()));
            }
            weaker
        });
        if news {
            tracing::error!(reason = text, "this server takes no part in the consensus");
        }
        self.elect_only_if_wanted();
    }
    /// A server that was removed is wanted again.
    pub(crate) fn wanted_again(&self) {
        let news = self.refused.send_if_modified(|refused| {
            let removed = refused.as_ref().is_some_and(|(why, _)| *why == Why::Removed);
            if removed {
                *refused = None;
            }
            removed
        });
        if news {
            tracing::info!("this server was removed and is a member again");
            self.elect_only_if_wanted();
        }
    }
    /// Why this server takes no part.
    pub(crate) fn refusal(&self) -> Option<(Why, Arc<str>)> {
        self.refused.borrow().clone()
    }
    /// One that must not take part must not become leader.
    pub(crate) fn elect_only_if_wanted(&self) {
        if let Some(core) = self.core.load_full() {
            core.raft.runtime_config().elect(self.refused.borrow().is_none());
        }
    }

    /// The newest entry that a server acknowledged in a term of this leader.
    pub(crate) fn acknowledged(&self, server: ServerId, term: u64) -> Option<LogId> {
        let all = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&server).filter(|(of, _)| *of == term).and_then(|(_, last)| *last)
    }
    pub(crate) fn acknowledge(&self, server: ServerId, term: u64, last: Option<LogId>) {
        let mut all = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(server).or_default();
        *known = if known.0 == term { (term, known.1.max(last)) } else { (term, last) };
    }
    /// A server that left and comes back begins anew.
    pub(crate) fn forget(&self, server: ServerId) {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).remove(&server);
    }

    /// Blocking work, beside the reactor; inline in a simulation.
    pub(crate) async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        blocking(self.runtime.pool.is_inline(), work).await
    }
}

/// Blocking work on a thread of its own, or here.
pub(crate) async fn blocking<T: Send + 'static>(
    inline: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    if inline {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
