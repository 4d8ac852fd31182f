//! `nomadd snapshot inspect`: what a snapshot file says of itself, once all of it was read and its checksum agrees.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use nomadd_raft::archive;

/// Prints it, or why the file is no snapshot.
pub fn inspect(path: &Path) -> ExitCode {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("Error opening snapshot file {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    let found = match archive::inspect(BufReader::new(file)) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("Error inspecting snapshot {}: {:#}", path.display(), anyhow::Error::from(error));
            return ExitCode::FAILURE;
        }
    };
    let header = &found.header;
    let release = if header.release.is_empty() { "<none>" } else { &header.release };
    println!("Created  = {}", header.created);
    println!("ID       = {}-{}-{}", header.term, header.index, header.created.unix_nanos() / 1_000_000);
    println!("Size     = {} bytes", found.size);
    println!("Index    = {}", header.index);
    println!("Term     = {}", header.term);
    println!("Version  = {}", archive::FORMAT);
    println!("Release  = {release}");
    println!("Checksum = {:08x}", found.checksum);
    ExitCode::SUCCESS
}
