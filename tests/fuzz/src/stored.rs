//! Bytes that this program wrote once: the log, its commands, snapshots, the executor's records.
//!
//! Everything is tried as it is and once more with its checksums made right (`reseal`), or no change would get past them.

use nomadd_executor::record::Record;
use nomadd_model::Time;
use nomadd_state::{Command, State, snapshot as stored};

use crate::reseal;

/// A segment of the log, with the commands in it.
pub fn log_segment(data: &[u8]) -> bool {
    let _damaged = nomadd_raft::check_segment(data);
    let mut sealed = data.to_vec();
    reseal::segment(&mut sealed);
    nomadd_raft::check_segment(&sealed).is_ok()
}

/// A stored command: what is read is what is written again, and any state takes it.
pub fn command(data: &[u8]) -> bool {
    let Ok(command) = Command::decode(data) else { return false };
    let again = command.encode().unwrap_or_else(|error| panic!("a command that was read cannot be written: {error}"));
    let again = Command::decode(&again).unwrap_or_else(|error| panic!("what was written cannot be read: {error}"));
    // By what they print: a number that is none is not equal to itself.
    assert_eq!(format!("{again:?}"), format!("{command:?}"), "a command is the same after a round");
    let mut state = State::new();
    let _refused = state.apply(1, Time(1), command.clone());
    let _again = state.apply(2, Time(2), command);
    true
}

/// The state's own stream in a snapshot: what is read is what is written again.
pub fn snapshot(data: &[u8]) -> bool {
    let _damaged = stored::read(data);
    let mut sealed = data.to_vec();
    reseal::frames(&mut sealed);
    let Ok(state) = stored::read(sealed.as_slice()) else { return false };
    let first = written(&state);
    let again = stored::read(first.as_slice());
    let again = again.unwrap_or_else(|error| panic!("a snapshot that was written cannot be read: {error}"));
    assert_eq!(first, written(&again), "restore(snapshot(s)) = s");
    true
}

fn written(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    stored::write(state, &mut bytes).unwrap_or_else(|error| panic!("a state cannot be written: {error}"));
    bytes
}

/// A snapshot's file, as `operator snapshot inspect` and a restore take it.
pub fn archive(data: &[u8]) -> bool {
    let _damaged = nomadd_raft::archive::inspect(data);
    let mut sealed = data.to_vec();
    reseal::archive(&mut sealed);
    let Ok(found) = nomadd_raft::archive::inspect(sealed.as_slice()) else { return false };
    assert!(found.size <= sealed.len() as u64, "no more than there is");
    true
}

/// What passes between daemon and executor: in a file, and as a frame on a socket.
pub fn executor_record(data: &[u8]) -> bool {
    let decoded = Record::decode(data);
    if let Ok(record) = &decoded {
        assert_eq!(record.encode(), data, "a record is its bytes");
        let _version = record.check_version();
    }
    let mut buffer = data.to_vec();
    while let Ok(Some(_)) = Record::take_frame(&mut buffer) {}
    let mut whole = Record::new("fuzz");
    whole.push_bytes("data", data);
    let back = Record::decode(&whole.encode()).unwrap_or_else(|error| panic!("any bytes are a value: {error}"));
    assert_eq!(back.bytes("data"), Some(data));
    decoded.is_ok()
}
