//! What a node of each release left in its state directory is read by this one: what it was assigned and how far it was, what
//! operators set, who it is. `tests/kept/*.json` says what it is.

use nomadd_kept::Kept;
use nomadd_rpc::AssignedAllocation;

use crate::allocation::machine::StoredProgress;
use crate::identity;
use crate::metadata::Changes;
use crate::store::{Kept as Restored, Store};
use crate::testing::TempDir;

/// The files below a state directory, each as `name`, line feed, bytes, with its length before it.
fn packed(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    files.iter().flat_map(|(name, bytes)| [format!("{name}\n{}\n", bytes.len()).as_bytes(), bytes].concat()).collect()
}

fn unpack(mut packed: &[u8], into: &std::path::Path) {
    let line = |rest: &mut &[u8]| {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let text = String::from_utf8(rest[..end].to_vec()).unwrap();
        *rest = &rest[end + 1..];
        text
    };
    while !packed.is_empty() {
        let path = into.join(line(&mut packed));
        let length: usize = line(&mut packed).parse().unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &packed[..length]).unwrap();
        packed = &packed[length..];
    }
}

#[test]
fn what_nodes_of_every_release_left_is_read_as_it_was_meant() {
    let mut kept = Kept::of(env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_VERSION"));
    let assigned: AssignedAllocation = serde_json::from_str(include_str!("../tests/kept/assigned.json")).unwrap();
    let progress: StoredProgress = serde_json::from_str(include_str!("../tests/kept/progress.json")).unwrap();
    let changes = Changes::from([("rack".into(), None), ("tier".into(), Some("gold".into()))]);
    let id = assigned.allocation.id;
    let folder = format!("allocations/{id}");
    let names = ["node", "metadata", &format!("{folder}/allocation"), &format!("{folder}/progress")];
    let node = "nomadd-node-1\n00000002-0000-4000-8000-000000000002\n09090909090909090909090909090909\n";
    let read = |directory: &std::path::Path| {
        let (identity, _lock) = identity::open(directory).unwrap();
        let store = Store::open(directory).unwrap();
        let mut restored = store.restore().unwrap();
        let Some(Restored::Whole(assigned, progress)) = restored.pop() else { panic!("it is torn: {restored:?}") };
        (format!("{} {:?}", identity.id, identity.secret.0), store.metadata().unwrap(), *assigned, progress)
    };
    let secret = [9_u8; 16];
    let sample = (format!("00000002-0000-4000-8000-000000000002 {secret:?}"), changes, assigned, progress);
    kept.check(
        "state",
        &[sample],
        |(_, changes, assigned, progress)| {
            let dir = TempDir::new("kept");
            let store = Store::open(dir.path()).unwrap();
            std::fs::write(dir.path().join("node"), node).unwrap();
            store.put_metadata(changes).unwrap();
            store.put_assigned(assigned).unwrap();
            store.put_progress(id, progress).unwrap();
            packed(&names.map(|name| (name, std::fs::read(dir.path().join(name)).unwrap())))
        },
        |bytes| {
            let dir = TempDir::new("kept");
            unpack(bytes, dir.path());
            let found = read(dir.path());
            // What was passed over in silence would be missing from what is written again.
            let store = Store::open(dir.path()).unwrap();
            store.put_assigned(&found.2).unwrap();
            store.put_progress(id, &found.3).unwrap();
            let again = packed(&names.map(|name| (name, std::fs::read(dir.path().join(name)).unwrap())));
            assert!(again == bytes, "nothing is passed over");
            found
        },
    );
    kept.finish();
}
