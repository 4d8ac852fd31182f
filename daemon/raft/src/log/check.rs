//! Reads the bytes of one segment as `Segments::open` does, and every entry in it, without a file.
//!
//! Fuzz targets and tools use it; the room itself reads segments through `segments`.

use nomadd_state::CommandSet;
use openraft::EntryPayload;

use super::record::{ENTRY, read_entry};
use super::segments::{Found, Place, take};
use crate::frame::{self, HEADER, Header};
use crate::machine;

/// What a segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many entries.
    pub entries: usize,
    /// How many of them are commands.
    pub commands: usize,
    /// Bytes at its end that belong to a write that was not finished.
    pub torn: u64,
}

/// Reads a segment as if it were the only one of a log; what is wrong with it, in words.
pub fn check_segment(bytes: &[u8]) -> Result<Checked, String> {
    let number = Header::decode(bytes).map_or(0, |header| header.number);
    let mut found = Found::default();
    let place = Place { number, first: true, newest: true, next_batch: 0 };
    let taken = take(bytes, &place, &mut found).map_err(|(offset, reason)| format!("at byte {offset}: {reason}"))?;
    let mut checked = Checked { entries: found.positions.len(), commands: 0, torn: found.torn };
    let mut at = HEADER;
    while let Some(whole) = frame::batch(bytes, at, taken.header.salt) {
        for record in whole.records.iter().filter(|record| record.kind == ENTRY) {
            let entry = read_entry(record.body(bytes))?;
            if let EntryPayload::Normal(proposal) = entry.payload {
                machine::read(&proposal, CommandSet::CURRENT)?;
                checked.commands += 1;
            }
        }
        at = whole.end;
    }
    Ok(checked)
}
