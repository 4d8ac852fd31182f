//! Opens files beneath an allocation's directory and nowhere else: openat2 with RESOLVE_BENEATH and NO_MAGICLINKS, and only
//! directories and regular files are opened for reading.
//!
//! Blocking; called on the pool.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nomadd_model::AllocFileInfo;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::fs::FsError;
use crate::fs::info;

/// How many entries of a directory are shown; a task could make millions.
const MOST_ENTRIES: usize = 100_000;

/// The directory of an allocation, and what in it is secret.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    tasks: Vec<String>,
}

impl Root {
    /// The directory of an allocation with these tasks.
    pub fn new(path: &Path, tasks: Vec<String>) -> Self {
        Self { path: path.to_owned(), tasks }
    }

    /// The path as people know it.
    pub fn display(&self, path: &str) -> PathBuf {
        let inner = inner(path);
        if inner == "." { self.path.clone() } else { self.path.join(inner) }
    }

    fn failed(&self, what: &'static str, path: &str) -> impl FnOnce(Errno) -> FsError + use<> {
        let (shown, asked) = (self.display(path), path.to_owned());
        move |error| match error {
            Errno::NOENT | Errno::NOTDIR => FsError::NotFound { what, path: shown },
            // Links with magic (of /proc) and endless ones lead nowhere good either.
            Errno::XDEV | Errno::LOOP => FsError::Escapes(asked),
            error => FsError::System { what, path: shown, source: error.into() },
        }
    }

    /// Finds a file without opening it.
    fn locate(&self, what: &'static str, path: &str) -> Result<(OwnedFd, Stat), FsError> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, &self.path, flags | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
            .map_err(self.failed(what, path))?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let open = || rustix::fs::openat2(&root, inner(path), flags, Mode::empty(), resolve);
        // The kernel asks to try again when something was renamed meanwhile; a task could do that for ever.
        let mut found = open();
        for _ in 0..16 {
            if !matches!(found, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
            found = open();
        }
        let found = found.map_err(self.failed(what, path))?;
        let stat = rustix::fs::fstat(&found).map_err(self.failed(what, path))?;
        Ok((found, stat))
    }

    /// Opens what was found for reading, by its descriptor: nothing can be put in its place meanwhile.
    fn reopen(&self, path: &str, found: &OwnedFd, flags: OFlags) -> Result<OwnedFd, FsError> {
        let by_descriptor = format!("/proc/self/fd/{}", found.as_raw_fd());
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        rustix::fs::openat(CWD, by_descriptor, flags, Mode::empty()).map_err(self.failed("open", path))
    }

    /// Opens a regular file that is not secret.
    pub fn open(&self, path: &str) -> Result<OwnedFd, FsError> {
        let (found, stat) = self.locate("stat", path)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(FsError::Directory(path.to_owned())),
            other => return Err(FsError::NotRegular { path: path.to_owned(), kind: info::kind_name(other) }),
        }
        if self.is_secret(&found) {
            return Err(FsError::Secret(path.to_owned()));
        }
        self.reopen(path, &found, OFlags::empty())
    }

    /// Opens a directory.
    pub fn open_directory(&self, path: &str) -> Result<OwnedFd, FsError> {
        let (found, stat) = self.locate("open", path)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(FsError::NotDirectory(path.to_owned()));
        }
        self.reopen(path, &found, OFlags::DIRECTORY)
    }

    /// Whether a file that was found is below a directory of secrets, by whatever names it was found.
    fn is_secret(&self, found: &OwnedFd) -> bool {
        let real = |descriptor: &OwnedFd| fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).ok();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, &self.path, flags, Mode::empty()).ok();
        let (Some(root), Some(file)) = (root.as_ref().and_then(real), real(found)) else { return true };
        self.tasks.iter().any(|task| {
            let task = root.join(task);
            file.starts_with(task.join("secrets")) || file.starts_with(task.join("private"))
        })
    }

    /// The entries of a directory, sorted by name.
    pub fn list(&self, path: &str) -> Result<Vec<AllocFileInfo>, FsError> {
        let directory = self.open_directory(path)?;
        let failed = |source: io::Error| FsError::System { what: "read", path: self.display(path), source };
        let mut entries = Vec::new();
        let read = rustix::fs::Dir::read_from(&directory).map_err(|error| failed(error.into()))?;
        for entry in read {
            let entry = entry.map_err(|error| failed(error.into()))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            // What is gone by now is not shown.
            if let Ok(stat) = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                entries.push(info::of(&name.to_string_lossy(), &stat));
            }
            if entries.len() >= MOST_ENTRIES {
                break;
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// What a file is; of a regular one that is not secret also the type of its content.
    pub fn stat(&self, path: &str) -> Result<AllocFileInfo, FsError> {
        let (found, stat) = self.locate("stat", path)?;
        let shown = self.display(path);
        let name = shown.file_name().unwrap_or(OsStr::new("/")).to_string_lossy().into_owned();
        let mut info = info::of(&name, &stat);
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && !self.is_secret(&found) {
            let mut head = vec![0; 512];
            let file = self.reopen(path, &found, OFlags::empty())?;
            let count = rustix::io::pread(file.as_fd(), &mut head, 0).unwrap_or(0);
            head.truncate(count);
            info.content_type = info::content_type(&name, &head);
        }
        Ok(info)
    }
}

/// A path as the kernel takes it beneath a directory: never absolute.
fn inner(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        inner => inner,
    }
}
