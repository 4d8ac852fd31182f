//! The way to the other servers, as openraft asks for it. Appends are pipelined: several are under way, in order; the receiver
//! puts them in order again (`answer/order.rs`), since calls may overtake each other.
//!
//! Nothing here decides: what comes back is translated, and a refusal is kept for the operator (`refusal.rs`).

mod snapshot;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use nomadd_rpc::{Connection, Method, RpcError, encode};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use openraft::{EntryPayload, OptionalSend};
use serde::de::DeserializeOwned;

use crate::membership::{Server, ServerId};
use crate::shared::Shared;
use crate::snapshots::SnapshotFile;
use crate::types::{LogId, Types, Vote};
use crate::wire::{self, AppendAnswer, AppendHead, Refusal, Reply, VoteAnswer, VoteAsk, Why, Word, WordAnswer};

/// So many appends to one server are under way at a time. More means smaller batches, not more throughput.
const WINDOW: usize = 4;
/// An append that is not answered by then is lost; heartbeats have openraft's own, shorter limit.
const APPEND: Duration = Duration::from_secs(3);

/// Connects to the other servers of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Network(pub(crate) Arc<Shared>);

/// The way to one server.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    shared: Arc<Shared>,
    id: ServerId,
    /// As openraft knew it when it asked; its newest address is looked up each time unless `fixed`.
    server: Server,
    fixed: bool,
}

/// Why a server could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// There is no network.
    #[error("server {id} at {address} cannot be reached: this server has no connections with others")]
    NoWay {
        /// Whom.
        id: ServerId,
        /// Where.
        address: String,
    },
    /// The call failed.
    #[error("server {name} ({id}) was not reached")]
    Rpc {
        /// Whom.
        id: ServerId,
        /// Its name.
        name: String,
        /// Why.
        source: RpcError,
    },
    /// No answer in time.
    #[error("server {name} ({id}) did not answer in time")]
    Late {
        /// Whom.
        id: ServerId,
        /// Its name.
        name: String,
    },
    /// It said no.
    #[error("server {name} ({id}) refuses: {text}")]
    Refused {
        /// Whom.
        id: ServerId,
        /// Its name.
        name: String,
        /// Its words.
        text: String,
    },
    /// Its log lost what it had acknowledged.
    #[error(
        "server {name} ({id}) has lost log entries that it had acknowledged: its disk was lost or an old copy was put in its place; remove it from the cluster (operator raft remove-peer), clear its data folder, and let it join anew"
    )]
    Reverted {
        /// Whom.
        id: ServerId,
        /// Its name.
        name: String,
    },
}

impl NoAnswer {
    fn rpc(&self) -> RPCError<Types> {
        match self {
            Self::Rpc { source, .. } if source.may_have_happened() => RPCError::Network(NetworkError::new(self)),
            Self::Late { .. } => RPCError::Network(NetworkError::new(self)),
            _ => RPCError::Unreachable(Unreachable::new(self)),
        }
    }
}

impl Peer {
    pub(crate) fn new(shared: Arc<Shared>, id: ServerId, server: Server) -> Self {
        Self { shared, id, server, fixed: false }
    }
    /// The server at exactly this address, whatever the membership says.
    pub(crate) fn fixed(shared: Arc<Shared>, id: ServerId, server: &Server) -> Self {
        Self { shared, id, server: server.clone(), fixed: true }
    }

    fn server(&self) -> Server {
        if self.fixed {
            return self.server.clone();
        }
        self.shared.servers.load().get(&self.id).cloned().unwrap_or_else(|| self.server.clone())
    }

    fn connection(&self, bulk: bool) -> Result<Arc<dyn Connection>, NoAnswer> {
        let server = self.server();
        match &self.shared.peers {
            Some(peers) => Ok(peers.to(&server, bulk)),
            None => Err(NoAnswer::NoWay { id: self.id, address: server.address }),
        }
    }

    /// Asks, and takes a refusal to heart.
    async fn ask<A: DeserializeOwned>(&self, method: Method, request: Vec<u8>, limit: Duration) -> Result<A, NoAnswer> {
        let (id, name) = (self.id, || self.server().name);
        let connection = self.connection(method == Method::RaftSnapshot)?;
        let answer = tokio::time::timeout(limit, connection.call(method, request)).await;
        let failed = |source| NoAnswer::Rpc { id, name: name(), source };
        let answer = answer.map_err(|_| NoAnswer::Late { id, name: name() })?.map_err(failed)?;
        match nomadd_rpc::decode::<Reply<A>>(&answer).map_err(|error| failed(error.into()))? {
            Reply::Yes(answer) => Ok(answer),
            Reply::No(Refusal { why, text }) => {
                if matches!(why, Why::Removed | Why::Lost | Why::Cloned) {
                    self.shared.refuse(why, &text);
                }
                Err(NoAnswer::Refused { id, name: name(), text })
            }
        }
    }

    /// One append; entries beyond what may be in one message are left for the next.
    async fn append(
        &self,
        (stream, place): (u64, u64),
        request: AppendEntriesRequest<Types>,
    ) -> Result<StreamAppendResult<Types>, RPCError<Types>> {
        let AppendEntriesRequest { vote, prev_log_id, entries, leader_commit } = request;
        let term = vote.leader_id.term;
        let had = self.shared.acknowledged(self.id, term);
        let last = entries.last().map_or(prev_log_id, |entry| Some(entry.log_id));
        let head = AppendHead {
            head: self.shared.head(self.id),
            stream,
            place,
            vote: (&vote).into(),
            previous: wire::wire_id(prev_log_id),
            committed: wire::wire_id(leader_commit),
        };
        let request = wire::write_append(&head, &entries);
        drop(entries);
        let failed = |source| NoAnswer::Rpc { id: self.id, name: self.server().name, source }.rpc();
        let answer = self.ask(Method::RaftAppend, request.map_err(failed)?, APPEND).await;
        match answer.map_err(|error| error.rpc())? {
            AppendAnswer::Done => {
                self.shared.acknowledge(self.id, term, last);
                Ok(Ok(last))
            }
            AppendAnswer::Conflict => {
                let Some(previous) = prev_log_id else {
                    // Nothing comes before the first entry, so nothing can conflict with it.
                    return Err(failed(RpcError::Refused("it answered a conflict before the first entry".into())));
                };
                if Some(previous) <= had {
                    let error = NoAnswer::Reverted { id: self.id, name: self.server().name };
                    tracing::error!(%error, "a server must not take part");
                    let text = "this server's log has lost entries that it had acknowledged: its disk was lost, or an old copy of its data folder was put in place; remove it from the cluster (operator raft remove-peer), clear its data folder, and let it join anew";
                    self.tell(Refusal { why: Why::Lost, text: text.to_owned() }).await;
                    return Err(error.rpc());
                }
                if Some(previous) <= self.shared.acknowledged(self.id, term) {
                    // It overtook the entries that it follows, and they have arrived since: the answer is out of date.
                    let late = NoAnswer::Late { id: self.id, name: self.server().name };
                    return Err(late.rpc());
                }
                Ok(Err(StreamAppendError::Conflict(previous)))
            }
            AppendAnswer::Newer(vote) => Ok(Err(StreamAppendError::HigherVote(vote.into()))),
        }
    }

    async fn ask_for_vote(
        &self,
        method: Method,
        request: VoteRequest<Types>,
        limit: Duration,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let ask = VoteAsk {
            head: self.shared.head(self.id),
            vote: (&request.vote).into(),
            last: wire::wire_id(request.last_log_id),
            transfer: request.leadership_transfer,
        };
        let failed = |source| NoAnswer::Rpc { id: self.id, name: self.server().name, source }.rpc();
        let request = encode(&ask).map_err(|error| failed(error.into()))?;
        let answer: VoteAnswer = self.ask(method, request, limit).await.map_err(|error| error.rpc())?;
        let vote: Vote = answer.vote.into();
        Ok(VoteResponse::new(vote, wire::plain_id(answer.last), answer.granted))
    }

    /// Says something that is not about the log, and hears the answer.
    pub(crate) async fn say(&self, word: &Word, limit: Duration) -> Result<WordAnswer, NoAnswer> {
        let failed = |source| NoAnswer::Rpc { id: self.id, name: self.server().name, source };
        let request = encode(word).map_err(|error| failed(error.into()))?;
        self.ask(Method::RaftTransfer, request, limit).await
    }

    /// Tells a server that it must not take part, as far as it hears it.
    pub(crate) async fn tell(&self, refusal: Refusal) {
        let word = Word::Out { head: self.shared.head(self.id), refusal };
        if let Err(error) = self.say(&word, Duration::from_secs(2)).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "it did not hear why it must not take part");
        }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;
    async fn new_client(&mut self, id: ServerId, server: &Server) -> Peer {
        Peer::new(Arc::clone(&self.0), id, server.clone())
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.append((0, 0), request).await.map(AppendEntriesResponse::from)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        let stream = self.shared.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let peer = &*self;
        let answers = input
            .enumerate()
            .map(move |(place, request)| peer.append((stream, place as u64), request))
            .buffered(WINDOW);
        let answers: BoxStream<'s, _> = Box::pin(answers);
        Box::pin(std::future::ready(Ok(answers)))
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_for_vote(Method::RaftVote, request, option.hard_ttl()).await
    }
    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_for_vote(Method::RaftPreVote, request, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = snapshot::send(self, vote, snapshot.snapshot) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let word = Word::Lead {
            head: self.shared.head(self.id),
            vote: request.from_leader().into(),
            to: *request.to_node_id(),
            last: wire::wire_id(request.last_log_id().copied()),
        };
        let answer = self.say(&word, option.hard_ttl()).await.map_err(|error| error.rpc())?;
        Ok(match answer.reason {
            None => Ok(()),
            Some(reason) => {
                tracing::warn!(%reason, server = %answer.name, "the leader could not hand over");
                let actual: Option<LogId> = wire::plain_id(answer.last);
                Err(TransferLeaderError::LogNotFlushed { expected: request.last_log_id().copied(), actual })
            }
        })
    }

    fn backoff(&self) -> Option<Backoff> {
        let waits = (0..5).map(|doublings| Duration::from_millis(20 << doublings));
        Some(Backoff::new(waits.chain(std::iter::repeat(Duration::from_millis(400)))))
    }
}

/// What entries weigh on the way, in bytes.
pub(crate) fn weight(payload: &EntryPayload<crate::types::Proposal, ServerId, Server>) -> u64 {
    match payload {
        EntryPayload::Normal(proposal) => proposal.stored.len() as u64 + 32,
        _ => 512,
    }
}
