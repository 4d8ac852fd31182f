//! Several rafts in one process: connections that call `answer`, links that can be cut, servers that are killed and come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nomadd_raft::disk::{Faults, FaultyDisk, RealDisk};
use nomadd_raft::{Bootstrap, Config, Durability, Peers, ProposeError, Raft, Server, ServerId};
use nomadd_rpc::{Connection, Method, RpcError, Tunnel, TunnelHello, Updates};
use nomadd_runtime::Runtime;

use crate::support::{DEADLINE, Folder, has, upsert, wait_until};

/// The network: who listens where, and which ways are cut.
#[derive(Debug)]
pub struct Links {
    listening: Mutex<BTreeMap<String, Raft>>,
    cut: Mutex<BTreeSet<(String, String)>>,
    handle: tokio::runtime::Handle,
    pub bulk: AtomicU64,
    pub on_consensus: AtomicU64,
}

impl Links {
    fn is_cut(&self, from: &str, to: &str) -> bool {
        self.cut.lock().unwrap().contains(&(from.to_owned(), to.to_owned()))
    }
    /// Packets from one to the other vanish from now on.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        self.cut.lock().unwrap().insert((from.to_owned(), to.to_owned()));
    }
    pub fn heal(&self) {
        self.cut.lock().unwrap().clear();
    }
    pub fn listen(&self, address: &str, raft: &Raft) {
        self.listening.lock().unwrap().insert(address.to_owned(), raft.clone());
    }
    pub fn close(&self, address: &str) {
        self.listening.lock().unwrap().remove(address);
    }
}

#[derive(Debug)]
struct From {
    links: Arc<Links>,
    address: String,
}
impl Peers for From {
    fn to(&self, server: &Server, bulk: bool) -> Arc<dyn Connection> {
        Arc::new(Link { links: Arc::clone(&self.links), from: self.address.clone(), to: server.address.clone(), bulk })
    }
}

#[derive(Debug)]
struct Link {
    links: Arc<Links>,
    from: String,
    to: String,
    bulk: bool,
}
impl Link {
    async fn silence(&self) -> RpcError {
        tokio::time::sleep(Duration::from_secs(2)).await;
        RpcError::Silent { address: self.to.clone() }
    }
}
#[async_trait::async_trait]
impl Connection for Link {
    async fn call(&self, method: Method, request: Vec<u8>) -> Result<Vec<u8>, RpcError> {
        assert_eq!(self.bulk, method == Method::RaftSnapshot, "snapshots and nothing else go over the bulk connection");
        let counter = if self.bulk { &self.links.bulk } else { &self.links.on_consensus };
        counter.fetch_add(request.len() as u64, Ordering::Relaxed);
        if self.links.is_cut(&self.from, &self.to) {
            return Err(self.silence().await);
        }
        let raft = self.links.listening.lock().unwrap().get(&self.to).cloned();
        let raft = raft.ok_or(RpcError::ConnectionRefused { address: self.to.clone() })?;
        let answered = self.links.handle.spawn(async move { raft.answer(method, &request).await }).await;
        if self.links.is_cut(&self.to, &self.from) {
            return Err(self.silence().await);
        }
        answered.map_err(|_| RpcError::Lost { address: self.to.clone(), reason: "it ended".into() })?
    }
    async fn subscribe(&self, _: Method, _: Vec<u8>) -> Result<Updates, RpcError> {
        Err(RpcError::Busy)
    }
    async fn tunnel(&self, _: TunnelHello) -> Result<Tunnel, RpcError> {
        Err(RpcError::Busy)
    }
}

/// One server of the cluster.
pub struct Node {
    pub folder: Arc<Folder>,
    pub server: Server,
    pub faults: Arc<Faults>,
    pub raft: Option<Raft>,
}
impl Node {
    pub fn raft(&self) -> &Raft {
        self.raft.as_ref().unwrap()
    }
}

/// The servers.
pub struct Cluster {
    pub links: Arc<Links>,
    pub nodes: Vec<Node>,
    pub change: fn(&mut Config),
    /// The seed of a simulation.
    pub simulated: Option<u64>,
}

impl Cluster {
    /// So many servers that wait for a cluster.
    pub async fn waiting(count: usize, change: fn(&mut Config)) -> Self {
        let links = Links {
            listening: Mutex::default(),
            cut: Mutex::default(),
            handle: tokio::runtime::Handle::current(),
            bulk: AtomicU64::new(0),
            on_consensus: AtomicU64::new(0),
        };
        let mut cluster = Self { links: Arc::new(links), nodes: Vec::new(), change, simulated: None };
        for number in 0..count {
            cluster.add(&format!("s{number}")).await;
        }
        cluster
    }
    /// So many servers that are a cluster.
    pub async fn of(count: usize, change: fn(&mut Config)) -> Self {
        let cluster = Self::waiting(count, change).await;
        let list = cluster.list();
        cluster.nodes[0].raft().bootstrap(list).await.unwrap();
        cluster.leader().await;
        wait_until("all know the servers", || {
            cluster.nodes.iter().all(|node| node.raft().configuration().members.len() == count)
        })
        .await;
        cluster
    }
    pub fn list(&self) -> Vec<(ServerId, Server)> {
        self.nodes.iter().map(|node| (node.raft().id(), node.server.clone())).collect()
    }
    /// One more server, which waits.
    pub async fn add(&mut self, name: &str) -> usize {
        let server = Server { name: format!("{name}.global"), address: format!("{name}:4647") };
        let (folder, faults) = (Arc::new(Folder::new()), Arc::new(Faults::default()));
        self.nodes.push(Node { folder, server, faults, raft: None });
        let at = self.nodes.len() - 1;
        self.start(at).await;
        at
    }
    pub fn config(&self, at: usize) -> Config {
        let node = &self.nodes[at];
        let (runtime, durability) = match self.simulated {
            Some(seed) => (Runtime::simulated(seed * 10 + at as u64), Durability::NoSync),
            None => (Runtime::real(2), Durability::Sync),
        };
        let mut config = Config::new(node.folder.0.clone(), node.server.clone(), durability, runtime);
        config.limits.free = 0;
        config.bootstrap = Bootstrap::Wait;
        config.disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk { durability }), Arc::clone(&node.faults)));
        config.peers = Some(Arc::new(From { links: Arc::clone(&self.links), address: node.server.address.clone() }));
        (self.change)(&mut config);
        config
    }
    /// Opens a server's folder and listens.
    pub async fn start(&mut self, at: usize) {
        let deadline = Instant::now() + DEADLINE;
        let raft = loop {
            match Raft::open(self.config(at)).await {
                Ok((raft, _)) => break raft,
                // The one before is still letting go of it.
                Err(nomadd_raft::OpenError::InUse { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        self.links.listen(&self.nodes[at].server.address, &raft);
        self.nodes[at].raft = Some(raft);
    }
    /// Ends a server without a word to the others.
    pub fn kill(&mut self, at: usize) {
        let address = self.nodes[at].server.address.clone();
        self.links.close(&address);
        for other in 0..self.nodes.len() {
            self.links.cut_one_way(&address, &self.nodes[other].server.address);
        }
        drop(self.nodes[at].raft.take());
    }
    /// Starts a killed server again.
    pub async fn revive(&mut self, at: usize) {
        self.start(at).await;
        let address = &self.nodes[at].server.address;
        self.links.cut.lock().unwrap().retain(|(from, _)| from != address);
    }
    /// Ends a server in order.
    pub async fn stop(&mut self, at: usize) {
        let raft = self.nodes[at].raft.take().unwrap();
        raft.shutdown().await;
        self.links.close(&self.nodes[at].server.address);
    }
    /// Nothing passes between the two sides.
    pub fn partition(&self, side: &[usize]) {
        for (at, one) in self.nodes.iter().enumerate() {
            for (other_at, other) in self.nodes.iter().enumerate() {
                if side.contains(&at) != side.contains(&other_at) {
                    self.links.cut_one_way(&one.server.address, &other.server.address);
                }
            }
        }
    }
    pub fn leading(&self) -> Vec<usize> {
        let leads = |node: &Node| node.raft.as_ref().is_some_and(|raft| raft.leadership().borrow().leading);
        (0..self.nodes.len()).filter(|at| leads(&self.nodes[*at])).collect()
    }
    /// The one that leads with the newest term, once there is one.
    pub async fn leader(&self) -> usize {
        self.leader_but(None).await
    }
    pub async fn leader_but(&self, not: Option<usize>) -> usize {
        let mut found = None;
        wait_until("a leader", || {
            let term = |at: &usize| self.nodes[*at].raft().leadership().borrow().term;
            found = self.leading().into_iter().filter(|at| Some(*at) != not).max_by_key(term);
            found.is_some()
        })
        .await;
        found.unwrap()
    }
    /// The leader, in virtual time: the only one that has one of the newest term behind it.
    pub async fn settle(&self) -> usize {
        for _ in 0..10_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let term = |at: &usize| self.nodes[*at].raft().leadership().borrow().term;
            let newest = (0..self.nodes.len()).map(|at| term(&at)).max();
            if let [leader] = self.leading()[..]
                && Some(term(&leader)) == newest
            {
                return leader;
            }
        }
        panic!("nobody leads");
    }
    /// Writes through whoever leads until it is taken; how long that took.
    pub async fn write(&self, name: &str) -> Duration {
        let begun = Instant::now();
        loop {
            for node in &self.nodes {
                let Some(raft) = &node.raft else { continue };
                if !raft.leadership().borrow().leading {
                    continue;
                }
                let proposed = tokio::time::timeout(Duration::from_millis(500), raft.propose(upsert(name))).await;
                match proposed {
                    Ok(Ok(_)) => return begun.elapsed(),
                    Ok(Err(
                        ProposeError::NotLeader { .. } | ProposeError::Uncertain | ProposeError::Storage { .. },
                    ))
                    | Err(_) => {}
                    Ok(Err(other)) => panic!("{other}"),
                }
            }
            assert!(begun.elapsed() < DEADLINE, "nobody took {name}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    /// Waits until every server that runs has it.
    pub async fn everywhere(&self, name: &str) {
        wait_until(&format!("{name} everywhere"), || {
            self.nodes.iter().filter_map(|node| node.raft.as_ref()).all(|raft| has(raft, name))
        })
        .await;
    }
}
