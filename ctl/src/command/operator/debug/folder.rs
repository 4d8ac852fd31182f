//! Where what is captured is kept until it is packed: a folder that only its owner reads, then one `.tar.gz`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

/// The folder; a temporary one goes when this is dropped.
pub(super) struct Folder {
    root: PathBuf,
    _temporary: Option<TempDir>,
}

/// A failure with the file that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", .path.display())]
pub(super) struct Unwritten {
    path: PathBuf,
    error: io::Error,
}

fn private(path: &Path) -> Result<File, Unwritten> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|error| Unwritten { path: path.to_owned(), error })
}

impl Folder {
    /// A folder of this name below `parent`, or below a temporary one.
    pub(super) fn create(parent: Option<&Path>, name: &str) -> Result<Self, Unwritten> {
        let (root, temporary) = match parent {
            Some(parent) => (parent.join(name), None),
            None => {
                let made = TempDir::with_prefix("nomad-debug-");
                let made = made.map_err(|error| Unwritten { path: std::env::temp_dir(), error })?;
                (made.path().join(name), Some(made))
            }
        };
        // An archive that is there already is never added to.
        if root.exists() {
            return Err(Unwritten { path: root, error: io::ErrorKind::AlreadyExists.into() });
        }
        let made = Self { root, _temporary: temporary };
        made.below(&made.root)?;
        Ok(made)
    }

    fn below(&self, folder: &Path) -> Result<(), Unwritten> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Unwritten { path: folder.to_owned(), error })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.root
    }

    /// Opens a new file; its parts are separated by slashes.
    pub(super) fn file(&self, name: &str) -> Result<File, Unwritten> {
        let path = self.root.join(name);
        self.below(path.parent().unwrap_or(&self.root))?;
        private(&path)
    }

    /// Writes a new file.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Unwritten> {
        let written = self.file(name)?.write_all(bytes);
        written.map_err(|error| Unwritten { path: self.root.join(name), error })
    }

    /// Packs everything into `NAME.tar.gz` of the current folder; never half of it under that name.
    pub(super) fn pack(&self, name: &str) -> Result<PathBuf, Unwritten> {
        let (whole, part) = (PathBuf::from(format!("{name}.tar.gz")), PathBuf::from(format!("{name}.tar.gz.part")));
        let packed = self.packed_into(name, &part).and_then(|()| {
            let named = std::fs::rename(&part, &whole);
            named.map_err(|error| Unwritten { path: whole.clone(), error })
        });
        if packed.is_err() {
            // The reason stands already.
            let _gone = std::fs::remove_file(&part);
        }
        packed.map(|()| whole)
    }

    fn packed_into(&self, name: &str, part: &Path) -> Result<(), Unwritten> {
        let file = private(part)?;
        let pack = || {
            let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
            archive.append_dir_all(name, &self.root)?;
            archive.into_inner()?.finish()?.sync_all()
        };
        pack().map_err(|error| Unwritten { path: part.to_owned(), error })
    }
}

/// A name as one part of a path: whatever could leave its folder or mean something to a shell becomes `%XX`.
pub(super) fn part(name: &str) -> String {
    match nomadd_api::segment(name) {
        dots if dots.trim_matches('.').is_empty() => format!("_{dots}"),
        part => part,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_kept_is_for_its_owner_only_and_written_once() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::create(Some(parent.path()), "x").unwrap();
        folder.write("a/b.json", b"1").unwrap();
        let mode = |path: &str| std::fs::metadata(parent.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("x"), mode("x/a"), mode("x/a/b.json")), (0o700, 0o700, 0o600));
        assert!(folder.write("a/b.json", b"2").is_err());
        assert!(Folder::create(Some(parent.path()), "x").is_err());
    }

    #[test]
    fn names_stay_in_their_folder() {
        for (name, expected) in
            [("a.global", "a.global"), ("../x", "..%2Fx"), ("..", "_.."), ("", "_"), ("a b", "a%20b")]
        {
            assert_eq!(part(name), expected);
        }
    }
}
