//! What outlives the process: the generation, and addresses of members to join again.
//!
//! Both are helps: an unreadable peers file means no rejoin, a lost generation means the wall clock's. Every function blocks.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// At most this many addresses are kept.
pub const PEERS_MOST: usize = 64;
const FILE_MOST: u64 = 64 * 1024;

/// The generation of this life, higher than any before and at least `now` (milliseconds since 1970); it is kept before it is
/// used.
pub fn next_generation(folder: &Path, now: u64) -> io::Result<u64> {
    fs::create_dir_all(folder)?;
    let before: u64 = read(&folder.join("generation")).and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    let generation = now.max(before.saturating_add(1));
    keep_generation(folder, generation)?;
    Ok(generation)
}

/// Keeps a generation.
pub fn keep_generation(folder: &Path, generation: u64) -> io::Result<()> {
    replace(folder, "generation", generation.to_string().as_bytes())
}

/// Members known when they were last written.
pub fn peers(folder: &Path) -> Vec<SocketAddr> {
    let peers: Vec<SocketAddr> =
        read(&folder.join("peers.json")).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    peers.into_iter().take(PEERS_MOST).collect()
}

/// Keeps addresses of members.
pub fn keep_peers(folder: &Path, peers: &[SocketAddr]) -> io::Result<()> {
    replace(folder, "peers.json", &serde_json::to_vec(peers)?)
}

fn read(file: &Path) -> Option<String> {
    (fs::metadata(file).ok()?.len() <= FILE_MOST).then(|| fs::read_to_string(file).ok())?
}

fn replace(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let beside = folder.join(format!("{name}.new"));
    fs::write(&beside, content)?;
    fs::File::open(&beside)?.sync_all()?;
    fs::rename(beside, folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_life_has_a_higher_generation_even_when_the_clock_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(next_generation(folder.path(), 1000).unwrap(), 1000);
        assert_eq!(next_generation(folder.path(), 1000).unwrap(), 1001);
        assert_eq!(next_generation(folder.path(), 5).unwrap(), 1002);
        fs::write(folder.path().join("generation"), "junk").unwrap();
        assert_eq!(next_generation(folder.path(), 7000).unwrap(), 7000);
    }

    #[test]
    fn peers_are_read_back_and_junk_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(peers(folder.path()).is_empty());
        let known = ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
        keep_peers(folder.path(), &known).unwrap();
        assert_eq!(peers(folder.path()), known);
        fs::write(folder.path().join("peers.json"), "{").unwrap();
        assert!(peers(folder.path()).is_empty());
    }
}
