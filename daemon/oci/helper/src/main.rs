//! `nomadd-image`: what the daemon has done with images by another process. `pull` and `load` bring one into the store
//! (`pull.rs`, `load.rs`); each starts `unpack` once per layer, which locks itself into the directory that it fills
//! before it reads a byte (`unpack.rs`); `copy` lays layers over each other where there is no overlayfs (`copy.rs`).
//!
//! What comes in is of `nomadd_oci::wire`. It knows no jobs and keeps no secrets: credentials come by a pipe.

mod archive;
mod copy;
mod credentials;
mod layer;
mod load;
mod process;
mod pull;
mod registry;
mod unpack;

use std::process::ExitCode;

const USAGE: &str =
    "nomadd-image is a helper of nomadd: it pulls and unpacks images. It is not meant to be run by hand.";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let word = arguments.next().unwrap_or_default();
    let argument = arguments.next().and_then(|argument| argument.into_string().ok()).unwrap_or_default();
    match word.to_str() {
        Some("pull") => pull::main(),
        Some("load") => load::main(&argument),
        Some("unpack") => unpack::main(&argument),
        Some("copy") => copy::main(&argument),
        Some("--version" | "-V") => {
            println!("nomadd-image {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
