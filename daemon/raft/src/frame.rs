//! How bytes stand in a log segment: a header, then batches of records. Everything is little-endian.
//!
//! A batch is what one write and one sync put there: after a crash only the last one can be incomplete, so a bad batch with
//! nothing after it was never acknowledged and is cut off, and a bad batch with a good one after it is damage that stops the
//! server. Checksums start from the segment's salt, so that bytes of a job never look like a batch. Knows no meaning of records.

use std::ops::Range;

pub(crate) const HEADER: usize = 64;
const BATCH: usize = 24;
pub(crate) const RECORD: usize = 12;
const MAGIC: [u8; 8] = *b"nomaddL\x01";
const BATCH_MAGIC: [u8; 4] = *b"nLb\xa7";
/// The format byte of batches and records.
pub(crate) const FORMAT: u8 = 1;
/// The most records of a batch.
pub(crate) const MOST_RECORDS: usize = 60_000;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its place among the segments.
    pub(crate) number: u64,
    /// The number of its first batch.
    pub(crate) first_batch: u64,
    /// Index and term of the entry before its first.
    pub(crate) previous: Option<(u64, u64)>,
    /// Where checksums start from.
    pub(crate) salt: u32,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_batch.to_le_bytes());
        if let Some((index, term)) = self.previous {
            bytes[24] = 1;
            bytes[32..40].copy_from_slice(&index.to_le_bytes());
            bytes[40..48].copy_from_slice(&term.to_le_bytes());
        }
        bytes[48..52].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
    /// None when it is not a header, or damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        if bytes[..8] != MAGIC || u32_at(bytes, 60)? != crc32c::crc32c(&bytes[..60]) {
            return None;
        }
        Some(Self {
            number: u64_at(bytes, 8)?,
            first_batch: u64_at(bytes, 16)?,
            previous: (bytes[24] == 1).then_some((u64_at(bytes, 32)?, u64_at(bytes, 40)?)),
            salt: u32_at(bytes, 48)?,
        })
    }
}

/// Makes one batch in a buffer that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    records: u16,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        // One huge entry does not keep its memory for ever.
        self.bytes.shrink_to(1 << 20);
        self.bytes.resize(BATCH, 0);
        self.records = 0;
    }
    pub(crate) const fn is_empty(&self) -> bool {
        self.records == 0
    }
    pub(crate) const fn is_full(&self) -> bool {
        self.records as usize >= MOST_RECORDS
    }
    /// Adds a record whose body is the parts in a row; returns where the record stands in the batch.
    pub(crate) fn push(&mut self, salt: u32, kind: u8, parts: &[&[u8]]) -> Range<usize> {
        let start = self.bytes.len();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut head = [0; RECORD];
        head[0] = FORMAT;
        head[1] = kind;
        head[4..8].copy_from_slice(&(length as u32).to_le_bytes());
        let crc =
            parts.iter().fold(crc32c::crc32c_append(salt, &head[..8]), |crc, part| crc32c::crc32c_append(crc, part));
        head[8..].copy_from_slice(&crc.to_le_bytes());
        self.bytes.extend_from_slice(&head);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.records += 1;
        start..self.bytes.len()
    }
    /// Closes the batch as the `number`th and returns its bytes.
    pub(crate) fn seal(&mut self, salt: u32, number: u64) -> &[u8] {
        let length = (self.bytes.len() - BATCH) as u32;
        let head = &mut self.bytes[..BATCH];
        head[..4].copy_from_slice(&BATCH_MAGIC);
        head[4] = FORMAT;
        head[5] = 0;
        head[6..8].copy_from_slice(&self.records.to_le_bytes());
        head[8..12].copy_from_slice(&length.to_le_bytes());
        head[12..20].copy_from_slice(&number.to_le_bytes());
        let crc = crc32c::crc32c_append(salt, &head[..20]);
        head[20..].copy_from_slice(&crc.to_le_bytes());
        &self.bytes
    }
}

/// A record as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: u8,
    /// The whole record, head and body.
    pub(crate) at: Range<usize>,
}

impl Record {
    pub(crate) fn body<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        file.get(self.at.start + RECORD..self.at.end).unwrap_or_default()
    }
}

/// A whole batch: its number, its records, and where it ends.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) number: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) end: usize,
}

/// Reads the batch at `start`; None when there is none, or it is damaged or cut.
pub(crate) fn batch(file: &[u8], start: usize, salt: u32) -> Option<Whole> {
    let head = file.get(start..start.checked_add(BATCH)?)?;
    if head[..4] != BATCH_MAGIC
        || head[4] != FORMAT
        || head[5] != 0
        || u32_at(head, 20)? != crc32c::crc32c_append(salt, &head[..20])
    {
        return None;
    }
    let count = u16::from_le_bytes([head[6], head[7]]);
    let end = (start + BATCH).checked_add(u32_at(head, 8)? as usize)?;
    file.get(start..end)?;
    let mut records = Vec::with_capacity(count.into());
    let mut at = start + BATCH;
    for _ in 0..count {
        let found = record(file.get(at..end)?, salt)?;
        records.push(Record { kind: found.kind, at: at..at + found.at.end });
        at += found.at.end;
    }
    (at == end).then_some(Whole { number: u64_at(head, 12)?, records, end })
}

/// Reads the record that `bytes` starts with.
pub(crate) fn record(bytes: &[u8], salt: u32) -> Option<Record> {
    let head = bytes.get(..RECORD)?;
    let end = RECORD.checked_add(u32_at(head, 4)? as usize)?;
    let body = bytes.get(RECORD..end)?;
    let sound = head[0] == FORMAT
        && head[2..4] == [0, 0]
        && u32_at(head, 8)? == crc32c::crc32c_append(crc32c::crc32c_append(salt, &head[..8]), body);
    sound.then_some(Record { kind: head[1], at: 0..end })
}

/// Whether a whole batch stands anywhere after `start`: then what is at `start` was there before it, and is damage.
pub(crate) fn batch_after(file: &[u8], start: usize, salt: u32) -> Option<usize> {
    let rest = file.get(start..)?;
    let candidates = rest.windows(BATCH_MAGIC.len()).enumerate().filter(|(_, window)| **window == BATCH_MAGIC);
    candidates.map(|(offset, _)| start + offset).find(|at| batch(file, *at, salt).is_some())
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_batches() -> (Vec<u8>, usize) {
        let mut file = Vec::new();
        let mut made = Batch::default();
        made.clear();
        made.push(7, 1, &[b"first", b" record"]);
        made.push(7, 2, &[b""]);
        file.extend_from_slice(made.seal(7, 1));
        let second = file.len();
        made.clear();
        made.push(7, 1, &[b"second batch"]);
        file.extend_from_slice(made.seal(7, 2));
        (file, second)
    }

    #[test]
    fn batches_come_back_as_they_were_made() {
        let (file, second) = two_batches();
        let first = batch(&file, 0, 7).unwrap();
        assert_eq!((first.number, first.records.len(), first.end), (1, 2, second));
        assert_eq!(first.records[0].body(&file), b"first record");
        assert_eq!(batch(&file, second, 7).unwrap().end, file.len());
        assert!(batch(&file, 0, 8).is_none(), "another segment's salt");
    }

    #[test]
    fn every_flipped_bit_is_seen_and_damage_before_a_good_batch_is_told_from_a_torn_end() {
        let (file, second) = two_batches();
        for bit in 0..file.len() * 8 {
            let mut bent = file.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            if bit / 8 < second {
                assert!(batch(&bent, 0, 7).is_none(), "bit {bit}");
                assert_eq!(batch_after(&bent, 1, 7), Some(second));
            } else {
                assert!(batch(&bent, second, 7).is_none(), "bit {bit}");
                assert_eq!(batch_after(&bent, second + 1, 7), None);
            }
        }
    }

    #[test]
    fn a_header_comes_back_and_its_damage_is_seen() {
        let header = Header { number: 3, first_batch: 9, previous: Some((41, 2)), salt: 5 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bent), None, "bit {bit}");
        }
        assert_eq!(Header::decode(&bytes[..63]), None);
    }
}
