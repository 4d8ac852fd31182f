//! Which room may use which: the arrows of daemon/README.md, checked against every Cargo.toml.

use std::collections::{BTreeMap, BTreeSet};

use super::files::root;

/// A room and the rooms it may use. All may use `model`; impure ones `runtime`, too. Nothing points back.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &["model"]),
    ("jobspec", &["model"]),
    ("admission", &["model", "scheduler"]),
    ("state", &["model"]),
    ("scheduler", &["model", "state"]),
    ("runtime", &["model"]),
    ("rpc", &["model", "runtime"]),
    ("gossip", &["model", "runtime"]),
    ("raft", &["model", "runtime", "state", "rpc"]),
    ("server", &["model", "runtime", "raft", "state", "scheduler", "gossip", "rpc", "jobspec", "config", "admission"]),
    ("executor", &[]),
    ("supervisor", &["model", "runtime", "executor"]),
    ("oci", &["model", "runtime", "supervisor"]),
    ("image", &["oci"]),
    ("driver", &["model", "runtime", "supervisor", "oci"]),
    ("network", &["model", "runtime"]),
    ("client", &["model", "runtime", "driver", "supervisor", "network", "gossip", "rpc", "config"]),
    ("http", &["model", "runtime", "server", "client", "rpc", "state", "jobspec"]),
    ("api", &["model"]),
];

/// Rooms without tokio, clock, randomness, files or sockets: what may not stand among their dependencies.
const PURE: &[&str] = &["model", "config", "jobspec", "admission", "state", "scheduler"];
const IMPURE: &[&str] =
    &["tokio", "getrandom", "rand", "socket2", "rustix", "nix", "libc", "hyper", "tracing-subscriber"];

/// The dependencies (not those of tests) of every crate of the workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut crates = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let of = package["dependencies"].as_array().unwrap().iter();
        let normal = of.filter(|d| d["kind"].is_null()).map(|d| d["name"].as_str().unwrap().to_owned()).collect();
        crates.insert(package["name"].as_str().unwrap().to_owned(), normal);
    }
    crates
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let crates = dependencies();
    for (room, allowed) in ARROWS {
        let of = crates.get(&format!("nomadd-{room}")).unwrap_or_else(|| panic!("there is no room {room}"));
        for used in of.iter().filter_map(|name| name.strip_prefix("nomadd-")) {
            assert!(allowed.contains(&used), "{room} must not use {used}");
        }
    }
    let known: BTreeSet<String> = ARROWS.iter().map(|(room, _)| format!("nomadd-{room}")).collect();
    let strangers: Vec<_> = crates
        .keys()
        .filter(|name| {
            name.starts_with("nomadd-")
                && !["nomadd-tests", "nomadd-fuzz", "nomadd-kept"].contains(&name.as_str())
                && !known.contains(*name)
        })
        .collect();
    assert!(strangers.is_empty(), "rooms without an arrow: {strangers:?}");
}

#[test]
fn pure_rooms_touch_nothing_outside() {
    let crates = dependencies();
    for room in PURE {
        for used in &crates[&format!("nomadd-{room}")] {
            assert!(!IMPURE.contains(&used.as_str()), "{room} is pure and must not use {used}");
        }
    }
}

#[test]
fn the_command_line_does_not_reach_into_the_daemon() {
    let allowed = ["nomadd-api", "nomadd-jobspec", "nomadd-config", "nomadd-state", "nomadd-model"];
    for used in dependencies()["nomadctl"].iter().filter(|name| name.starts_with("nomadd")) {
        assert!(allowed.contains(&used.as_str()), "nomadctl must not use {used}");
    }
}
