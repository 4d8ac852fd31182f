//! What servers say to each other about the log: MessagePack with names behind a format byte (`nomadd_rpc::encode`), so that the
//! previous and the next release understand it. Entries travel in the form in which they stand in the log.
//!
//! Every request says who asks and who is meant; every answer may be a refusal with its reason. `network.rs` asks, `answer.rs`
//! answers.

use bytes::Bytes;
use nomadd_rpc::{CodecError, RpcError, decode, encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::log::record;
use crate::membership::ServerId;
use crate::types::{Entry, LogId, Vote, log_id};

/// The most bytes of entries in one append, unless one entry alone has more.
pub(crate) const BATCH: u64 = 1 << 20;
/// The most bytes of a snapshot in one message.
pub(crate) const CHUNK: usize = 1 << 20;

/// Who asks whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) from: ServerId,
    pub(crate) to: ServerId,
    /// The sender's name and address as it knows them itself.
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) address: String,
    /// Made when the sender's process opened its folder: tells two processes with one id apart.
    #[serde(default)]
    pub(crate) instance: u64,
    /// The index of the membership that the sender goes by.
    #[serde(default)]
    pub(crate) membership: Option<u64>,
}

/// A vote on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireVote {
    term: u64,
    server: ServerId,
    committed: bool,
}
impl From<&Vote> for WireVote {
    fn from(vote: &Vote) -> Self {
        Self { term: vote.leader_id.term, server: vote.leader_id.voted_for, committed: vote.committed }
    }
}
impl From<WireVote> for Vote {
    fn from(vote: WireVote) -> Self {
        if vote.committed { Self::new_committed(vote.term, vote.server) } else { Self::new(vote.term, vote.server) }
    }
}

/// The id of a log entry on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireId {
    term: u64,
    index: u64,
}
impl From<LogId> for WireId {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, index: id.index }
    }
}
impl From<WireId> for LogId {
    fn from(id: WireId) -> Self {
        log_id(id.term, id.index)
    }
}
pub(crate) fn wire_id(id: Option<LogId>) -> Option<WireId> {
    id.map(WireId::from)
}
pub(crate) fn plain_id(id: Option<WireId>) -> Option<LogId> {
    id.map(LogId::from)
}

/// Before the entries of an append.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct AppendHead {
    pub(crate) head: Head,
    /// The stream of appends that this belongs to, and its place there; stream 0 has no order.
    #[serde(default)]
    pub(crate) stream: u64,
    #[serde(default)]
    pub(crate) place: u64,
    pub(crate) vote: WireVote,
    #[serde(default)]
    pub(crate) previous: Option<WireId>,
    #[serde(default)]
    pub(crate) committed: Option<WireId>,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AppendAnswer {
    /// All of it is on the disk.
    Done,
    /// The entry before the first is not there.
    Conflict,
    /// There is a newer leader.
    Newer(WireVote),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct VoteAsk {
    pub(crate) head: Head,
    pub(crate) vote: WireVote,
    #[serde(default)]
    pub(crate) last: Option<WireId>,
    #[serde(default)]
    pub(crate) transfer: bool,
}
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct VoteAnswer {
    pub(crate) vote: WireVote,
    pub(crate) granted: bool,
    #[serde(default)]
    pub(crate) last: Option<WireId>,
}

/// A piece of a snapshot; an empty one asks how far the snapshot is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SnapshotAsk {
    pub(crate) head: Head,
    pub(crate) vote: WireVote,
    #[serde(default)]
    pub(crate) last: Option<WireId>,
    /// Bytes of the whole.
    pub(crate) size: u64,
    /// CRC-32C of the whole.
    pub(crate) checksum: u32,
    pub(crate) offset: u64,
    #[serde(default)]
    pub(crate) data: nomadd_model::Bytes,
    /// CRC-32C of `data`.
    #[serde(default)]
    pub(crate) crc: u32,
}
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SnapshotAnswer {
    pub(crate) vote: WireVote,
    /// From where on it wants the snapshot.
    pub(crate) want: u64,
    /// Whether it is installed.
    #[serde(default)]
    pub(crate) installed: bool,
    /// Why it was not.
    #[serde(default)]
    pub(crate) failed: Option<String>,
}

/// What travels as `RaftTransfer`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// The leader hands over to a server.
    Lead { head: Head, vote: WireVote, to: ServerId, last: Option<WireId> },
    /// Who are you? `to` of the head is not looked at.
    Who { head: Head },
    /// You must not take part, and why.
    Out { head: Head, refusal: Refusal },
}
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WordAnswer {
    pub(crate) id: ServerId,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) instance: u64,
    /// Its last entry.
    #[serde(default)]
    pub(crate) last: Option<WireId>,
    /// Why it takes no part, if so.
    #[serde(default)]
    pub(crate) refused: Option<String>,
    /// Why it cannot lead, if that was asked.
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

/// Why a server must not take part, or is not the one that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Why {
    /// It was removed from the cluster.
    Removed,
    /// Its log is not what it was: the disk was lost.
    Lost,
    /// Another process has the same id.
    Cloned,
    /// Somebody else was meant.
    Stranger,
    /// It cannot answer at the moment.
    Away,
}
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) why: Why,
    /// For the operator.
    pub(crate) text: String,
}

/// An answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply<T> {
    Yes(T),
    No(Refusal),
}

/// Writes an append: length of the head, head, then the entries, each with its length before it.
pub(crate) fn write_append(head: &AppendHead, entries: &[Entry]) -> Result<Vec<u8>, RpcError> {
    let failed = |error| RpcError::Codec(CodecError::Encode(error));
    let head = encode(head)?;
    let mut stored = Vec::with_capacity(entries.len());
    let mut size = 4 + head.len();
    for entry in entries {
        let one = record::entry(entry).map_err(failed)?;
        size += 4 + one.head.len() + one.payload.len();
        stored.push(one);
    }
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&head);
    for one in stored {
        bytes.extend_from_slice(&((one.head.len() + one.payload.len()) as u32).to_le_bytes());
        bytes.extend_from_slice(&one.head);
        bytes.extend_from_slice(&one.payload);
    }
    Ok(bytes)
}

/// Reads an append; the reason when it is none.
pub(crate) fn read_append(request: &[u8]) -> Result<(AppendHead, Vec<Entry>), String> {
    let cut = || "the append is cut".to_owned();
    let (length, rest) = request.split_first_chunk::<4>().ok_or_else(cut)?;
    let (head, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut)?;
    let head: AppendHead = decode(head).map_err(|error| error.to_string())?;
    // One copy for all entries, which then share it.
    let mut rest = Bytes::copy_from_slice(rest);
    let mut entries: Vec<Entry> = Vec::new();
    while !rest.is_empty() {
        let length = rest.split_first_chunk::<4>().ok_or_else(cut)?.0;
        let length = u32::from_le_bytes(*length) as usize;
        if rest.len() - 4 < length {
            return Err(cut());
        }
        let mut body = rest.split_to(4 + length);
        let entry = record::read_shared(&body.split_off(4))?;
        let expected = entries.last().map(|before| before.log_id.index + 1);
        if expected.is_some_and(|expected| expected != entry.log_id.index) {
            return Err(format!("entry {} of the append is out of order", entry.log_id.index));
        }
        entries.push(entry);
    }
    Ok((head, entries))
}

/// Reads any other request.
pub(crate) fn read<T: DeserializeOwned>(request: &[u8]) -> Result<T, RpcError> {
    Ok(decode(request)?)
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::types::Proposal;

    #[test]
    fn an_append_is_read_as_it_was_written_and_nothing_malformed_is_believed() {
        let entry = |index| Entry {
            log_id: log_id(3, index),
            payload: EntryPayload::Normal(Proposal::stored(Bytes::from(vec![7; index as usize]))),
        };
        let head = AppendHead { stream: 4, place: 2, previous: Some(log_id(2, 9).into()), ..AppendHead::default() };
        let entries: Vec<Entry> = (10..20).map(entry).collect();
        let bytes = write_append(&head, &entries).unwrap();
        let (found, read) = read_append(&bytes).unwrap();
        assert_eq!((found.stream, found.place, plain_id(found.previous)), (4, 2, Some(log_id(2, 9))));
        assert_eq!(
            read.iter().map(|entry| entry.log_id).collect::<Vec<_>>(),
            (10..20).map(|i| log_id(3, i)).collect::<Vec<_>>()
        );
        for cut in 0..bytes.len() {
            // Cut between two entries it is a shorter append, and nowhere else.
            if let Ok((_, fewer)) = read_append(&bytes[..cut]) {
                assert!(fewer.len() < entries.len());
            }
        }
        let mut gap = entries.clone();
        gap.remove(4);
        assert!(read_append(&write_append(&head, &gap).unwrap()).unwrap_err().contains("out of order"));
        assert!(read_append(&[255; 64]).is_err());
    }

    #[test]
    fn fields_that_a_newer_release_added_are_passed_over() {
        #[derive(Serialize)]
        struct Newer {
            head: Head,
            vote: WireVote,
            colour: &'static str,
        }
        let newer = Newer { head: Head::default(), vote: WireVote { term: 5, ..WireVote::default() }, colour: "red" };
        let read: VoteAsk = read(&encode(&newer).unwrap()).unwrap();
        assert_eq!((read.vote.term, read.last, read.transfer), (5, None, false));
    }
}
