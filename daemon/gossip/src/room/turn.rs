//! The loop that owns the core: datagrams, orders and time go in, what comes out is sent, dialled, kept and shown.
//!
//! One task. Whoever wants something of the core sends it a closure (`Room::with`).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

use super::{Order, Room, Telling, View, dial, folder};
use crate::core::{Action, Answered, Core, Now, PACKET_MOST};
use crate::member::Status;
use crate::seal::{DATAGRAM, open, seal};

/// Exchanges at a time that nobody waits for.
const EXCHANGES_MOST: usize = 16;
/// Datagrams taken before anything else gets its turn.
const DATAGRAMS_AT_ONCE: usize = 64;
/// How long known peers may be unwritten.
const KEEP_AFTER: Duration = Duration::from_secs(2);
/// Large lists are shown at most this often.
const SHOW_AFTER: Duration = Duration::from_millis(50);
/// Lists up to this length are shown at every change.
const SMALL: usize = 100;

/// The loop's own things.
pub struct Turn {
    pub core: Core,
    pub room: Arc<Room>,
    pub socket: UdpSocket,
    pub orders: mpsc::Receiver<Order>,
    pub began: Instant,
}

impl Turn {
    /// Runs until it is cancelled.
    pub async fn run(mut self) {
        let exchanges = Arc::new(Semaphore::new(EXCHANGES_MOST));
        let mut buffer = vec![0; 2 * PACKET_MOST];
        let (mut shown, mut shown_at) = (0, self.began);
        let mut kept = Kept { revision: 0, due: None };
        let mut telling: Option<Telling> = None;
        loop {
            let revision = self.core.table().revision();
            let mut wake = self.core.next().map_or_else(far, |at| self.began + at);
            if revision != shown {
                if self.core.table().len() <= SMALL || shown_at.elapsed() >= SHOW_AFTER {
                    (shown, shown_at) = (revision, Instant::now());
                    self.show(revision);
                } else {
                    wake = wake.min(shown_at + SHOW_AFTER);
                }
            }
            if let Some(tell) = telling.take() {
                tell();
            }
            wake = wake.min(kept.turn(&self, revision).unwrap_or_else(far));
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => self.received(received, &mut buffer),
                order = self.orders.recv() => match order {
                    Some(order) => {
                        let now = self.now();
                        telling = Some(order(&mut self.core, now));
                    }
                    None => return,
                },
                () = sleep_until(wake) => {
                    // What has come while this process stood still counts before what is overdue.
                    self.drain(&mut buffer);
                    let now = self.now();
                    self.core.tick(now);
                }
            }
            self.act(&exchanges);
            *self.room.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                (self.core.dropped(), self.core.suspicions(), self.core.conflict().map(str::to_owned));
        }
    }

    fn now(&self) -> Now {
        Now { at: self.began.elapsed(), wall: self.room.runtime.clock.now() }
    }

    fn received(&mut self, received: io::Result<(usize, SocketAddr)>, buffer: &mut [u8]) {
        match received {
            Ok((length, _)) => {
                self.datagram(buffer.get(..length).unwrap_or_default());
                self.drain(buffer);
            }
            Err(error) => tracing::debug!(%error, "a datagram was not received"),
        }
    }

    fn drain(&mut self, buffer: &mut [u8]) {
        for _ in 0..DATAGRAMS_AT_ONCE {
            let Ok((length, _)) = self.socket.try_recv_from(buffer) else { return };
            self.datagram(buffer.get(..length).unwrap_or_default());
        }
    }

    fn datagram(&mut self, packet: &[u8]) {
        self.room.counters.received();
        if packet.len() > PACKET_MOST {
            return self.room.counters.oversized();
        }
        match open(self.room.keyring.as_ref(), DATAGRAM, packet) {
            Ok(packet) => {
                let now = self.now();
                self.core.packet(now, &packet);
            }
            Err(why) => self.room.counters.shut(why),
        }
    }

    fn act(&mut self, exchanges: &Arc<Semaphore>) {
        for action in self.core.actions() {
            match action {
                Action::Send { to, packet } => {
                    let sealed = seal(self.room.keyring.as_ref(), DATAGRAM, &packet);
                    match sealed.map(|packet| self.socket.try_send_to(&packet, to)) {
                        Some(Ok(_)) => self.room.counters.sent(),
                        // A full socket loses packets as the network does.
                        Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => self.room.counters.overload(),
                        Some(Err(error)) => tracing::debug!(%to, %error, "a datagram was not sent"),
                        None => tracing::warn!("a datagram was not sealed: the system has no randomness"),
                    }
                }
                Action::Exchange { to, why, request } => {
                    let Ok(permit) = Arc::clone(exchanges).try_acquire_owned() else {
                        self.room.counters.overload();
                        continue;
                    };
                    let room = Arc::clone(&self.room);
                    self.room.spawn(async move {
                        let _permit = permit;
                        match dial::exchange(&room, to, why, request).await {
                            Ok(Answered::Done) => {}
                            Ok(answer) => tracing::debug!(%to, ?why, ?answer, "an exchange came to nothing"),
                            Err(error) => tracing::debug!(%to, ?why, %error, "a member was not reached"),
                        }
                    });
                }
                Action::Keep { generation } => {
                    if let Some(folder) = self.room.folder.clone() {
                        let pool = self.room.runtime.pool.clone();
                        self.room.spawn(async move {
                            let kept = pool.run(move || folder::keep_generation(&folder, generation)).await;
                            if !matches!(kept, Ok(Ok(()))) {
                                tracing::warn!("the gossip generation was not kept");
                            }
                        });
                    }
                }
                Action::Warn(sentence) => tracing::warn!("{sentence}"),
            }
        }
    }

    fn show(&self, revision: u64) {
        let members = self.core.table().members();
        let mut counts = BTreeMap::<Status, usize>::new();
        for member in &members {
            *counts.entry(member.status).or_default() += 1;
        }
        let name = &self.core.identity().name;
        let local = members.iter().position(|member| member.name == *name).unwrap_or_default();
        self.room.view.store(Arc::new(View { members, counts, local }));
        self.room.changes.send_replace(revision);
    }
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Writes the known peers some time after the list changed.
struct Kept {
    revision: u64,
    due: Option<Instant>,
}

impl Kept {
    fn turn(&mut self, turn: &Turn, revision: u64) -> Option<Instant> {
        let folder = turn.room.folder.clone()?;
        if self.revision != revision && self.due.is_none() {
            self.due = Some(Instant::now() + KEEP_AFTER);
        }
        let due = self.due?;
        if due > Instant::now() || turn.core.has_left() {
            return Some(due).filter(|_| !turn.core.has_left());
        }
        (self.revision, self.due) = (revision, None);
        let peers: Vec<_> =
            turn.core.present().into_iter().take(folder::PEERS_MOST).map(|identity| identity.address).collect();
        // Alone because everyone failed: those that were known are still the ones to try.
        if !peers.is_empty() {
            let pool = turn.room.runtime.pool.clone();
            turn.room.spawn(async move {
                if !matches!(pool.run(move || folder::keep_peers(&folder, &peers)).await, Ok(Ok(()))) {
                    tracing::warn!("the known gossip members were not kept");
                }
            });
        }
        None
    }
}
