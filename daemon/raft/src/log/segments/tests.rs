//! Files as crashes, bad disks and careless hands leave them.

use super::*;
use crate::disk::{Durability, RealDisk};
use crate::testing::Scratch;
use crate::types::{Entry, Proposal};

const SEGMENT: u64 = 4096;

fn open(scratch: &Scratch) -> Result<(Segments, Found), LogError> {
    let disk = Arc::new(RealDisk { durability: Durability::NoSync });
    Segments::open(disk, &scratch.0, 7, SEGMENT)
}

fn entry(index: u64, size: usize) -> Change {
    let stored = bytes::Bytes::from(vec![index as u8; size]);
    let entry = Entry { log_id: log_id(1, index), payload: openraft::EntryPayload::Normal(Proposal::stored(stored)) };
    Change::Entry(record::entry(&entry).unwrap())
}

/// A log of entries 0, 1-3 and 4-5 in three batches; the file and where each batch ends.
fn three_batches(scratch: &Scratch) -> (PathBuf, Vec<u64>) {
    let (mut log, found) = open(scratch).unwrap();
    assert!(found.last().is_none() && found.vote.is_none());
    let mut ends = vec![log.end];
    for batch in [0..1, 1..4, 4..6] {
        let changes: Vec<Change> = batch.map(|index| entry(index, 50)).collect();
        assert_eq!(log.write(&changes).unwrap().len(), changes.len());
        ends.push(log.end);
    }
    (log.path(1), ends)
}

/// What was written of a file, without the reserved room.
fn written(path: &Path, ends: &[u64]) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.truncate(ends[3] as usize);
    bytes
}

fn last_index(found: &Found) -> Option<u64> {
    found.last().map(|id| id.index)
}

#[test]
fn a_write_torn_at_any_byte_is_cut_off_and_the_log_goes_on() {
    let scratch = Scratch::new("torn");
    let (path, ends) = three_batches(&scratch);
    let whole = written(&path, &ends);
    for cut in ends[2]..ends[3] {
        for zeros in [false, true] {
            let mut torn = whole[..cut as usize].to_vec();
            if zeros {
                // The rest of the reserved room, as it was before the write.
                torn.resize(whole.len() + 99, 0);
            }
            std::fs::write(&path, &torn).unwrap();
            let (mut log, found) = open(&scratch).unwrap();
            assert_eq!(last_index(&found), Some(3), "cut at {cut}");
            assert_eq!(found.torn > 0, cut > ends[2], "cut at {cut}");
            log.write(&[entry(4, 9)]).unwrap();
            drop(log);
            let (_, found) = open(&scratch).unwrap();
            assert_eq!((last_index(&found), found.torn), (Some(4), 0), "cut at {cut}");
        }
    }
}

#[test]
fn every_flipped_bit_before_the_last_write_stops_the_server_and_none_is_believed() {
    let scratch = Scratch::new("flipped");
    let (path, ends) = three_batches(&scratch);
    let whole = written(&path, &ends);
    for bit in 0..ends[3] * 8 {
        let mut bent = whole.clone();
        bent[(bit / 8) as usize] ^= 1 << (bit % 8);
        std::fs::write(&path, &bent).unwrap();
        match open(&scratch) {
            Err(LogError::Damaged { path: named, .. }) => {
                assert!(bit / 8 < ends[2], "bit {bit}");
                assert_eq!(named, path);
            }
            Err(other) => panic!("bit {bit}: {other}"),
            // Damage of the last write looks like a torn one: all of it goes, nothing before it.
            Ok((_, found)) => {
                assert!(bit / 8 >= ends[2], "bit {bit} was believed");
                assert_eq!(last_index(&found), Some(3), "bit {bit}");
            }
        }
    }
}

#[test]
fn segments_follow_each_other_and_a_missing_or_shortened_one_is_named() {
    let scratch = Scratch::new("rolled");
    let (mut log, _) = open(&scratch).unwrap();
    let vote = Vote::new_committed(3, crate::membership::ServerId(nomadd_model::NodeId([5; 16])));
    log.write(&[Change::Vote(vote), Change::Committed(log_id(1, 0))]).unwrap();
    for index in 0..60 {
        log.write(&[entry(index, 500)]).unwrap();
    }
    let newest = log.newest();
    assert!(newest > 5);
    drop(log);
    let (log, found) = open(&scratch).unwrap();
    assert_eq!((last_index(&found), found.positions.len(), found.vote), (Some(59), 60, Some(vote)));
    drop(log);

    let second = scratch.0.join("0000000002.log");
    let mut kept = std::fs::read(&second).unwrap();
    kept.truncate(kept.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    std::fs::remove_file(&second).unwrap();
    assert!(matches!(open(&scratch), Err(LogError::Missing { number: 2, .. })));
    std::fs::write(&second, &kept[..kept.len() / 2]).unwrap();
    assert!(matches!(open(&scratch), Err(LogError::Damaged { .. })));
    // Cut exactly between two writes: the next segment knows that some are missing.
    let salt = Header::decode(&kept).unwrap().salt;
    let first = frame::batch(&kept, HEADER, salt).unwrap().end;
    std::fs::write(&second, &kept[..first]).unwrap();
    assert!(matches!(open(&scratch), Err(LogError::Damaged { .. })));
    std::fs::write(&second, &kept).unwrap();

    let (mut log, _) = open(&scratch).unwrap();
    let first = log.drop_through(30).unwrap();
    assert!(first > 2);
    drop(log);
    let (_, found) = open(&scratch).unwrap();
    assert_eq!((last_index(&found), found.vote), (Some(59), Some(vote)), "the vote moved on");
    assert!(found.first_index() > 0 && found.first_index() <= 31, "whole segments go, {}", found.first_index());
}

#[test]
fn truncated_entries_are_gone_and_others_take_their_place() {
    let scratch = Scratch::new("truncated");
    let (mut log, _) = open(&scratch).unwrap();
    log.write(&(0..10).map(|index| entry(index, 20)).collect::<Vec<_>>()).unwrap();
    log.write(&[Change::Truncate { stay: 4, last: Some(log_id(1, 3)) }, entry(4, 30), entry(5, 30)]).unwrap();
    drop(log);
    let (_, found) = open(&scratch).unwrap();
    assert_eq!((last_index(&found), found.positions.len()), (Some(5), 6));
}

#[test]
fn a_truncation_is_understood_when_what_it_cut_off_was_dropped_with_its_segments() {
    let scratch = Scratch::new("dropped");
    let (mut log, _) = open(&scratch).unwrap();
    for index in 0..20 {
        log.write(&[entry(index, 500)]).unwrap();
    }
    let newest = log.newest();
    // Entries of segments before the newest go, too, and the next ones follow in the newest.
    log.write(&[Change::Truncate { stay: 9, last: Some(log_id(1, 8)) }]).unwrap();
    for index in 9..40 {
        log.write(&[entry(index, 500)]).unwrap();
    }
    // A snapshot covers all that was ever in the older segments: the newest of then is the first now.
    assert_eq!(log.drop_through(18).unwrap(), newest);
    drop(log);
    let (_, found) = open(&scratch).unwrap();
    assert_eq!((found.previous, last_index(&found)), (Some(log_id(1, 8)), Some(39)));
}

#[test]
fn a_log_that_starts_anew_behind_a_snapshot_forgets_what_was_before() {
    let scratch = Scratch::new("reset");
    let (mut log, _) = open(&scratch).unwrap();
    for index in 0..20 {
        log.write(&[entry(index, 500)]).unwrap();
    }
    log.reset(log_id(2, 100)).unwrap();
    log.write(&[entry(101, 5)]).unwrap();
    drop(log);
    let (log, found) = open(&scratch).unwrap();
    assert_eq!((found.previous, last_index(&found)), (Some(log_id(2, 100)), Some(101)));
    assert_eq!(log.readable().len(), 1);
}

#[test]
fn leftovers_of_a_crash_are_removed_and_other_files_left_alone() {
    let scratch = Scratch::new("leftover");
    three_batches(&scratch);
    std::fs::write(scratch.0.join("0000000002.tmp"), b"half a segment").unwrap();
    std::fs::write(scratch.0.join("note"), b"not ours").unwrap();
    let (_, found) = open(&scratch).unwrap();
    assert_eq!(last_index(&found), Some(5));
    assert!(!scratch.0.join("0000000002.tmp").exists() && scratch.0.join("note").exists());
}
