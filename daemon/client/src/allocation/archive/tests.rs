//! What is packed is there again; what a hostile node sends is refused and leaves nothing outside.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::testing::TempDir;

fn tasks() -> Vec<String> {
    vec!["web".to_owned(), "db".to_owned()]
}

fn fresh(folder: &TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir(&path).unwrap();
    path
}

/// A stream of entries as they are given, whatever they are.
fn stream(entries: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, target, content) in entries {
        let mut header = Header::new_gnu();
        // The library would not write the names that are tried here.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn files_directories_and_links_come_over_and_nothing_else() {
    let folder = TempDir::new("archive");
    let (old, new) = (fresh(&folder, "old"), fresh(&folder, "new"));
    for path in ["alloc/data/deep/er", "alloc/logs", "web/local", "web/secrets"] {
        fs::create_dir_all(old.join(path)).unwrap();
    }
    let long = "n".repeat(200);
    for path in ["alloc/data/kept", "alloc/data/deep/er/x", "alloc/logs/l", "web/local/mine", "web/secrets/s"] {
        fs::write(old.join(path), path).unwrap();
    }
    fs::write(old.join("alloc/data").join(&long), "long").unwrap();
    fs::set_permissions(old.join("web/local/mine"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("../local/mine", old.join("web/local/link")).unwrap();
    symlink("/etc", old.join("db")).unwrap();
    rustix::fs::mknodat(CWD, old.join("alloc/data/pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut bytes = Vec::new();
    pack(&old, &tasks(), &mut bytes).unwrap();
    unpack(bytes.as_slice(), &new, &tasks(), 1 << 20).unwrap();
    for path in ["alloc/data/kept", "alloc/data/deep/er/x", "web/local/mine"] {
        assert_eq!(fs::read_to_string(new.join(path)).unwrap(), path);
    }
    assert_eq!(fs::read_to_string(new.join("alloc/data").join(&long)).unwrap(), "long");
    assert_eq!(fs::metadata(new.join("web/local/mine")).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_link(new.join("web/local/link")).unwrap(), Path::new("../local/mine"));
    for path in ["alloc/data/pipe", "alloc/logs", "web/secrets", "db"] {
        assert!(!new.join(path).exists(), "{path}");
    }
    for cut in (0..bytes.len() - 1024).step_by(97) {
        let new = fresh(&folder, &format!("cut{cut}"));
        let broken = bytes[..cut].chain(Broken);
        assert!(unpack(broken, &new, &tasks(), 1 << 20).is_err(), "cut at {cut}");
        fs::remove_dir_all(new).unwrap();
    }
}

/// The end of a connection that broke off.
struct Broken;
impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn what_leads_out_is_refused_and_leaves_nothing_outside() {
    use EntryType as Kind;
    let folder = TempDir::new("hostile");
    let outside = fresh(&folder, "outside");
    let absolute = outside.join("x").display().to_string();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (stream(&[(Kind::Regular, &absolute, "", b"x")]), "not beneath"),
        (stream(&[(Kind::Regular, "../outside/x", "", b"x")]), "not beneath"),
        (stream(&[(Kind::Regular, "alloc/data/../../../outside/x", "", b"x")]), "not beneath"),
        (stream(&[(Kind::Regular, "alloc/data/./../x", "", b"x")]), "not beneath"),
        (stream(&[(Kind::Regular, "web/secrets/x", "", b"x")]), "not beneath"),
        (stream(&[(Kind::Regular, "other/local/x", "", b"x")]), "not beneath"),
        (stream(&[(Kind::Symlink, "alloc/data/l", "/etc/passwd", b"")]), "leads out"),
        (stream(&[(Kind::Symlink, "alloc/data/l", "../../../outside", b"")]), "leads out"),
        (stream(&[(Kind::Symlink, "alloc/data/l", "", b"")]), "leads out"),
        // A link within, and a file through it.
        (
            stream(&[(Kind::Symlink, "alloc/data/l", "..", b""), (Kind::Regular, "alloc/data/l/x", "", b"x")]),
            "cannot open",
        ),
        (
            stream(&[(Kind::Symlink, "alloc/data/l", "deep", b""), (Kind::Regular, "alloc/data/l", "", b"x")]),
            "cannot make",
        ),
        (
            stream(&[(Kind::Symlink, "web/local", "../alloc", b""), (Kind::Regular, "web/local/x", "", b"x")]),
            "cannot open",
        ),
        (stream(&[(Kind::Link, "alloc/data/l", "alloc/data/k", b"")]), "neither"),
        (stream(&[(Kind::Char, "alloc/data/null", "", b"")]), "neither"),
        (stream(&[(Kind::XHeader, "alloc/data/pax", "", b"x")]), "neither"),
        (stream(&[(Kind::GNULongName, "alloc/data/n", "", &[b'a'; 5000])]), "4096"),
        (stream(&[(Kind::Regular, "alloc/data/big", "", &[0; 70_000])]), "65536 bytes"),
        (b"not a tar file at all, but long enough to look at".repeat(20), "broken"),
    ];
    for (at, (bytes, told)) in cases.into_iter().enumerate() {
        let new = fresh(&folder, &format!("new{at}"));
        let error = unpack(bytes.as_slice(), &new, &tasks(), 65_536).unwrap_err().to_string();
        assert!(error.contains(told), "case {at}: {error}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn no_file_lends_rights_and_an_endless_stream_ends() {
    let folder = TempDir::new("modes");
    let new = fresh(&folder, "new");
    let bytes = stream(&[(EntryType::Regular, "alloc/data/tool", "", b"#!")]);
    unpack(bytes.as_slice(), &new, &tasks(), 1 << 20).unwrap();
    assert_eq!(fs::metadata(new.join("alloc/data/tool")).unwrap().permissions().mode() & 0o7777, 0o755);
    let endless = bytes[..1024].chain(io::repeat(0));
    let error = unpack(endless, &fresh(&folder, "endless"), &tasks(), 1 << 20);
    assert!(error.is_err());
}
