//! What the records of the log mean, and their bodies. Kinds are append-only.

use nomadd_model::NodeId;
use openraft::EntryPayload;

use crate::frame::u64_at;
use crate::membership::{ServerId, StoredServers};
use crate::types::{Entry, LogId, Payload, Proposal, Vote, log_id};

/// Record kinds.
pub(crate) const ENTRY: u8 = 1;
pub(crate) const VOTE: u8 = 2;
pub(crate) const COMMITTED: u8 = 3;
pub(crate) const TRUNCATE: u8 = 4;

/// Bytes of an entry's body before its payload: index, term, payload kind.
pub(crate) const ENTRY_HEAD: usize = 17;
const BLANK: u8 = 0;
const COMMAND: u8 = 1;
pub(crate) const MEMBERSHIP: u8 = 2;

/// An entry in the form in which it goes to the disk.
#[derive(Debug)]
pub(crate) struct StoredEntry {
    pub(crate) id: LogId,
    pub(crate) head: [u8; ENTRY_HEAD],
    pub(crate) payload: bytes::Bytes,
}

/// Brings an entry into its stored form.
pub(crate) fn entry(entry: &Entry) -> Result<StoredEntry, rmp_serde::encode::Error> {
    let (kind, payload) = match &entry.payload {
        EntryPayload::Blank => (BLANK, bytes::Bytes::new()),
        EntryPayload::Normal(proposal) => (COMMAND, proposal.stored.clone()),
        EntryPayload::Membership(membership) => {
            (MEMBERSHIP, rmp_serde::to_vec_named(&StoredServers::from(membership))?.into())
        }
    };
    let mut head = [0; ENTRY_HEAD];
    head[..8].copy_from_slice(&entry.log_id.index.to_le_bytes());
    head[8..16].copy_from_slice(&entry.log_id.leader_id.term.to_le_bytes());
    head[16] = kind;
    Ok(StoredEntry { id: entry.log_id, head, payload })
}

/// Index, term and payload kind of a stored entry.
pub(crate) fn entry_head(body: &[u8]) -> Option<(u64, u64, u8)> {
    Some((u64_at(body, 0)?, u64_at(body, 8)?, *body.get(16)?))
}

/// An entry from its stored form; why not, in words.
pub(crate) fn read_entry(body: &[u8]) -> Result<Entry, String> {
    read_with(body, bytes::Bytes::copy_from_slice)
}

/// The same, sharing the bytes with where they came from.
pub(crate) fn read_shared(body: &bytes::Bytes) -> Result<Entry, String> {
    read_with(body, |rest| body.slice_ref(rest))
}

fn read_with(body: &[u8], bytes: impl FnOnce(&[u8]) -> bytes::Bytes) -> Result<Entry, String> {
    let (index, term, kind) = entry_head(body).ok_or("it is too short")?;
    let rest = body.get(ENTRY_HEAD..).unwrap_or_default();
    let payload: Payload = match kind {
        BLANK => EntryPayload::Blank,
        COMMAND => EntryPayload::Normal(Proposal::stored(bytes(rest))),
        MEMBERSHIP => {
            let stored: StoredServers = rmp_serde::from_slice(rest).map_err(|error| error.to_string())?;
            EntryPayload::Membership(stored.membership()?)
        }
        other => return Err(format!("its kind {other} is not known to this release: a newer one wrote it")),
    };
    Ok(Entry { log_id: log_id(term, index), payload })
}

pub(crate) fn vote(vote: &Vote) -> [u8; 25] {
    let mut body = [0; 25];
    body[..8].copy_from_slice(&vote.leader_id.term.to_le_bytes());
    body[8..24].copy_from_slice(&vote.leader_id.voted_for.0.0);
    body[24] = vote.committed.into();
    body
}
pub(crate) fn read_vote(body: &[u8]) -> Option<Vote> {
    let id = ServerId(NodeId(body.get(8..24)?.try_into().ok()?));
    let term = u64_at(body, 0)?;
    Some(if *body.get(24)? == 1 { Vote::new_committed(term, id) } else { Vote::new(term, id) })
}

pub(crate) fn id(id: LogId) -> [u8; 16] {
    let mut body = [0; 16];
    body[..8].copy_from_slice(&id.index.to_le_bytes());
    body[8..].copy_from_slice(&id.leader_id.term.to_le_bytes());
    body
}
pub(crate) fn read_id(body: &[u8]) -> Option<LogId> {
    Some(log_id(u64_at(body, 8)?, u64_at(body, 0)?))
}

/// The body of a truncation: how many entries stay, counted from index 0, and the term of the last of them.
pub(crate) fn truncate(stay: u64, last: Option<LogId>) -> [u8; 16] {
    let mut body = [0; 16];
    body[..8].copy_from_slice(&stay.to_le_bytes());
    body[8..].copy_from_slice(&last.map_or(0, |id| id.leader_id.term).to_le_bytes());
    body
}
/// How many entries stay, and the last of them where that is known: early builds did not write it.
pub(crate) fn read_truncate(body: &[u8]) -> Option<(u64, Option<LogId>)> {
    let stay = u64_at(body, 0)?;
    let last = stay.checked_sub(1).and_then(|index| Some(log_id(u64_at(body, 8)?, index)));
    Some((stay, last))
}
