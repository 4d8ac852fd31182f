//! The network: calls and streams between hosts that are late, lost, done twice, or cut off, in one or both directions.
//!
//! Stands where sockets would (`nomadd_rpc::Connection`): what is above is the real code of both sides, what is below (HTTP/2,
//! TLS) has its own tests. Watches what passes for the invariants that only messages show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nomadd_model::{EvaluationId, Text};
use nomadd_raft::Peers;
use nomadd_rpc::{
    Connection, Dial, EvaluationDequeueRequest, EvaluationDequeueResponse, EvaluationDoneRequest, Method,
    NodeAllocationUpdateRequest, NodeAllocationUpdateResponse, Peer, RpcError, Service, Tunnel, TunnelHello, Updates,
    decode, encode,
};
use serde::Serialize;
use tokio::sync::mpsc;

use super::dice::{Dice, Trace};
use super::mutant::Mutant;
use super::tamper;

/// How long a caller waits for a host that says nothing.
const SILENCE: Duration = Duration::from_secs(2);

/// Of a thousand batches of what nodes say so many stray also when the network is well.
const STRAY: u64 = 50;

/// One life of a host: over when it crashes.
#[derive(Clone, Debug)]
pub struct Life(Arc<AtomicBool>);

impl Life {
    pub fn begin() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
    pub fn end(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
    pub fn goes_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Listening {
    service: Arc<dyn Service>,
    life: Life,
}

/// A delivered evaluation, as the messages show it.
#[derive(Clone, Debug)]
struct Delivered {
    job: (Text, Text),
    token: u64,
    worker: u64,
    until: tokio::time::Instant,
}

/// The network of all hosts.
pub struct Net {
    listening: Mutex<BTreeMap<String, Listening>>,
    cut: Mutex<BTreeSet<(String, String)>>,
    slow: Mutex<BTreeSet<String>>,
    delivered: Mutex<BTreeMap<EvaluationId, Delivered>>,
    /// The newest token of each term.
    tokens: Mutex<BTreeMap<u64, u64>>,
    again: Mutex<BTreeMap<String, Vec<u8>>>,
    pub wrong: Mutex<Vec<String>>,
    /// Of a thousand messages so many are lost, or done twice.
    pub lossy: AtomicU64,
    pub doubling: AtomicU64,
    /// The longest delay, in ms.
    pub late: AtomicU64,
    /// The host that is to crash once it has granted a vote, and whom it voted for.
    pub voted: Mutex<Option<(String, String)>>,
    pub dice: Dice,
    pub trace: Trace,
    pub mutant: Option<Mutant>,
    /// Mutants strike only after the cluster is made.
    pub armed: AtomicBool,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Net")
    }
}

impl Net {
    pub fn new(dice: Dice, trace: Trace, mutant: Option<Mutant>) -> Arc<Self> {
        Arc::new(Self {
            listening: Mutex::default(),
            cut: Mutex::default(),
            slow: Mutex::default(),
            delivered: Mutex::default(),
            tokens: Mutex::default(),
            again: Mutex::default(),
            wrong: Mutex::default(),
            lossy: AtomicU64::new(0),
            doubling: AtomicU64::new(0),
            late: AtomicU64::new(3),
            voted: Mutex::default(),
            dice,
            trace,
            mutant,
            armed: AtomicBool::new(false),
        })
    }
    pub fn listen(&self, address: &str, service: Arc<dyn Service>, life: &Life) {
        self.listening.lock().unwrap().insert(address.to_owned(), Listening { service, life: life.clone() });
    }
    pub fn close(&self, address: &str) {
        self.listening.lock().unwrap().remove(address);
    }
    pub fn cut(&self, from: &str, to: &str) {
        self.cut.lock().unwrap().insert((from.to_owned(), to.to_owned()));
    }
    pub fn mend(&self) {
        self.cut.lock().unwrap().clear();
        self.slow.lock().unwrap().clear();
        self.lossy.store(0, Ordering::SeqCst);
        self.doubling.store(0, Ordering::SeqCst);
        self.late.store(3, Ordering::SeqCst);
    }
    pub fn slow(&self, address: &str) {
        self.slow.lock().unwrap().insert(address.to_owned());
    }
    fn is_cut(&self, from: &str, to: &str) -> bool {
        self.cut.lock().unwrap().contains(&(from.to_owned(), to.to_owned()))
    }
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant) && self.armed.load(Ordering::SeqCst)
    }
    /// A way from one host to another, for one life of the first.
    pub fn link(self: &Arc<Self>, from: &str, life: &Life, to: &str) -> Arc<Link> {
        Arc::new(Link { net: Arc::clone(self), from: from.to_owned(), to: to.to_owned(), life: life.clone() })
    }

    /// Whoever leads a term no longer does, or does again: it has forgotten who works on what, and refuses them by their tokens.
    pub fn leadership_changed(&self, term: u64) {
        self.delivered.lock().unwrap().retain(|_, held| held.token >> 40 != term);
    }

    /// A worker that asks for its next evaluation has none in hand, whatever was given to it: that may be given to another.
    fn asked(&self, method: Method, request: &[u8]) {
        if method == Method::EvaluationDequeue
            && let Ok(EvaluationDequeueRequest { worker, .. }) = decode(request)
            && worker != 0
        {
            self.delivered.lock().unwrap().retain(|_, held| held.worker != worker);
        }
    }

    /// Notes who works on which evaluation. Of a job at most one is with a worker as long as a server leads without a break; and
    /// tokens rise for a whole term, so that one of before a break is never that of another worker.
    fn watch(&self, method: Method, request: &[u8], answer: &[u8]) {
        let mut delivered = self.delivered.lock().unwrap();
        match method {
            Method::EvaluationDequeue => {
                let Ok(EvaluationDequeueResponse { evaluation: Some(evaluation), token }) = decode(answer) else {
                    return;
                };
                let now = tokio::time::Instant::now();
                let (term, job) = (token >> 40, (evaluation.namespace.clone(), evaluation.job_id.clone()));
                let newest = self.tokens.lock().unwrap().insert(term, token).unwrap_or(0);
                if token <= newest {
                    let text = format!("token {token} was given after token {newest} of the same term");
                    self.wrong.lock().unwrap().push(text);
                }
                let other = delivered
                    .iter()
                    .find(|(_, held)| held.job == job && held.token >> 40 == term && held.until > now)
                    .map(|(id, held)| (*id, held.token));
                if let Some((other, held)) = other {
                    self.wrong.lock().unwrap().push(format!(
                        "two evaluations of job {} are in flight: {} with token {held} and {} with token {token}",
                        job.1,
                        other.short(),
                        evaluation.id.short()
                    ));
                }
                // Less than the broker waits for a silent worker.
                let until = now + Duration::from_secs(8);
                let worker = decode(request).map_or(0, |request: EvaluationDequeueRequest| request.worker);
                delivered.insert(evaluation.id, Delivered { job, token, worker, until });
            }
            Method::EvaluationAcknowledge | Method::EvaluationRefuse => {
                if let Ok(EvaluationDoneRequest { id, token }) = decode(request)
                    && delivered.get(&id).is_some_and(|held| held.token == token)
                {
                    delivered.remove(&id);
                }
            }
            _ => {}
        }
    }
}

/// The way of one host.
#[derive(Debug)]
pub struct From {
    pub net: Arc<Net>,
    pub address: String,
    pub life: Life,
}
impl Peers for From {
    fn to(&self, server: &nomadd_raft::Server, _: bool) -> Arc<dyn Connection> {
        self.net.link(&self.address, &self.life, &server.address)
    }
}
impl Dial for From {
    fn dial(&self, address: &str) -> Arc<dyn Connection> {
        self.net.link(&self.address, &self.life, address)
    }
}

/// One direction between two hosts.
#[derive(Debug)]
pub struct Link {
    net: Arc<Net>,
    from: String,
    to: String,
    life: Life,
}

impl Link {
    /// A subscription, for who holds the link itself.
    pub async fn subscribe_to(&self, method: Method, request: Vec<u8>) -> Result<Updates, RpcError> {
        Connection::subscribe(self, method, request).await
    }
}

/// The answer of a follower that has written an append, as it is on the wire.
#[derive(Serialize)]
enum Reply {
    Yes(&'static str),
}

impl Link {
    async fn silence(&self) -> RpcError {
        tokio::time::sleep(SILENCE).await;
        RpcError::Silent { address: self.to.clone() }
    }
    /// On its way; whether it arrives.
    async fn way(&self, from: &str, to: &str) -> bool {
        let (net, late) = (&self.net, self.net.late.load(Ordering::SeqCst));
        let mut delay = 100 + net.dice.below(900);
        if net.dice.chance(100) {
            delay += net.dice.below(late * 1000);
        }
        if net.slow.lock().unwrap().contains(from) {
            delay += 20_000 + net.dice.below(180_000);
        }
        let lost = net.dice.chance(net.lossy.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_micros(delay)).await;
        !lost && !net.is_cut(from, to)
    }
    fn reached(&self) -> Result<Listening, RpcError> {
        let found = self.net.listening.lock().unwrap().get(&self.to).cloned();
        found.ok_or_else(|| RpcError::ConnectionRefused { address: self.to.clone() })
    }

    /// What a mutant makes of a request on its way: another request, or an answer at once.
    fn bend(&self, method: Method, request: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        let net = &self.net;
        let hit = || net.dice.chance(200);
        match (net.mutant.filter(|mutant| net.is(*mutant)), method) {
            (Some(Mutant::AppendUnwritten), Method::RaftAppend) if tamper::has_entries(&request) && hit() => {
                Err(encode(&Reply::Yes("Done")).unwrap())
            }
            (
                Some(mutant @ (Mutant::ClockInApply | Mutant::SkippedEntry | Mutant::AppliedTwice)),
                Method::RaftAppend,
            ) => {
                let clock = 1_900_000_000_000_000_000 + net.dice.below(1 << 40) as i64;
                Ok(tamper::append(&request, mutant, clock, hit))
            }
            (Some(Mutant::DroppedStatus), Method::NodeUpdateAllocations) if hit() => {
                Err(encode(&NodeAllocationUpdateResponse { index: 1, reported: 0 }).unwrap())
            }
            _ => Ok(request),
        }
    }

    /// What a node says arrives once more over another server, when newer words of the node may have come already.
    fn stray(&self, request: Vec<u8>) {
        let (net, from, late) = (Arc::clone(&self.net), self.from.clone(), self.net.dice.millis(0, 3000));
        tokio::spawn(async move {
            tokio::time::sleep(late).await;
            let all: Vec<Listening> = net.listening.lock().unwrap().values().cloned().collect();
            if !all.is_empty() {
                let there = net.dice.pick(&all).clone();
                let _answer = there.service.call(&Peer::in_process(), Method::NodeUpdateAllocations, &request).await;
                net.trace.note(format!("{from} again").as_bytes());
            }
        });
    }

    async fn serve(net: Arc<Net>, there: Listening, from: String, method: Method, request: Vec<u8>) -> Answered {
        let peer = Peer::in_process();
        net.asked(method, &request);
        let answer = there.service.call(&peer, method, &request).await;
        if let Ok(answer) = &answer {
            net.watch(method, &request, answer);
            if method == Method::NodeUpdateAllocations && net.is(Mutant::ReorderedStatus) {
                let before = net.again.lock().unwrap().insert(from.clone(), request.clone());
                if let Some(before) = before.filter(|before| older(before, &request) && net.dice.chance(300)) {
                    let unnumbered = NodeAllocationUpdateRequest { number: 0, ..decode(&before).unwrap() };
                    let _answer = there.service.call(&peer, method, &encode(&unnumbered).unwrap()).await;
                }
            }
        }
        answer
    }
}

type Answered = Result<Vec<u8>, RpcError>;

/// Whether both speak of one allocation.
fn older(before: &[u8], after: &[u8]) -> bool {
    let ids = |bytes: &[u8]| {
        let request = decode::<NodeAllocationUpdateRequest>(bytes).unwrap_or_default();
        request.updates.into_iter().map(|update| update.id).collect::<BTreeSet<_>>()
    };
    !ids(before).is_disjoint(&ids(after))
}

/// What may be done twice by a network that loses answers.
const fn may_repeat(method: Method) -> bool {
    matches!(
        method,
        Method::RaftAppend
            | Method::RaftVote
            | Method::RaftPreVote
            | Method::NodeRegister
            | Method::NodeHeartbeat
            | Method::NodeUpdateAllocations
            | Method::ReadIndex
    )
}

#[async_trait::async_trait]
impl Connection for Link {
    async fn call(&self, method: Method, request: Vec<u8>) -> Answered {
        let net = &self.net;
        if !self.life.goes_on() {
            return Err(self.silence().await);
        }
        if !self.way(&self.from, &self.to).await {
            return Err(self.silence().await);
        }
        let there = self.reached()?;
        net.trace.note(format!("{}>{} {method:?} {}", self.from, self.to, request.len()).as_bytes());
        let request = match self.bend(method, request) {
            Ok(request) => request,
            Err(answer) => return Ok(answer),
        };
        if net.is(Mutant::DuplicateEvaluation) && method == Method::EvaluationDequeue {
            let before = net.again.lock().unwrap().remove(&self.to);
            if let Some(before) = before {
                net.watch(method, &request, &before);
                return Ok(before);
            }
        }
        let life = there.life.clone();
        let mut twice = may_repeat(method) && net.dice.chance(net.doubling.load(Ordering::SeqCst));
        if method == Method::NodeUpdateAllocations && (twice || net.dice.chance(STRAY)) {
            twice = false;
            self.stray(request.clone());
        }
        let serve = |there: Listening| {
            tokio::spawn(Self::serve(Arc::clone(net), there, self.from.clone(), method, request.clone()))
        };
        let answered = serve(there.clone());
        if twice {
            drop(serve(there));
        }
        let answered = answered.await;
        if !life.goes_on() || !self.way(&self.to, &self.from).await || !self.life.goes_on() {
            return Err(self.silence().await);
        }
        let answer = answered.map_err(|_| RpcError::Lost { address: self.to.clone(), reason: "it ended".into() })??;
        net.trace.note(format!("{}<{} {method:?} {}", self.from, self.to, answer.len()).as_bytes());
        match method {
            Method::EvaluationDequeue if net.is(Mutant::DuplicateEvaluation) && answer.len() > 40 => {
                net.again.lock().unwrap().insert(self.to.clone(), answer.clone());
            }
            Method::RaftVote if net.voted.lock().unwrap().is_none() => {
                *net.voted.lock().unwrap() = Some((self.to.clone(), self.from.clone()));
            }
            _ => {}
        }
        Ok(answer)
    }

    async fn subscribe(&self, method: Method, request: Vec<u8>) -> Result<Updates, RpcError> {
        if !self.life.goes_on() || !self.way(&self.from, &self.to).await {
            return Err(self.silence().await);
        }
        let there = self.reached()?;
        let (sender, mut pushed) = mpsc::channel(16);
        there.service.subscribe(&Peer::in_process(), method, &request, sender).await?;
        let (relay, receiver) = mpsc::channel(16);
        let (net, from, to, life) = (Arc::clone(&self.net), self.from.clone(), self.to.clone(), self.life.clone());
        let link = net.link(&from, &life, &to);
        tokio::spawn(async move {
            loop {
                let message = tokio::time::timeout(Duration::from_millis(500), pushed.recv()).await;
                if !life.goes_on() || !there.life.goes_on() {
                    return;
                }
                match message {
                    Ok(None) => return,
                    // A stream is TCP: what is late comes, what is cut off ends it.
                    Ok(Some(message)) => {
                        if !link.way(&to, &from).await && net.is_cut(&to, &from) || relay.send(message).await.is_err() {
                            return;
                        }
                    }
                    Err(_) if net.is_cut(&to, &from) || net.is_cut(&from, &to) => return,
                    Err(_) => {}
                }
            }
        });
        Ok(Updates::new(receiver))
    }

    async fn tunnel(&self, _: TunnelHello) -> Result<Tunnel, RpcError> {
        Err(RpcError::Busy)
    }
}
