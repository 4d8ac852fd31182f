//! The other servers: connections with them, who leads, and up to where a consistent read has to wait.
//!
//! Knows them from the raft configuration (who they are) and nothing of gossip. Asks and waits; what is answered to others is
//! `surface`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nomadd_model::{Duration as Span, NodeId, Time};
use nomadd_raft::ServerId;
use nomadd_rpc::connection::call;
use nomadd_rpc::{
    Connection, Dial, Method, NodeHereRequest, NodeHereResponse, Reach, ReadIndexRequest, ReadIndexResponse, RpcError,
};
use nomadd_runtime::TaskKind;
use tokio::sync::oneshot;

use crate::autopilot::Settings;
use crate::cluster::Cluster;
use crate::server::Server;

/// How long a server may take to answer a small question.
const QUESTION: Duration = Duration::from_secs(2);
/// How long a server keeps to whom it forms a cluster with.
const PROMISE: Span = Span::from_secs(30);
/// How long a read waits until this server has applied what it must show.
const CATCHING_UP: Duration = Duration::from_secs(5);

/// Another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its id.
    pub id: ServerId,
    /// `NAME.REGION`.
    pub name: String,
    /// `HOST:PORT` of its RPC port.
    pub address: String,
    /// Whether it leads.
    pub leader: bool,
}

/// What a server keeps of the others.
#[derive(Debug)]
pub(crate) struct Peers {
    dial: Option<Arc<dyn Dial>>,
    /// No other server is in the raft configuration, as far as the leader knows.
    alone: AtomicBool,
    reads: Mutex<Reads>,
    /// With whom this server forms a new cluster, and until when it keeps to that.
    promised: Mutex<Option<(NodeId, Time)>>,
    cluster: OnceLock<Cluster>,
    /// Held while wrappings of root keys are written.
    pub(crate) keyring: tokio::sync::Mutex<()>,
}

/// Consistent reads that wait for an index: all that come while one question is under way share the next.
#[derive(Debug, Default)]
struct Reads {
    asking: bool,
    waiting: Vec<oneshot::Sender<Option<u64>>>,
}

impl Peers {
    pub(crate) fn new(dial: Option<Arc<dyn Dial>>) -> Self {
        Self {
            dial,
            alone: AtomicBool::new(true),
            reads: Mutex::default(),
            promised: Mutex::default(),
            cluster: OnceLock::new(),
            keyring: tokio::sync::Mutex::default(),
        }
    }
}

/// Whether this server is the only one of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// There is no other.
    Alone,
    /// There are others, or will be in a moment.
    Others,
}

impl Server {
    /// The other servers of the raft configuration.
    pub fn others(&self) -> Vec<Other> {
        let own = self.raft().id();
        let leader = self.raft().leadership().borrow().leader;
        let members = self.raft().configuration().members.into_iter();
        members
            .filter(|member| member.id != own)
            .map(|member| Other {
                id: member.id,
                name: member.server.name,
                address: member.server.address,
                leader: leader == Some(member.id),
            })
            .collect()
    }

    /// The leader, when it is another server.
    pub fn leader(&self) -> Option<Other> {
        self.others().into_iter().find(|other| other.leader)
    }

    /// A connection with the server at `HOST:PORT`.
    pub fn dial(&self, address: &str) -> Result<Arc<dyn Connection>, RpcError> {
        self.peers().dial.as_ref().map(|dial| dial.dial(address)).ok_or(RpcError::Unreachable)
    }

    /// Whether the host of `HOST:PORT` answers to a bare connection, refuses it, or is silent.
    pub(crate) async fn probe(&self, address: &str) -> Reach {
        match &self.peers().dial {
            Some(dial) if !address.is_empty() => dial.probe(address).await,
            _ => Reach::Unknown,
        }
    }

    /// A connection with the leader, which is another server.
    pub(crate) fn leader_connection(&self) -> Result<Arc<dyn Connection>, RpcError> {
        let leader = self.leader().ok_or(RpcError::NoLeader)?;
        self.dial(&leader.address)
    }

    /// Whether there are other servers.
    pub fn company(&self) -> Company {
        if self.peers().alone.load(Ordering::Acquire) { Company::Alone } else { Company::Others }
    }
    /// Notes whether there are other servers. The leader says so before it takes the first one in.
    pub(crate) fn note_company(&self, company: Company) {
        self.peers().alone.store(company == Company::Alone, Ordering::Release);
    }
    /// Looks at the raft configuration.
    pub(crate) fn look_for_company(&self) {
        self.note_company(if self.others().is_empty() { Company::Alone } else { Company::Others });
    }

    /// Waits until everything that was acknowledged before the call is applied here.
    pub async fn catch_up(&self) -> Result<(), RpcError> {
        let (sender, receiver) = oneshot::channel();
        let ask = {
            let mut reads = self.peers().reads.lock().unwrap_or_else(PoisonError::into_inner);
            reads.waiting.push(sender);
            !std::mem::replace(&mut reads.asking, true)
        };
        if ask {
            self.runtime().tasks.spawn(TaskKind::Request, keep_asking(self.clone()));
        }
        let index = receiver.await.ok().flatten().ok_or(RpcError::NoLeader)?;
        match tokio::time::timeout(CATCHING_UP, self.raft().wait_for(index)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(RpcError::Busy),
        }
    }

    /// The index that a consistent read has to show.
    async fn read_index(&self) -> Result<u64, RpcError> {
        if self.leads() {
            return self.raft().read_barrier().await.map_err(|_| RpcError::NoLeader);
        }
        let connection = self.leader_connection()?;
        let asked = call::<_, ReadIndexResponse>(&*connection, Method::ReadIndex, &ReadIndexRequest {});
        Ok(within(QUESTION, asked).await?.index)
    }

    /// Promises to form a new cluster with one server only; whether the promise is given.
    pub(crate) fn promise(&self, id: NodeId) -> bool {
        if !self.raft().configuration().members.is_empty() {
            return false;
        }
        let now = self.now();
        let mut promised = self.peers().promised.lock().unwrap_or_else(PoisonError::into_inner);
        match *promised {
            Some((other, until)) if other != id && until > now => false,
            _ => {
                *promised = Some((id, now.plus(PROMISE)));
                true
            }
        }
    }

    /// The servers as gossip knows them; none where this agent has no gossip.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.peers().cluster.get()
    }
    pub(crate) fn note_cluster(&self, cluster: Cluster) {
        // An agent has one gossip.
        let _twice = self.peers().cluster.set(cluster);
    }

    /// How servers take care of each other.
    pub fn autopilot(&self) -> Settings {
        self.state().autopilot_configuration().map_or(self.config().autopilot, Settings::from)
    }

    /// The server that holds the control stream of a node, when another one does.
    pub async fn who_holds(&self, node_id: NodeId) -> Option<Other> {
        let (sender, mut answers) = tokio::sync::mpsc::channel(1);
        for other in self.others() {
            let (server, sender) = (self.clone(), sender.clone());
            self.runtime().tasks.spawn(TaskKind::Request, async move {
                let Ok(connection) = server.dial(&other.address) else { return };
                let request = NodeHereRequest { node_id, ..NodeHereRequest::default() };
                let asked = call::<_, NodeHereResponse>(&*connection, Method::NodeHere, &request);
                if matches!(within(QUESTION, asked).await, Ok(answer) if answer.here) {
                    // Only the first answer counts.
                    let _late = sender.try_send(other);
                }
            });
        }
        drop(sender);
        answers.recv().await
    }
}

/// Asks as long as somebody waits; who came while a question was under way is answered by the next.
async fn keep_asking(server: Server) {
    loop {
        let waiting = {
            let mut reads = server.peers().reads.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = std::mem::take(&mut reads.waiting);
            reads.asking = !waiting.is_empty();
            waiting
        };
        if waiting.is_empty() {
            return;
        }
        let index = server.read_index().await.ok();
        for waiting in waiting {
            // Who went away needs no answer.
            let _gone = waiting.send(index);
        }
    }
}

/// A call with a limit of its own.
pub(crate) async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, RpcError>>,
) -> Result<T, RpcError> {
    tokio::time::timeout(limit, asked).await.unwrap_or(Err(RpcError::Unreachable))
}
