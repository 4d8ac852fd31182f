//! Every source file begins with what it is for and stays small; nothing unfinished or foreign is in it.

use std::path::{Path, PathBuf};

/// The wall; generated tables aside.
const MOST_LINES: usize = 1000;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every `.rs` file of the tree.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = ["daemon", "ctl", "tests"].map(|room| root().join(room)).to_vec();
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 50, "the tree was not found");
    found.sort();
    found
}

#[test]
fn every_file_says_what_it_is_for() {
    let without: Vec<_> =
        sources().into_iter().filter(|path| !std::fs::read_to_string(path).unwrap().starts_with("//!")).collect();
    assert!(without.is_empty(), "these files do not begin with //!: {without:#?}");
}

#[test]
fn no_file_is_longer_than_the_wall() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|path| (std::fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "these files have more than {MOST_LINES} lines: {long:#?}");
}

#[test]
fn modules_stand_beside_their_folders() {
    let old: Vec<_> = sources().into_iter().filter(|path| path.ends_with("mod.rs")).collect();
    assert!(old.is_empty(), "foo.rs beside foo/, not foo/mod.rs: {old:#?}");
}

#[test]
fn nothing_is_unfinished_by_its_own_words() {
    let marks = [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("FIX", "ME"), concat!("X", "XX")];
    let mut found = Vec::new();
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
