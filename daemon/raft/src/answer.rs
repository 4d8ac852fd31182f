//! What other servers ask of this one: appends, votes, snapshots, and words about who takes part.
//!
//! Who must not take part is told so here, with a sentence: a server that was removed, one whose log was lost, one of two with
//! the same id. openraft sees only what passed. Called by the agent's RPC service, on its runtime.

mod incoming;
mod order;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use nomadd_rpc::{Method, RpcError, encode};
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::Fatal;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest};
use openraft::{Instant as _, ServerState};
use serde::Serialize;
use tokio::time::Instant;

pub(crate) use incoming::Incoming;
pub(crate) use order::Order;

use crate::handle::Raft;
use crate::membership::ServerId;
use crate::shared::{Core, Shared};
use crate::types::{Types, Vote};
use crate::wire::{self, AppendAnswer, Head, Refusal, Reply, SnapshotAsk, VoteAnswer, VoteAsk, Why, Word, WordAnswer};

/// A server that was heard so lately is alive.
const ALIVE: Duration = Duration::from_secs(3);

/// Who was heard under which id.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<HashMap<ServerId, Sender>>);

#[derive(Clone, Debug)]
struct Sender {
    instance: u64,
    address: String,
    at: Instant,
}

fn no<T>(why: Why, text: impl Into<String>) -> Reply<T> {
    Reply::No(Refusal { why, text: text.into() })
}
fn ended<T>(error: impl std::fmt::Display) -> Reply<T> {
    no(Why::Away, format!("its consensus has ended: {error}"))
}
fn packed<T: Serialize>(reply: &Reply<T>) -> Result<Vec<u8>, RpcError> {
    Ok(encode(reply)?)
}

impl Raft {
    /// Answers a call of another server; only for the methods that begin with `Raft`. Errors: a request that is none.
    pub async fn answer(&self, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError> {
        let shared = self.shared();
        match method {
            Method::RaftAppend => {
                let read = wire::read_append(request);
                let (head, entries) = read.map_err(|reason| RpcError::Refused(format!("not an append: {reason}")))?;
                let core = match admit::<AppendAnswer>(shared, &head.head, Taking::Append) {
                    Ok(core) => core,
                    Err(refusal) => return packed(&refusal),
                };
                let request = AppendEntriesRequest {
                    vote: head.vote.into(),
                    prev_log_id: wire::plain_id(head.previous),
                    entries,
                    leader_commit: wire::plain_id(head.committed),
                };
                let turn = shared.order.turn(head.head.instance, head.stream, head.place).await;
                let mut answer = std::pin::pin!(core.raft.append_entries(request));
                // The first poll hands it over; the next append may follow before this one is on the disk.
                let at_once = std::future::poll_fn(|context| {
                    Poll::Ready(match answer.as_mut().poll(context) {
                        Poll::Ready(answer) => Some(answer),
                        Poll::Pending => None,
                    })
                });
                let at_once = at_once.await;
                drop(turn);
                let answer = match at_once {
                    Some(answer) => answer,
                    None => answer.await,
                };
                packed(&match answer {
                    Ok(AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_)) => {
                        Reply::Yes(AppendAnswer::Done)
                    }
                    Ok(AppendEntriesResponse::Conflict) => Reply::Yes(AppendAnswer::Conflict),
                    Ok(AppendEntriesResponse::HigherVote(vote)) => Reply::Yes(AppendAnswer::Newer((&vote).into())),
                    Err(error) => ended(error),
                })
            }
            Method::RaftVote | Method::RaftPreVote => {
                let ask: VoteAsk = wire::read(request)?;
                packed(&vote(shared, method, ask).await)
            }
            Method::RaftSnapshot => {
                let ask: SnapshotAsk = wire::read(request)?;
                let core = match admit::<wire::SnapshotAnswer>(shared, &ask.head, Taking::Append) {
                    Ok(core) => core,
                    Err(refusal) => return packed(&refusal),
                };
                packed(&incoming::piece(shared, &core, ask).await)
            }
            Method::RaftTransfer => packed(&word(shared, wire::read(request)?).await),
            other => Err(RpcError::Refused(format!("{other} is no method of the raft room"))),
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    Append,
    Vote,
}

/// Whether a request may pass; the running consensus if so.
fn admit<T>(shared: &Shared, head: &Head, taking: Taking) -> Result<Arc<Core>, Reply<T>> {
    if head.to != shared.id {
        let text = format!("this is server {} ({}), not {}", shared.me.name, shared.id, head.to);
        return Err(no(Why::Stranger, text));
    }
    let Some(core) = shared.core.load_full() else {
        return Err(no(Why::Away, shared.trouble.load().to_string()));
    };
    match shared.refusal() {
        // A leader that appends to it has it among its members again.
        Some((Why::Removed, _)) if taking == Taking::Append => shared.wanted_again(),
        Some((_, text)) => return Err(no(Why::Away, format!("it takes no part: {text}"))),
        None => {}
    }
    if let Some(text) = cloned(shared, &core, head) {
        tracing::error!(server = %head.from, address = %head.address, "two processes have the same server id");
        return Err(no(Why::Cloned, text));
    }
    Ok(core)
}

/// Whether another living process has the sender's id and a better claim to it; the sentence for the sender if so.
fn cloned(shared: &Shared, core: &Core, head: &Head) -> Option<String> {
    let servers = shared.servers.load();
    let known = servers.get(&head.from)?;
    let mut heard = shared.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
    let before = heard.get(&head.from).cloned();
    let other = before.filter(|before| before.instance != head.instance && before.address != head.address);
    let heard_elsewhere = other.is_some_and(|other| other.at.elapsed() < ALIVE && known.address == other.address);
    // A leader hears its followers by their answers, at the address that the membership names.
    let answers_elsewhere = known.address != head.address && {
        let metrics = core.raft.metrics();
        let metrics = metrics.borrow_watched();
        let contact = metrics.heartbeat.as_ref().and_then(|all| all.get(&head.from).copied().flatten());
        contact.is_some_and(|at| at.into_inner().elapsed() < ALIVE)
    };
    if !heard_elsewhere && !answers_elsewhere {
        let sender = Sender { instance: head.instance, address: head.address.clone(), at: Instant::now() };
        heard.insert(head.from, sender);
        return None;
    }
    Some(format!(
        "the id {} of this server at {} is also answered by a server at {}: its data folder was copied; stop one of the two, clear the raft folder of the copy, and let it join as a server of its own",
        head.from, head.address, known.address
    ))
}

/// Whether the sender was removed: newer members than it knows, and it is none of them.
fn removed(shared: &Shared, core: &Core, head: &Head) -> Option<String> {
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    let committed = &metrics.committed_membership_config;
    let at = committed.log_id().as_ref().map_or(0, |id| id.index);
    let member = |id| {
        committed.membership().get_node(&id).is_some() || metrics.membership_config.membership().get_node(&id).is_some()
    };
    if head.membership.is_none_or(|known| at <= known) || !member(shared.id) || member(head.from) {
        return None;
    }
    Some(format!(
        "this server ({}, {}) was removed from the cluster with log entry {at}: clear its raft folder and let it join as a new server, or stop it",
        head.name, head.from
    ))
}

async fn vote(shared: &Shared, method: Method, ask: VoteAsk) -> Reply<VoteAnswer> {
    let core = match admit(shared, &ask.head, Taking::Vote) {
        Ok(core) => core,
        Err(refusal) => return refusal,
    };
    if let Some(text) = removed(shared, &core, &ask.head) {
        return no(Why::Removed, text);
    }
    let last = wire::plain_id(ask.last);
    // At the first election of a cluster every log but the candidate's is empty. Later an empty log is one that was lost, or
    // that of a newcomer: neither may decide what was committed.
    if core.log.is_empty() && last.is_some_and(|last| last.index > 1) {
        return no(Why::Away, "its log is empty, so it votes for nobody: the leader fills it first");
    }
    let request = VoteRequest { vote: ask.vote.into(), last_log_id: last, leadership_transfer: ask.transfer };
    let answer =
        if method == Method::RaftVote { core.raft.vote(request).await } else { core.raft.pre_vote(request).await };
    match answer {
        Ok(answer) => Reply::Yes(VoteAnswer {
            vote: (&answer.vote).into(),
            granted: answer.vote_granted,
            last: wire::wire_id(answer.last_log_id),
        }),
        Err(error) => ended(error),
    }
}

async fn word(shared: &Shared, word: Word) -> Reply<WordAnswer> {
    let core = shared.core.load_full();
    let mut answer = WordAnswer {
        id: shared.id,
        name: shared.me.name.clone(),
        instance: shared.instance,
        last: wire::wire_id(core.as_ref().and_then(|core| core.log.last())),
        // One that was removed may be taken in again with what it has; one that lost or shares its folder may not.
        refused: shared.refusal().filter(|(why, _)| *why != Why::Removed).map(|(_, text)| text.to_string()),
        reason: None,
    };
    match word {
        Word::Who { .. } => {}
        Word::Out { head, refusal } => {
            if head.to != shared.id {
                return no(Why::Stranger, format!("this is server {} ({})", shared.me.name, shared.id));
            }
            if matches!(refusal.why, Why::Removed | Why::Lost | Why::Cloned) {
                shared.refuse(refusal.why, &refusal.text);
            }
        }
        Word::Lead { head, vote, to, last } => {
            let core = match admit(shared, &head, Taking::Vote) {
                Ok(core) => core,
                Err(refusal) => return refusal,
            };
            let vote: Vote = vote.into();
            let request: TransferLeaderRequest<Types> = TransferLeaderRequest::new(vote, to, wire::plain_id(last));
            let handled: Result<_, Fatal<Types>> = core.raft.handle_transfer_leader(request).await;
            match handled {
                Ok(Ok(())) => {}
                Ok(Err(error)) => answer.reason = Some(error.to_string()),
                Err(error) => return ended(error),
            }
        }
    }
    Reply::Yes(answer)
}

/// Whether this server leads at the moment, as openraft sees it.
pub(crate) fn leads(core: &Core) -> bool {
    core.raft.server_metrics().borrow_watched().state == ServerState::Leader
}
