//! Reads what another server may send, without a server: for fuzz targets.

use crate::wire::{
    AppendAnswer, Reply, SnapshotAnswer, SnapshotAsk, VoteAnswer, VoteAsk, Word, WordAnswer, read, read_append,
};

/// Reads bytes as every message of raft; whether they are one.
pub fn check_message(bytes: &[u8]) -> bool {
    let append = read_append(bytes).is_ok();
    let asked = read::<VoteAsk>(bytes).is_ok() || read::<SnapshotAsk>(bytes).is_ok() || read::<Word>(bytes).is_ok();
    let answered = read::<Reply<AppendAnswer>>(bytes).is_ok()
        || read::<Reply<VoteAnswer>>(bytes).is_ok()
        || read::<Reply<SnapshotAnswer>>(bytes).is_ok()
        || read::<Reply<WordAnswer>>(bytes).is_ok();
    append || asked || answered
}
