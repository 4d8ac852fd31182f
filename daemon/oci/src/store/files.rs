//! Small files written beside and renamed, bounded reading, and the removal of trees that strangers have made.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{StoreError, system};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Writes a file whole or not at all, and durably.
pub fn write(beside: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let new = beside.join(format!("file.{}.{number}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_data()
    };
    write().map_err(|error| {
        // Nobody looks at it again; the next start removes it, too.
        drop(fs::remove_file(&new));
        system("write", path)(error)
    })
}

/// Reads a file of at most so many bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than it may be")),
        false => Ok(bytes),
    }
}

/// Removes a directory and everything below, however deep it is: folders are moved up before they are emptied, so neither
/// the stack nor open files grow with the depth. Links are removed, never followed. Nothing there is no error.
pub fn remove_tree(top: &Path) -> io::Result<()> {
    match fs::symlink_metadata(top) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return fs::remove_file(top),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut moved = 0_u64;
    loop {
        let mut emptied = false;
        for entry in fs::read_dir(top)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
                continue;
            }
            emptied = true;
            for inner in fs::read_dir(entry.path())? {
                let inner = inner?;
                if inner.file_type()?.is_dir() {
                    // A name that no image has used so far is not needed: what has it already is tried under the next.
                    while let Err(error) = rename_new(&inner.path(), &top.join(format!("moved.{moved}"))) {
                        match error.kind() {
                            io::ErrorKind::AlreadyExists => moved += 1,
                            _ => return Err(error),
                        }
                    }
                    moved += 1;
                } else {
                    fs::remove_file(inner.path())?;
                }
            }
            fs::remove_dir(entry.path())?;
        }
        if !emptied {
            return fs::remove_dir(top);
        }
    }
}

fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags};
    Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_any_path_goes_and_what_its_links_lead_to_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (top, kept) = (directory.path().join("top"), directory.path().join("kept"));
        fs::create_dir(&top).unwrap();
        fs::write(&kept, "x").unwrap();
        std::os::unix::fs::symlink(directory.path(), top.join("link")).unwrap();
        let mut at = rustix::fs::open(&top, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        let name = "d".repeat(100);
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, &name, rustix::fs::Mode::from(0o755)).unwrap();
            at = rustix::fs::openat(&at, &name, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        }
        drop(at);
        fs::create_dir(top.join("moved.0")).unwrap();
        remove_tree(&top).unwrap();
        assert!(!top.exists() && kept.exists());
        remove_tree(&top).unwrap();
    }

    #[test]
    fn a_file_is_there_whole_and_nothing_stays_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::create_dir(directory.path().join("tmp")).unwrap();
        write(&directory.path().join("tmp"), &path, b"one").unwrap();
        write(&directory.path().join("tmp"), &path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert!(read(&path, 2).is_err());
        assert!(write(&directory.path().join("tmp"), &directory.path().join("no/such"), b"x").is_err());
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
    }
}
