//! Changes bytes of log, snapshots and appends the way a defect would: sums are made anew, so that only the meaning is wrong.
//!
//! Knows the formats of daemon/raft (`frame.rs`, `wire.rs`, `archive.rs`) and daemon/state (`snapshot/frame.rs`) from outside;
//! when one of them changes, the mutants that stand here are no longer found, and the test of the mutants says so.

use nomadd_state::Command;

use super::mutant::Mutant;

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize)
}

/// Log records in a batch that is being written to the file whose start is given.
pub fn records(file: &[u8], batch: &mut [u8], mutant: Option<Mutant>, vote: &mut Option<Vec<u8>>) {
    const BATCH: usize = 24;
    const HEAD: usize = 12;
    let Some(salt) = u32_at(file, 48) else { return };
    if batch.len() < BATCH || batch[..4] != *b"nLb\xa7" {
        return;
    }
    let mut at = BATCH;
    while let Some(length) = u32_at(batch, at + 4) {
        let (kind, body) = (batch[at + 1], at + HEAD..at + HEAD + length);
        if body.end > batch.len() {
            return;
        }
        match (mutant, kind) {
            (Some(Mutant::VoteNotPersisted), 2) => match vote {
                // A vote for itself that won is kept: only what was granted is forgotten.
                Some(before) if batch[body.end - 1] == 0 => batch[body.clone()].copy_from_slice(before),
                _ => *vote = Some(batch[body.clone()].to_vec()),
            },
            (Some(Mutant::LostTruncation), 4) => batch[body.clone()].copy_from_slice(&u64::MAX.to_le_bytes()),
            _ => {}
        }
        let sum = crc32c::crc32c_append(crc32c::crc32c_append(salt as u32, &batch[at..at + 8]), &batch[body.clone()]);
        batch[at + 8..at + 12].copy_from_slice(&sum.to_le_bytes());
        at = body.end;
    }
}

/// A snapshot without its namespaces.
pub fn without_namespaces(snapshot: &[u8]) -> Vec<u8> {
    less(snapshot).unwrap_or_else(|| snapshot.to_vec())
}

fn less(snapshot: &[u8]) -> Option<Vec<u8>> {
    let start = 16 + u32_at(snapshot, 8)?;
    let mut stream = Vec::new();
    let mut at = start;
    loop {
        let length = u32_at(snapshot, at)?;
        if length == 0 {
            break;
        }
        stream.extend_from_slice(snapshot.get(at + 8..at + 8 + length)?);
        at += 8 + length;
    }
    let (mut kept, mut frames, mut at) = (Vec::new(), 0_u64, 0);
    while at < stream.len() {
        let end = at + 10 + u32_at(&stream, at + 2)?;
        match stream[at + 1] {
            2 if !stream[at..end].windows(7).any(|window| window == b"default") => {}
            255 => {
                let body = rmp_serde::to_vec_named(&serde_json::json!({ "Frames": frames })).ok()?;
                let mut head = vec![1, 255];
                head.extend_from_slice(&(body.len() as u32).to_le_bytes());
                let sum = crc32c::crc32c_append(crc32c::crc32c(&head), &body);
                kept.extend_from_slice(&head);
                kept.extend_from_slice(&sum.to_le_bytes());
                kept.extend_from_slice(&body);
            }
            _ => {
                frames += 1;
                kept.extend_from_slice(&stream[at..end]);
            }
        }
        at = end;
    }
    let mut whole = snapshot[..start].to_vec();
    for chunk in kept.chunks(256 << 10) {
        whole.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
        whole.extend_from_slice(&crc32c::crc32c(chunk).to_le_bytes());
        whole.extend_from_slice(chunk);
    }
    whole.extend_from_slice(&[0; 4]);
    let length = (whole.len() as u64).to_le_bytes();
    whole.extend_from_slice(&length);
    let sum = crc32c::crc32c(&whole).to_le_bytes();
    whole.extend_from_slice(&sum);
    Some(whole)
}

/// Whether an append carries entries.
pub fn has_entries(append: &[u8]) -> bool {
    u32_at(append, 0).is_some_and(|head| append.len() > 4 + head)
}

/// An append with some of its commands changed.
pub fn append(request: &[u8], mutant: Mutant, clock: i64, hit: impl Fn() -> bool) -> Vec<u8> {
    changed(request, mutant, clock, hit).unwrap_or_else(|| request.to_vec())
}

fn changed(request: &[u8], mutant: Mutant, clock: i64, hit: impl Fn() -> bool) -> Option<Vec<u8>> {
    const ENTRY: usize = 17;
    const COMMAND: u8 = 1;
    let mut at = 4 + u32_at(request, 0)?;
    let mut whole = request.get(..at)?.to_vec();
    while at < request.len() {
        let end = at + 4 + u32_at(request, at)?;
        let mut entry = request.get(at + 4..end)?.to_vec();
        if entry.get(16) == Some(&COMMAND) && hit() {
            let command = Command::decode(entry.get(ENTRY + 8..)?).ok();
            let other = match (mutant, command) {
                (Mutant::ClockInApply, _) => {
                    entry[ENTRY..ENTRY + 8].copy_from_slice(&clock.to_le_bytes());
                    None
                }
                (Mutant::SkippedEntry, Some(_)) => Some(Command::Noop),
                (Mutant::AppliedTwice, Some(command)) => Some(Command::Batch(vec![command.clone(), command])),
                _ => None,
            };
            if let Some(other) = other {
                entry.truncate(ENTRY + 8);
                entry.extend_from_slice(&other.encode().ok()?);
            }
        }
        whole.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        whole.extend_from_slice(&entry);
        at = end;
    }
    Some(whole)
}
