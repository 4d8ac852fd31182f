//! What goes wrong: partitions, crashes, disks, delays; each for a while, several at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::dice::Dice;
use super::host::Host;
use super::net::Net;
use super::node::FakeNode;

/// What ends by itself.
enum Undo {
    Restart(usize),
    Disk(usize),
    Mend,
}

/// The spirit of contradiction.
pub struct Nemesis {
    dice: Dice,
    net: Arc<Net>,
    nodes: Vec<String>,
    next: Instant,
    undo: Vec<(Instant, Undo)>,
    /// Crashes whoever grants the next vote.
    waits_for_vote: bool,
    copied: Instant,
}

type Step = Result<(), Vec<String>>;

impl Nemesis {
    pub fn new(dice: Dice, net: &Arc<Net>, nodes: &[FakeNode]) -> Self {
        let nodes = nodes.iter().map(|node| node.address.clone()).collect();
        let now = Instant::now();
        let next = now + Duration::from_millis(500);
        Self { dice, net: Arc::clone(net), nodes, next, undo: Vec::new(), waits_for_vote: false, copied: now }
    }

    fn say(&self, line: String) {
        self.net.trace.say(line);
    }
    fn later(&mut self, least: u64, most: u64, undo: Undo) {
        self.undo.push((Instant::now() + self.dice.millis(least, most), undo));
    }

    /// Crashes a server; it comes back.
    fn crash(&mut self, hosts: &mut [Host], at: usize, least: u64, most: u64) {
        if hosts[at].running.is_none() {
            return;
        }
        self.say(format!("s{at} crashes"));
        hosts[at].crash();
        self.later(least, most, Undo::Restart(at));
    }

    async fn restart(&mut self, hosts: &mut [Host], at: usize) -> Step {
        if hosts[at].running.is_some() {
            return Ok(());
        }
        hosts[at].platter.full.store(false, Ordering::SeqCst);
        hosts[at].platter.failing.store(false, Ordering::SeqCst);
        match hosts[at].start().await {
            Ok(()) => {
                self.say(format!("s{at} is back"));
                Ok(())
            }
            Err(error) => Err(vec![format!("s{at} does not start again: {error}")]),
        }
    }

    /// Ends what is due, and begins something now and then.
    pub async fn step(&mut self, hosts: &mut [Host]) -> Step {
        let now = Instant::now();
        if now - self.copied > Duration::from_millis(300) {
            self.copied = now;
            hosts.iter_mut().for_each(Host::copy);
        }
        let mut due = Vec::new();
        self.undo.retain_mut(|(at, undo)| {
            let over = *at <= now;
            if over {
                due.push(std::mem::replace(undo, Undo::Mend));
            }
            !over
        });
        for undo in due {
            match undo {
                Undo::Restart(at) => self.restart(hosts, at).await?,
                Undo::Disk(at) => {
                    self.say(format!("the disk of s{at} is well again"));
                    hosts[at].platter.full.store(false, Ordering::SeqCst);
                    hosts[at].platter.failing.store(false, Ordering::SeqCst);
                }
                Undo::Mend => {
                    self.say("the network is whole".to_owned());
                    self.net.mend();
                }
            }
        }
        if self.waits_for_vote {
            let voted = self.net.voted.lock().unwrap().take();
            if let Some((voter, candidate)) = voted {
                self.waits_for_vote = false;
                self.after_vote(hosts, &voter, &candidate);
            }
        }
        if now >= self.next {
            self.next = now + self.dice.millis(100, 1100);
            self.strike(hosts);
        }
        Ok(())
    }

    /// Whoever granted a vote crashes, and whom it voted for is cut off: the vote must be remembered.
    fn after_vote(&mut self, hosts: &mut [Host], voter: &str, candidate: &str) {
        let at = |address: &str| hosts.iter().position(|host| host.address == address);
        let (Some(voter), Some(candidate)) = (at(voter), at(candidate)) else { return };
        self.say(format!("s{voter} has voted for s{candidate}, which is cut off"));
        self.isolate(hosts, candidate);
        self.crash(hosts, voter, 10, 60);
        self.later(1500, 3000, Undo::Mend);
    }

    fn isolate(&self, hosts: &[Host], at: usize) {
        for other in hosts.iter().filter(|other| other.number != at) {
            self.net.cut(&hosts[at].address, &other.address);
            self.net.cut(&other.address, &hosts[at].address);
        }
    }

    fn leader(hosts: &[Host]) -> Option<usize> {
        hosts.iter().position(|host| host.running.as_ref().is_some_and(|running| running.server.leads()))
    }

    fn strike(&mut self, hosts: &mut [Host]) {
        let any = self.dice.below(hosts.len() as u64) as usize;
        let one = if self.dice.chance(500) { Self::leader(hosts).unwrap_or(any) } else { any };
        match self.dice.below(15) {
            0 | 1 => {
                self.say(format!("s{one} is cut off"));
                self.isolate(hosts, one);
                self.later(200, 2500, Undo::Mend);
            }
            2 => {
                let side: Vec<bool> = hosts.iter().map(|_| self.dice.chance(500)).collect();
                self.say(format!("the network is split: {side:?}"));
                for a in 0..hosts.len() {
                    for b in (0..hosts.len()).filter(|b| side[a] != side[*b]) {
                        self.net.cut(&hosts[a].address, &hosts[b].address);
                    }
                }
                self.later(200, 2500, Undo::Mend);
            }
            3 | 4 => {
                let other = self.dice.below(hosts.len() as u64) as usize;
                self.say(format!("nothing comes from s{one} to s{other}"));
                self.net.cut(&hosts[one].address, &hosts[other].address);
                if self.dice.chance(500) {
                    self.say(format!("nothing comes from s{one} at all"));
                    for host in hosts.iter() {
                        self.net.cut(&hosts[one].address, &host.address);
                    }
                }
                self.later(200, 2500, Undo::Mend);
            }
            5 | 6 => self.crash(hosts, one, 10, 1500),
            7 => {
                self.say("the power goes".to_owned());
                for at in 0..hosts.len() {
                    self.crash(hosts, at, 10, 400);
                }
            }
            8 => {
                // The leader falls with what only it may have, while the others are young.
                let other = (one + 1) % hosts.len();
                self.crash(hosts, one, 500, 2500);
                self.crash(hosts, other, 10, 200);
            }
            9 => {
                self.say(format!("the disk of s{one} fails to sync"));
                hosts[one].platter.failing.store(true, Ordering::SeqCst);
                self.later(50, 1500, Undo::Disk(one));
            }
            10 => {
                self.say(format!("the disk of s{one} is full"));
                hosts[one].platter.full.store(true, Ordering::SeqCst);
                self.later(50, 1500, Undo::Disk(one));
            }
            11 => {
                // A slow disk shows itself as a slow server.
                self.say(format!("s{one} is slow"));
                self.net.slow(&hosts[one].address);
                self.later(200, 2000, Undo::Mend);
            }
            12 => {
                self.say("messages are late, lost and doubled".to_owned());
                self.net.late.store(self.dice.below(400), Ordering::SeqCst);
                self.net.lossy.store(self.dice.below(150), Ordering::SeqCst);
                self.net.doubling.store(self.dice.below(200), Ordering::SeqCst);
                self.later(300, 2500, Undo::Mend);
            }
            13 => {
                let node = self.dice.pick(&self.nodes).clone();
                self.say(format!("node {node} is cut off"));
                for host in hosts.iter() {
                    self.net.cut(&node, &host.address);
                    self.net.cut(&host.address, &node);
                }
                self.later(1000, 6000, Undo::Mend);
            }
            _ => {
                self.say(format!("s{one} is cut off until somebody else is voted for"));
                self.isolate(hosts, one);
                *self.net.voted.lock().unwrap() = None;
                self.waits_for_vote = true;
                self.later(800, 2500, Undo::Mend);
            }
        }
    }

    /// Everything works again.
    pub async fn heal(&mut self, hosts: &mut [Host]) -> Step {
        self.net.mend();
        self.undo.clear();
        for at in 0..hosts.len() {
            hosts[at].platter.full.store(false, Ordering::SeqCst);
            hosts[at].platter.failing.store(false, Ordering::SeqCst);
            self.restart(hosts, at).await?;
        }
        Ok(())
    }
}
