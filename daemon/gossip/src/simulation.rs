//! Many members over a made-up network: packets are lost, late or kept, hosts die, time is a number. The same seed replays.
//!
//! TCP is made up, too: a lost segment costs a second as the kernel's first retransmission does, a dead host never answers.

mod failure;
mod hostile;
mod life;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use nomadd_model::Time;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::config::Pace;
use crate::core::{Action, Answered, Core, Now, Why};
use crate::identity::Identity;
use crate::member::Status;
use crate::wire::{Request, Response};

enum Event {
    Packet { to: SocketAddr, packet: Vec<u8> },
    Asked { from: usize, to: SocketAddr, why: Why, request: Request, questions: usize },
    Answer { to: usize, from: SocketAddr, why: Why, response: Response, questions: usize },
    Tick(usize),
}

struct Host {
    core: Core,
    /// The tick that is planned.
    ticking: Option<Duration>,
    alive: bool,
    /// What came while the process stood still, when it does.
    paused: Option<Vec<Event>>,
    began: Duration,
}

/// The network and its hosts.
struct World {
    hosts: Vec<Host>,
    at: Duration,
    events: BinaryHeap<Reverse<(Duration, u64)>>,
    contents: BTreeMap<u64, Event>,
    count: u64,
    rng: SmallRng,
    /// Of a datagram, and of a TCP segment.
    loss: f64,
    /// Datagrams do not pass at all.
    no_udp: bool,
    /// Hosts of these do not reach the others.
    cut: BTreeSet<usize>,
    pace: Pace,
    packets: u64,
    /// Every packet, when wanted.
    recorded: Option<Vec<(SocketAddr, Vec<u8>)>>,
    /// Members that somebody saw failed, at what time.
    failures: Vec<(Duration, usize, String)>,
    seen: Vec<u64>,
    conflicts: Vec<(usize, SocketAddr)>,
}

fn address(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (host / 250) as u8, (host % 250 + 1) as u8], 4648))
}

fn name(host: usize) -> String {
    format!("server-{host}.global")
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            hosts: Vec::new(),
            at: Duration::ZERO,
            events: BinaryHeap::new(),
            contents: BTreeMap::new(),
            count: 0,
            rng: SmallRng::seed_from_u64(seed),
            loss: 0.0,
            no_udp: false,
            cut: BTreeSet::new(),
            pace: Pace::default(),
            packets: 0,
            recorded: None,
            failures: Vec::new(),
            seen: Vec::new(),
            conflicts: Vec::new(),
        }
    }

    /// `members` hosts that have joined through the first one and know each other.
    fn joined(seed: u64, members: usize) -> Self {
        let mut world = Self::new(seed);
        for host in 0..members {
            world.start(host, &name(host));
            if host > 0 {
                world.join(host, 0);
            }
            world.run(Duration::from_millis(50));
        }
        world.until(Duration::from_secs(40), "all know all", |world| {
            (0..members).all(|host| world.count(host, Status::Alive) == members)
        });
        world
    }

    fn now(&self) -> Now {
        Now { at: self.at, wall: Time(1_700_000_000_000_000_000 + self.at.as_nanos() as i64) }
    }

    fn start(&mut self, host: usize, name: &str) {
        let generation = (self.now().wall.0 / 1_000_000) as u64 + 1;
        let identity = Identity { name: name.into(), address: address(host), generation };
        let tags = BTreeMap::from([("role".into(), "nomad".into()), ("host".into(), host.to_string().into())]);
        let seed = self.rng.random();
        let core = Core::new(identity, tags, self.pace.clone(), seed, self.now());
        let host_of = Host { core, ticking: None, alive: true, paused: None, began: self.at };
        if host == self.hosts.len() {
            self.hosts.push(host_of);
            self.seen.push(0);
        } else {
            self.hosts[host] = host_of;
        }
        self.after(host);
    }

    fn join(&mut self, host: usize, through: usize) {
        let request = self.hosts[host].core.join();
        self.ask(host, address(through), Why::Join, request, 0);
    }

    /// Has something done at a host, and what comes of it.
    fn with<T>(&mut self, host: usize, work: impl FnOnce(&mut Core, Now) -> T) -> T {
        let now = self.now();
        let done = work(&mut self.hosts[host].core, now);
        self.after(host);
        done
    }

    fn push(&mut self, after: Duration, event: Event) {
        self.count += 1;
        self.events.push(Reverse((self.at + after, self.count)));
        self.contents.insert(self.count, event);
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(200..2000))
    }

    /// Latency of a TCP exchange's one way; each loss waits for a retransmission.
    fn tcp_latency(&mut self) -> Duration {
        let mut latency = self.latency();
        let mut wait = Duration::from_secs(1);
        while self.rng.random_bool(self.loss) {
            latency += wait;
            wait *= 2;
        }
        latency
    }

    fn ask(&mut self, from: usize, to: SocketAddr, why: Why, request: Request, questions: usize) {
        let latency = self.tcp_latency();
        self.push(latency, Event::Asked { from, to, why, request, questions });
    }

    fn after(&mut self, host: usize) {
        let actions = self.hosts[host].core.actions();
        for action in actions {
            match action {
                Action::Send { to, packet } => {
                    self.packets += 1;
                    if let Some(recorded) = &mut self.recorded {
                        recorded.push((to, packet.clone()));
                    }
                    if self.no_udp || self.rng.random_bool(self.loss) || self.is_cut(host, to) {
                        continue;
                    }
                    let latency = self.latency();
                    self.push(latency, Event::Packet { to, packet });
                }
                Action::Exchange { to, why, request } => self.ask(host, to, why, request, 0),
                Action::Keep { .. } | Action::Warn(_) => {}
            }
        }
        if let Some(next) = self.hosts[host].core.next()
            && self.hosts[host].ticking.is_none_or(|ticking| next < ticking)
        {
            self.hosts[host].ticking = Some(next);
            self.push(next.saturating_sub(self.at), Event::Tick(host));
        }
        let revision = self.hosts[host].core.table().revision();
        if self.seen[host] != revision {
            self.seen[host] = revision;
            for member in self.hosts[host].core.table().members() {
                if member.status == Status::Failed {
                    self.failures.push((self.at, host, member.name.to_string()));
                }
            }
        }
    }

    fn is_cut(&self, from: usize, to: SocketAddr) -> bool {
        let to = self.hosts.iter().position(|host| host.core.identity().address == to);
        to.is_some_and(|to| self.cut.contains(&from) != self.cut.contains(&to))
    }

    fn at_address(&self, to: SocketAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.alive && host.core.identity().address == to)
    }

    /// Lets `span` pass.
    fn run(&mut self, span: Duration) {
        let end = self.at + span;
        while let Some(&Reverse((at, count))) = self.events.peek() {
            if at > end {
                break;
            }
            self.events.pop();
            self.at = at;
            if let Some(event) = self.contents.remove(&count) {
                self.happen(event);
            }
        }
        self.at = end;
    }

    /// The process stands still; its sockets go on taking.
    fn pause(&mut self, host: usize) {
        self.hosts[host].paused = Some(Vec::new());
    }

    /// It goes on: what has come is read, then what is overdue is done.
    fn resume(&mut self, host: usize) {
        for event in self.hosts[host].paused.take().unwrap_or_default() {
            self.happen(event);
        }
        self.with(host, |core, now| core.tick(now));
    }

    fn happen(&mut self, event: Event) {
        let at = match &event {
            Event::Packet { to, .. } | Event::Asked { to, .. } => self.at_address(*to),
            Event::Answer { to, .. } | Event::Tick(to) => Some(*to),
        };
        if let Some(held) = at.and_then(|at| self.hosts.get_mut(at)).and_then(|host| host.paused.as_mut()) {
            held.push(event);
            return;
        }
        match event {
            Event::Packet { to, packet } => {
                if let Some(host) = self.at_address(to) {
                    self.with(host, |core, now| core.packet(now, &packet));
                }
            }
            Event::Asked { from, to, why, request, questions } => {
                if self.is_cut(from, to) {
                    return;
                }
                if let Some(host) = self.at_address(to) {
                    let response = self.with(host, |core, now| core.asked(now, request));
                    let latency = self.tcp_latency();
                    self.push(latency, Event::Answer { to: from, from: to, why, response, questions });
                }
            }
            Event::Answer { to, from, why, response, questions } => {
                if !self.hosts[to].alive || self.is_cut(to, from) {
                    return;
                }
                match self.with(to, |core, now| core.answered(now, why, response)) {
                    Answered::Ask(request) if questions < 4 => self.ask(to, from, why, request, questions + 1),
                    Answered::Conflict { holder } => self.conflicts.push((to, holder)),
                    _ => {}
                }
            }
            Event::Tick(host) => {
                let at = self.at;
                let of = &mut self.hosts[host];
                if of.ticking == Some(at) || of.ticking.is_some_and(|ticking| ticking <= at) {
                    of.ticking = None;
                    if of.alive && of.began <= at {
                        self.with(host, |core, now| core.tick(now));
                    }
                }
            }
        }
    }

    /// Lets time pass until `condition` holds; returns how long that took.
    fn until(&mut self, most: Duration, what: &str, condition: impl Fn(&Self) -> bool) -> Duration {
        let began = self.at;
        while !condition(self) {
            assert!(self.at - began < most, "not within {most:?}: {what}\n{}", self.lists());
            self.run(Duration::from_millis(100));
        }
        self.at - began
    }

    /// What everyone sees, for whoever reads why a test failed.
    fn lists(&self) -> String {
        let line = |host: &Host| {
            let members = host.core.table().members();
            let members = members.iter().map(|m| format!("{}@{} {} {}", m.name, m.address, m.status, m.generation));
            format!("{}: {}", host.core.identity().name, members.collect::<Vec<_>>().join(", "))
        };
        self.hosts.iter().take(20).map(line).collect::<Vec<_>>().join("\n")
    }

    fn status(&self, host: usize, of: &str) -> Option<Status> {
        self.hosts[host].core.table().get(of).map(|record| record.status)
    }

    fn count(&self, host: usize, status: Status) -> usize {
        self.hosts[host].core.table().records().filter(|record| record.status == status).count()
    }

    fn everyone_alive(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|host| self.hosts[*host].alive).collect()
    }
}
