//! Makes the checksums of mutated files right again, as far as their lengths make sense. Layouts: `raft/src/frame.rs`,
//! `raft/src/archive.rs`, `state/src/snapshot/frame.rs`.

use crc32c::{crc32c, crc32c_append};

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

/// A segment of the log: header, batches, records.
pub fn segment(bytes: &mut [u8]) {
    let Some(salt) = number(bytes, 48).filter(|_| bytes.len() >= 64) else { return };
    let salt = salt as u32;
    put(bytes, 60, crc32c(&bytes[..60]));
    let mut at = 64;
    while let Some(length) = number(bytes, at + 8) {
        let end = at + 24 + length;
        if end > bytes.len() {
            return;
        }
        let mut record = at + 24;
        while let Some(length) = number(bytes, record + 4).filter(|length| record + 12 + length <= end) {
            let head = crc32c_append(salt, &bytes[record..record + 8]);
            let sum = crc32c_append(head, &bytes[record + 12..record + 12 + length]);
            put(bytes, record + 8, sum);
            record += 12 + length;
        }
        put(bytes, at + 20, crc32c_append(salt, &bytes[at..at + 20]));
        at = end;
    }
}

/// The state's stream: frames of format, type, length, checksum.
pub fn frames(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(length) = number(bytes, at + 2) {
        let end = at + 10 + length;
        if end > bytes.len() {
            return;
        }
        let sum = crc32c_append(crc32c(&bytes[at..at + 6]), &bytes[at + 10..end]);
        put(bytes, at + 6, sum);
        at = end;
    }
}

/// A snapshot's file: header, chunks, trailer.
pub fn archive(bytes: &mut [u8]) {
    let Some(length) = number(bytes, 8).filter(|length| 16 + length <= bytes.len()) else { return };
    put(bytes, 12, crc32c(&bytes[16..16 + length]));
    let mut at = 16 + length;
    while let Some(length) = number(bytes, at).filter(|length| *length > 0) {
        if at + 8 + length > bytes.len() {
            return;
        }
        put(bytes, at + 4, crc32c(&bytes[at + 8..at + 8 + length]));
        at += 8 + length;
    }
    at += 4;
    if let Some(place) = bytes.get_mut(at..at + 8) {
        place.copy_from_slice(&(at as u64).to_le_bytes());
        put(bytes, at + 8, crc32c(&bytes[..at + 8]));
    }
}
