//! What each release wrote to its log and its snapshots is read by this one, field by field. `commands.json` says what the
//! commands are: one of each kind, with every part that a command can have. New ones are added at its end.

#![expect(clippy::unwrap_used, reason = "a test that cannot read what is kept has failed")]

use std::collections::BTreeSet;

use nomadd_kept::Kept;
use nomadd_model::Time;
use nomadd_state::{Command, State, snapshot};

/// So many commands there were when the first snapshots were kept.
const FIRST: usize = 33;

fn commands() -> Vec<Command> {
    serde_json::from_str(include_str!("commands.json")).unwrap()
}

fn kept() -> Kept {
    Kept::of(env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_VERSION"))
}

/// The state after a small history that places allocations, then these commands twice, so that whatever needs another thing first
/// finds it.
fn state(commands: &[Command]) -> State {
    let mut state = State::new();
    let begun: Vec<Command> = serde_json::from_str(include_str!("history.json")).unwrap();
    // What takes away again would leave nothing to look at.
    let stays = |command: &&Command| {
        let name = serde_json::to_value(command).unwrap();
        let name = name.as_object().map_or_else(String::new, |map| map.keys().next().unwrap().clone());
        !name.contains("Delete") && !name.contains("Deregister") && name != "Batch"
    };
    let history = begun.iter().chain(commands.iter().filter(stays)).chain(commands.iter().filter(stays));
    for (index, command) in history.enumerate() {
        state.apply(index as u64 + 1, Time(1_700_000_000_000_000_000 + index as i64), command.clone());
    }
    state
}

#[test]
fn what_every_release_wrote_is_read_as_it_was_meant() {
    let (mut kept, commands) = (kept(), commands());
    let read = |bytes: &[u8]| {
        let command = Command::decode(bytes).unwrap();
        // A field whose name is no longer known is passed over in silence: here it would be missing afterwards.
        assert_eq!(command.encode().unwrap(), bytes, "{command:?}");
        command
    };
    kept.check("commands", &commands, |command| command.encode().unwrap(), read);
    let write = |state: &State| {
        let mut bytes = Vec::new();
        snapshot::write(state, &mut bytes).unwrap();
        bytes
    };
    kept.check("snapshot", &[State::new(), state(&commands[..FIRST]), state(&commands)], write, |bytes| {
        let state = snapshot::read(bytes).unwrap();
        assert_eq!(write(&state), bytes, "nothing of a snapshot is passed over");
        state
    });
    kept.finish();
}

#[test]
fn every_command_is_among_the_samples() {
    // serde names all variants when it meets one that is not there.
    let error = serde_json::from_str::<Command>("\"?\"").unwrap_err().to_string();
    let known: BTreeSet<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    let name = |command: &Command| match serde_json::to_value(command).unwrap() {
        serde_json::Value::String(name) => name,
        other => other.as_object().unwrap().keys().next().unwrap().clone(),
    };
    let sampled: BTreeSet<String> = commands().iter().map(name).collect();
    assert!(known.len() > 30, "{error}");
    assert_eq!(known, sampled);
}

#[test]
fn the_sampled_state_has_something_in_every_table() {
    let state = state(&commands());
    let text = format!("{state:?}");
    assert!(!text.contains(": 0,"), "{text}");
    assert!(state.deployments().next().is_some() && state.evaluations().next().is_some());
    assert!(state.root_keys().next().is_some() && state.cluster_id().is_some());
}
