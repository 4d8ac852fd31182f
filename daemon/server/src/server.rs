//! The handle of a server: what endpoints, duties and the HTTP room share.
//!
//! Owns the wiring: the batches that write plans, evaluations and client updates, the queue of evaluations, the watch over
//! nodes, the keystore. A clone is the same server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use nomadd_model::{NodeId, Time};
use nomadd_raft::{Committed, ProposeError, Raft, Watcher};
use nomadd_runtime::{Runtime, TaskKind, Tasks};
use nomadd_state::{Command, State, WatchKey};
use tokio::sync::{Notify, RwLock, watch};

use crate::applier::Plans;
use crate::batch::Batch;
use crate::config::Config;
use crate::duty;
use crate::error::{Answer, EndpointError};
use crate::events::{self, Events};
use crate::keyring::{self, Keystore, KeystoreError};
use crate::liveness::Liveness;
use crate::nodes::inbox::{self, Inboxes};
use crate::nodes::silence;
use crate::nodes::updates::ClientUpdates;
use crate::peers::Peers;
use crate::queue::Queue;
use crate::streams::Streams;
use crate::worker::{self, Evaluations};

/// How many writes of each kind may wait.
const WAITING: usize = 4096;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its keystore cannot be used.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
}

/// A server. A clone is the same one.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    config: Config,
    raft: Raft,
    runtime: Runtime,
    queue: Queue,
    plans: Batch<Plans>,
    evaluations: Batch<Evaluations>,
    client_updates: Batch<ClientUpdates>,
    liveness: Mutex<Liveness>,
    /// Wakes the watch over nodes.
    suspicion: Notify,
    keystore: Keystore,
    events: Events,
    peers: Peers,
    streams: Streams,
    inboxes: Inboxes,
    duties: ArcSwap<Tasks>,
    /// Held shared while a plan is made and written, alone by who had one refused.
    lane: RwLock<()>,
    /// The servers that cannot apply all commands that this one can, as the leader last found them.
    behind: ArcSwap<Vec<String>>,
    /// Counts how often the whole state was replaced.
    replaced: watch::Sender<u64>,
}

impl Server {
    /// Starts a server over an open log. It begins to lead when the log says so.
    pub fn start(config: Config, raft: Raft, runtime: Runtime) -> Result<Self, StartError> {
        let keystore = Keystore::open(&config.folder, config.id.clone())?;
        let plans = Plans { raft: raft.clone(), seeds: runtime.seeds.clone() };
        let (plans, write_plans) = Batch::new(plans, raft.clone(), WAITING);
        let (evaluations, write_evaluations) = Batch::new(Evaluations, raft.clone(), WAITING);
        let updates = ClientUpdates { raft: raft.clone(), runtime: runtime.clone() };
        let (client_updates, write_updates) = Batch::new(updates, raft.clone(), WAITING);
        let server = Self(Arc::new(Shared {
            queue: Queue::new(config.broker, runtime.clock.clone()),
            plans,
            evaluations,
            client_updates,
            liveness: Mutex::default(),
            suspicion: Notify::new(),
            keystore,
            peers: Peers::new(config.dial.clone()),
            events: Events::default(),
            streams: Streams::default(),
            inboxes: Inboxes::default(),
            lane: RwLock::new(()),
            behind: ArcSwap::default(),
            replaced: watch::Sender::new(0),
            duties: ArcSwap::from_pointee(runtime.tasks.child()),
            config,
            raft,
            runtime: runtime.clone(),
        }));
        runtime.tasks.spawn(TaskKind::PlanApplier, write_plans);
        runtime.tasks.spawn(TaskKind::PlanApplier, write_evaluations);
        runtime.tasks.spawn(TaskKind::PlanApplier, write_updates);
        runtime.tasks.spawn(TaskKind::Background, events::follow(server.clone()));
        runtime.tasks.spawn(TaskKind::Background, inbox::fill(server.clone()));
        runtime.tasks.spawn(TaskKind::LeaderDuty, duty::lead(server.clone()));
        if server.config().dial.is_some() {
            runtime.tasks.spawn(TaskKind::Background, silence::watch(server.clone()));
            runtime.tasks.spawn(TaskKind::Background, keyring::handover::keep_asking(server.clone()));
            for place in 0..server.config().schedulers {
                runtime.tasks.spawn(TaskKind::Worker, worker::help(server.clone(), place));
            }
        }
        Ok(server)
    }

    /// The newest state. It never changes; take a new one to see what happened since.
    pub fn state(&self) -> Arc<State> {
        self.0.raft.state()
    }

    /// A watcher of keys: make it first, then look at the state, then wait.
    pub fn watch(&self, keys: impl IntoIterator<Item = WatchKey>) -> Watcher {
        self.0.raft.watch(keys)
    }

    /// The log.
    pub fn raft(&self) -> &Raft {
        &self.0.raft
    }

    /// What the server was told.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The nodes that are connected here.
    pub fn streams(&self) -> &Streams {
        &self.0.streams
    }

    pub(crate) fn inboxes(&self) -> &Inboxes {
        &self.0.inboxes
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.0.peers
    }

    /// Clock, seeds, tasks, pool.
    pub fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    /// How much waits for the scheduler.
    pub fn queue_stats(&self) -> crate::queue::Stats {
        self.0.queue.stats()
    }

    /// What was applied lately, for who wants to follow.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// Whether this server leads.
    pub fn leads(&self) -> bool {
        self.0.raft.leadership().borrow().leading
    }
    /// Now.
    pub(crate) fn now(&self) -> Time {
        self.0.runtime.clock.now()
    }

    /// Writes a command; a refusal of `apply` is an error with Nomad's text.
    pub(crate) async fn commit(&self, command: Command) -> Answer<Committed> {
        let committed = self.0.raft.propose(command).await.map_err(|error| self.not_yet(error))?;
        match committed.response.refused() {
            Some(refused) => Err(refused.clone().into()),
            None => Ok(committed),
        }
    }

    /// Names the servers that have to be upgraded before a command can be used.
    fn not_yet(&self, error: ProposeError) -> EndpointError {
        let behind = self.0.behind.load();
        match error {
            ProposeError::NotYet { .. } if !behind.is_empty() => EndpointError::new(
                503,
                format!("{error}: upgrade the servers that do not ({}), then ask again", behind.join("; ")),
            ),
            other => other.into(),
        }
    }
    /// Notes which servers cannot apply all commands that this one can.
    pub(crate) fn note_behind(&self, behind: Vec<String>) {
        self.0.behind.store(Arc::new(behind));
    }

    /// Waits until everything that was committed before is applied here.
    pub(crate) async fn barrier(&self) -> Answer<u64> {
        Ok(self.0.raft.read_barrier().await?)
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }
    pub(crate) fn plans(&self) -> &Batch<Plans> {
        &self.0.plans
    }
    pub(crate) fn evaluations(&self) -> &Batch<Evaluations> {
        &self.0.evaluations
    }
    pub(crate) fn client_updates(&self) -> &Batch<ClientUpdates> {
        &self.0.client_updates
    }
    pub(crate) fn keystore(&self) -> &Keystore {
        &self.0.keystore
    }
    pub(crate) fn liveness(&self) -> MutexGuard<'_, Liveness> {
        self.0.liveness.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn suspicion(&self) -> &Notify {
        &self.0.suspicion
    }
    pub(crate) fn restore_liveness(&self) {
        let (state, now) = (self.state(), self.now());
        self.liveness().restore(&state, &self.0.config.heartbeats, now);
    }
    /// Notes that a node was heard of; returns the time to its next heartbeat.
    pub(crate) fn heard(&self, id: NodeId) -> nomadd_model::Duration {
        let jitter = (self.0.runtime.seeds.seed() >> 11) as f64 / (1_u64 << 53) as f64;
        self.liveness().heard(id, &self.0.config.heartbeats, jitter, self.now())
    }
    /// Tells the duties that the whole state was replaced.
    pub(crate) fn tell_replaced(&self) {
        self.0.replaced.send_modify(|count| *count += 1);
    }
    pub(crate) fn lane(&self) -> &RwLock<()> {
        &self.0.lane
    }
    pub(crate) fn replaced(&self) -> watch::Receiver<u64> {
        self.0.replaced.subscribe()
    }
    /// The tasks of the present leadership.
    pub(crate) fn duties(&self) -> Arc<Tasks> {
        self.0.duties.load_full()
    }
    pub(crate) fn new_duties(&self) -> Tasks {
        let duties = self.0.runtime.tasks.child();
        self.0.duties.store(Arc::new(duties.clone()));
        duties
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl From<ProposeError> for EndpointError {
    fn from(error: ProposeError) -> Self {
        let status = match &error {
            ProposeError::NotLeader { .. } => return Self::new(500, "No cluster leader"),
            ProposeError::DiskFull { .. } | ProposeError::NotYet { .. } | ProposeError::Stopped => 503,
            ProposeError::TooLarge { .. } => 413,
            ProposeError::Busy => 429,
            _ => 500,
        };
        Self::new(status, error.to_string())
    }
}
