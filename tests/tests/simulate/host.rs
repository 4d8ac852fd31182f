//! A host with a server: the real raft room and the real server over a simulated disk and network; it crashes and comes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nomadd_model::{Duration as Span, Time};
use nomadd_raft::{Bootstrap, Config, Durability, Raft, ServerId};
use nomadd_runtime::Runtime;
use nomadd_server::{Server, Surface};

use super::dice::Dice;
use super::disk::{Copy, Platter, SimDisk};
use super::mutant::Mutant;
use super::net::{From, Life, Net};

/// When the simulations take place.
pub const BEGIN: i64 = 1_800_000_000_000_000_000;

/// A server that runs.
#[derive(Clone)]
pub struct Running {
    pub life: Life,
    pub raft: Raft,
    pub server: Server,
    duties: nomadd_runtime::Tasks,
}

/// A host.
pub struct Host {
    pub number: usize,
    pub address: String,
    pub platter: Arc<Platter>,
    pub running: Option<Running>,
    pub lives: u64,
    /// How far its clock is off, in ms.
    pub skew: i64,
    copies: Vec<(tokio::time::Instant, Copy)>,
    keys: tempfile::TempDir,
    net: Arc<Net>,
    dice: Dice,
}

fn name(number: usize) -> nomadd_raft::Server {
    nomadd_raft::Server { name: format!("s{number}.global"), address: format!("s{number}:4647") }
}

impl Host {
    pub fn new(number: usize, net: &Arc<Net>, dice: Dice) -> Self {
        let platter = Platter::new(dice.clone(), net.mutant);
        let skew = dice.below(1000) as i64 - 500;
        let keys = tempfile::tempdir().unwrap();
        let (address, net) = (name(number).address, Arc::clone(net));
        Self { number, address, platter, running: None, lives: 0, skew, copies: Vec::new(), keys, net, dice }
    }

    /// Opens the disk and serves; why not, in words.
    pub async fn start(&mut self) -> Result<(), String> {
        self.lives += 1;
        let life = Life::begin();
        let runtime = Runtime::simulated(self.dice.seed());
        let clock = runtime.clock.clone();
        let (skew, ticking) = (self.skew, life.clone());
        let begun = self.net.trace.begun();
        let now = move || Time(BEGIN + begun.elapsed().as_nanos() as i64 + skew * 1_000_000);
        clock.set(now());
        tokio::spawn(async move {
            while ticking.goes_on() {
                tokio::time::sleep(Duration::from_millis(10)).await;
                clock.set(now());
            }
        });
        let from = || Arc::new(From { net: Arc::clone(&self.net), address: self.address.clone(), life: life.clone() });
        let mut config = Config::new("/sim/raft".into(), name(self.number), Durability::Sync, runtime.clone());
        config.bootstrap = Bootstrap::Wait;
        config.disk = Arc::new(SimDisk(self.platter.view()));
        config.peers = Some(from());
        config.limits.free = 0;
        config.limits.segment = 64 << 10;
        config.limits.snapshot_threshold = 150;
        config.limits.snapshot_interval = Duration::from_millis(700);
        config.limits.trailing_logs = 30;
        let opened = tokio::time::timeout(Duration::from_secs(20), Raft::open(config)).await;
        let (raft, _) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                life.end();
                let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
                return Err(format!("{error}{}", source.unwrap_or_default()));
            }
            Err(_) => return Err("it does not open its disk".to_owned()),
        };
        let mut config = nomadd_server::Config::new(self.keys.path().to_owned());
        config.name = format!("s{}", self.number).into();
        config.id = raft.id().to_string().into();
        config.rpc_address = self.address.as_str().into();
        config.expect = 0;
        config.dial = Some(from());
        config.schedulers = 1;
        config.heartbeats.min_ttl = Span::from_secs(2);
        config.heartbeats.grace = Span::from_secs(2);
        config.heartbeats.failover_ttl = Span::from_secs(6);
        config.broker.nack_timeout = Span::from_secs(10);
        config.broker.first_delay = Span::from_millis(200);
        config.broker.later_delay = Span::from_secs(1);
        config.broker.delivery_limit = 20;
        let duties = runtime.tasks.child();
        let runtime = Runtime { tasks: duties.clone(), ..runtime };
        let server = Server::start(config, raft.clone(), runtime).map_err(|error| error.to_string())?;
        let (net, mut leadership) = (Arc::clone(&self.net), raft.leadership());
        tokio::spawn(async move {
            while leadership.changed().await.is_ok() {
                let term = leadership.borrow_and_update().term;
                net.leadership_changed(term);
            }
        });
        self.net.listen(&self.address, Arc::new(Surface::new(server.clone())), &life);
        self.running = Some(Running { life, raft, server, duties });
        Ok(())
    }

    /// The power goes.
    pub fn crash(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.life.end();
        self.net.close(&self.address);
        self.platter.crash();
        running.duties.cancel();
        let armed = self.net.armed.load(Ordering::SeqCst);
        match self.net.mutant.filter(|_| armed) {
            Some(Mutant::ReusedId) => self.platter.wipe(),
            Some(Mutant::OldCopy) => {
                let long_ago = |at: &tokio::time::Instant| at.elapsed() > Duration::from_secs(2);
                if let Some((_, copy)) = self.copies.iter().rev().find(|(at, _)| long_ago(at)) {
                    self.platter.restore(copy);
                    self.platter.crash();
                }
            }
            _ => {}
        }
    }

    /// Keeps a copy of the disk, for the mutant that puts it back.
    pub fn copy(&mut self) {
        if self.net.mutant == Some(Mutant::OldCopy) && self.net.armed.load(Ordering::SeqCst) {
            self.copies.push((tokio::time::Instant::now(), self.platter.copy()));
        }
    }

    pub fn id(&self) -> Option<ServerId> {
        self.running.as_ref().map(|running| running.raft.id())
    }
    pub fn listed(&self) -> Option<(ServerId, nomadd_raft::Server)> {
        self.id().map(|id| (id, name(self.number)))
    }
}
