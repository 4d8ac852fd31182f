//! The pool as others hold it: starts, joins, leaves, shows members, changes keys.
//!
//! A handle; the state is the core's, in one task (`room/turn.rs`). Dropping the handle stops nothing: `leave`, `stop` or the
//! runtime's shutdown do.

mod count;
mod dial;
mod folder;
mod join;
mod keys;
mod listen;
mod turn;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use nomadd_model::{Text, Time};
use nomadd_runtime::{Runtime, TaskKind, Tasks};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use self::count::Counters;
use self::turn::Turn;
use crate::config::{Config, Pace};
use crate::core::{Core, Now, check_tags};
use crate::error::{ForceLeaveError, KeyringError, StartError, TagsError};
use crate::identity::Identity;
use crate::keyring::Keyring;
use crate::member::{Dropped, JoinReport, KeyringReport, Member, Prune, Stats, Status};
use crate::wire::{KeyOperation, WireKey};

/// Something to be done with the core, in its task. What comes of it is told once the changes are shown, so that who asked
/// for them sees them.
type Order = Box<dyn FnOnce(&mut Core, Now) -> Telling + Send>;
/// Tells who gave an order what came of it.
type Telling = Box<dyn FnOnce() + Send>;
/// Orders that may wait.
const ORDERS_MOST: usize = 256;

/// What the loop last showed.
struct View {
    members: Vec<Member>,
    counts: BTreeMap<Status, usize>,
    /// Where this member stands in the list.
    local: usize,
}

/// What the tasks of a pool share.
struct Room {
    name: Text,
    advertise: SocketAddr,
    keyring: Option<Keyring>,
    folder: Option<PathBuf>,
    pace: Pace,
    runtime: Runtime,
    tasks: Tasks,
    orders: mpsc::Sender<Order>,
    view: ArcSwap<View>,
    changes: watch::Sender<u64>,
    counters: Counters,
    counts: Mutex<(Dropped, u64, Option<String>)>,
}

impl Room {
    /// Has something done with the core; none when the room has stopped.
    async fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut Core, Now) -> T + Send + 'static) -> Option<T> {
        let (done, answer) = oneshot::channel();
        let order: Order = Box::new(move |core, now| {
            let result = work(core, now);
            Box::new(move || drop(done.send(result)))
        });
        self.orders.send(order).await.ok()?;
        answer.await.ok()
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(TaskKind::Gossip, work);
    }
}

/// A member of a pool; a clone is the same.
#[derive(Clone)]
pub struct Gossip(Arc<Room>);

impl std::fmt::Debug for Gossip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gossip").field("name", &self.0.name).field("advertise", &self.0.advertise).finish()
    }
}

impl Gossip {
    /// Listens, and is a pool of one; members of the last run are looked for in the background. Errors name the setting.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config { name, bind, mut advertise, tags, keyring, folder, pace, runtime } = config;
        check_tags(&tags)?;
        let (listener, socket, bound) = listen_on(bind).await?;
        if advertise.port() == 0 {
            advertise.set_port(bound.port());
        }
        if advertise.ip().is_unspecified() || advertise.ip().is_multicast() {
            return Err(StartError::Advertise(advertise));
        }
        let wall = u64::try_from(runtime.clock.now().0 / 1_000_000).unwrap_or_default();
        let (generation, peers) = match folder.clone() {
            None => (wall, Vec::new()),
            Some(folder) => {
                let failed = |source| StartError::Folder { folder: folder.clone(), source };
                let path = folder.clone();
                let read = move || Ok((folder::next_generation(&path, wall)?, folder::peers(&path)));
                let done: std::io::Result<_> =
                    runtime.pool.run(read).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                done.map_err(failed)?
            }
        };
        let identity = Identity { name: name.clone(), address: advertise, generation };
        if !identity.is_sound() {
            return Err(StartError::Name(name));
        }
        let began = Instant::now();
        let now = Now { at: Duration::ZERO, wall: runtime.clock.now() };
        let core = Core::new(identity, tags, pace.clone(), runtime.seeds.seed(), now);
        let (orders, waiting) = mpsc::channel(ORDERS_MOST);
        let view = View { members: core.table().members(), counts: BTreeMap::from([(Status::Alive, 1)]), local: 0 };
        let room = Arc::new(Room {
            name,
            advertise,
            keyring,
            folder,
            pace,
            tasks: runtime.tasks.child(),
            runtime,
            orders,
            view: ArcSwap::from_pointee(view),
            changes: watch::Sender::new(core.table().revision()),
            counters: Counters::default(),
            counts: Mutex::default(),
        });
        room.spawn(Turn { core, room: Arc::clone(&room), socket, orders: waiting, began }.run());
        room.spawn(listen::serve(Arc::clone(&room), listener));
        if !peers.is_empty() {
            room.spawn(join::rejoin(Arc::clone(&room), peers));
        }
        Ok(Self(room))
    }

    /// Joins the pools of these addresses: `HOST[:PORT]`, `IP[:PORT]`, `[IPv6]:PORT`; without a port the own one.
    pub async fn join(&self, addresses: &[String]) -> JoinReport {
        join::join(&self.0, addresses).await
    }

    /// Everyone that is known, this member included, by name.
    pub fn members(&self) -> Vec<Member> {
        self.0.view.load().members.clone()
    }

    /// Changes whenever `members` does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// This member.
    pub fn local(&self) -> Member {
        let view = self.0.view.load();
        view.members.get(view.local).cloned().unwrap_or_else(|| Member {
            name: self.0.name.clone(),
            address: self.0.advertise,
            tags: BTreeMap::new(),
            status: Status::Left,
            generation: 0,
            since: Time(0),
        })
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        let (dropped, suspicions, conflict) = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counters = &self.0.counters;
        Stats {
            received: counters.received.load(std::sync::atomic::Ordering::Relaxed),
            sent: counters.sent.load(std::sync::atomic::Ordering::Relaxed),
            dropped: counters.dropped(dropped),
            members: self.0.view.load().counts.clone(),
            suspicions,
            conflict,
        }
    }

    /// Replaces what is said of this member. Errors when it does not fit into a packet.
    pub async fn set_tags(&self, tags: BTreeMap<Text, Text>) -> Result<(), TagsError> {
        self.0.with(move |core, now| core.set_tags(now, tags)).await.unwrap_or(Err(TagsError::Stopped))
    }

    /// Leaves in order: says so, waits until it was said, goes. Takes `Pace::leave` and an exchange at most; afterwards the
    /// room answers nobody and remembers nobody.
    pub async fn leave(&self) {
        let room = &self.0;
        let Some(anyone) = room.with(|core, now| core.begin_leave(now)).await else { return };
        if anyone {
            let said = async {
                while room.with(|core, _| core.is_told()).await == Some(false) {
                    sleep(room.pace.gossip).await;
                }
            };
            let _ = timeout(room.pace.leave, said).await;
        }
        let told = room.with(|core, now| core.end_leave(now)).await.unwrap_or_default();
        let telling = told.iter().map(|(member, request)| dial::question(room, member.address, request));
        let _ = timeout(room.pace.leave, join_all(telling)).await;
        if let Some(folder) = room.folder.clone() {
            let forgotten = room.runtime.pool.run(move || folder::keep_peers(&folder, &[])).await;
            if !matches!(forgotten, Ok(Ok(()))) {
                tracing::warn!("the known gossip members were not forgotten");
            }
        }
    }

    /// Stops without a word, as a crash would.
    pub async fn stop(&self) {
        self.0.tasks.shutdown().await;
    }

    /// Makes a member that is down leave the lists of all (`left`), or vanish from them.
    pub async fn force_leave(&self, name: &str, prune: Prune) -> Result<(), ForceLeaveError> {
        let name = Text::from(name);
        let order = self.0.with(move |core, now| core.force_leave(now, &name, prune));
        order.await.unwrap_or(Err(ForceLeaveError::Stopped))
    }

    /// The keys of all members.
    pub async fn keyring_list(&self) -> Result<KeyringReport, KeyringError> {
        keys::everywhere(&self.0, KeyOperation::List {}).await
    }
    /// Adds a key everywhere.
    pub async fn keyring_install(&self, key: &str) -> Result<KeyringReport, KeyringError> {
        keys::everywhere(&self.0, KeyOperation::Install { key: WireKey(key.to_owned()) }).await
    }
    /// Seals with an installed key everywhere.
    pub async fn keyring_use(&self, key: &str) -> Result<KeyringReport, KeyringError> {
        keys::everywhere(&self.0, KeyOperation::Use { key: WireKey(key.to_owned()) }).await
    }
    /// Takes a key that is not in use out of every ring.
    pub async fn keyring_remove(&self, key: &str) -> Result<KeyringReport, KeyringError> {
        keys::everywhere(&self.0, KeyOperation::Remove { key: WireKey(key.to_owned()) }).await
    }
}

/// One port for UDP and TCP; port 0 looks for one that is free for both.
async fn listen_on(address: SocketAddr) -> Result<(TcpListener, UdpSocket, SocketAddr), StartError> {
    let failed = |protocol| move |source| StartError::Bind { address, protocol, source };
    let mut attempts = 0;
    loop {
        attempts += 1;
        let listener = TcpListener::bind(address).await.map_err(failed("TCP"))?;
        let bound = listener.local_addr().map_err(failed("TCP"))?;
        match UdpSocket::bind(bound).await {
            Ok(socket) => return Ok((listener, socket, bound)),
            Err(_) if address.port() == 0 && attempts < 50 => {}
            Err(source) => return Err(failed("UDP")(source)),
        }
    }
}
