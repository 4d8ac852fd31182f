//! The packages of both formats: their scripts and unit are sound, and they install into a fresh root, upgrade and go, with
//! configuration and data treated as docs/install.md says. Built from the binaries of this build, without compression.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test")]

mod packages {
    pub mod deb;
    pub mod pieces;
    pub mod rpm;
}

use std::path::{Path, PathBuf};
use std::process::Command;

use nomadd_tests::agent::binary;

/// The tree.
fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// What a command said; it must succeed.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

/// Whether a program is at hand; what needs it is skipped with a line where it is not, and required in CI.
fn has(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    assert!(found || std::env::var("CI").is_err(), "{program} is missing; run packaging/install-deps");
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Whether this runs as root, without whom no package can be installed.
fn is_root() -> bool {
    let root = said(Command::new("id").arg("-u")).trim() == "0";
    if !root {
        eprintln!("skipped: only root installs packages");
    }
    root
}

/// Builds a package of this build's binaries in a folder.
fn build(kind: &str, version: &str, folder: &Path) -> PathBuf {
    let binaries = binary("nomadd-executor");
    let text = said(
        Command::new(tree().join("packaging/make-packages"))
            .args([kind.as_ref(), binaries.parent().unwrap().as_os_str(), folder.as_os_str()])
            .envs([("NOMADD_COMPRESSION", "none"), ("NOMADD_PAYLOAD", "w0.gzdio"), ("NOMADD_VERSION", version)]),
    );
    PathBuf::from(text.lines().last().unwrap())
}
