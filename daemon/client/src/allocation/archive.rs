//! The files of an allocation that its replacement on another node takes over, as a tar stream: `alloc/data` and each task's
//! `local`. Writes one where the allocation was, and reads one where it goes to.
//!
//! A stream from another node is believed nothing: names stay beneath the directory, links do not lead out of it, nothing is
//! written through a link, and bytes, entries and depth are bounded. Blocking; called on the pool.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;
use tar::{Archive, Builder, EntryType, Header};

use crate::directory::is_usable;

/// More files than that are not taken over.
const MOST_ENTRIES: usize = 1_000_000;
/// Deeper than that no directory may be.
const MOST_DEPTH: usize = 64;
/// No name or target of a link is longer, in bytes.
const MOST_NAME: u64 = 4096;

/// Why files cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading or writing failed.
    #[error("cannot {what} {path:?}")]
    System {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The stream ended early or is none.
    #[error("the stream of files is broken")]
    Stream(#[source] io::Error),
    /// Not within what is taken over.
    #[error("the file {0:?} is not beneath alloc/data or the local directory of a task")]
    Outside(PathBuf),
    /// A link that leads elsewhere.
    #[error("the link {path:?} leads out of the allocation, to {target:?}")]
    LinkOut {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A device or the like.
    #[error("{0:?} is neither a file nor a directory nor a symbolic link")]
    Kind(PathBuf),
    /// Too much.
    #[error("there is more than {0}")]
    TooMuch(&'static str),
    /// More than the allocation may have.
    #[error("the files have more than the {0} bytes that ephemeral_disk grants")]
    TooLarge(u64),
}

fn system(what: &'static str, path: &Path) -> impl FnOnce(Errno) -> ArchiveError + use<> {
    let path = path.to_owned();
    move |error| ArchiveError::System { what, path, source: error.into() }
}

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
const READ_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn directory(root: &impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(root, path, READ_DIRECTORY, Mode::empty(), RESOLVE)
}

/// The directories that are taken over, as they are named in the stream.
fn parts(tasks: &[String]) -> impl Iterator<Item = PathBuf> {
    let locals = tasks.iter().filter(|task| is_usable(task)).map(|task| Path::new(task).join("local"));
    std::iter::once(PathBuf::from("alloc/data")).chain(locals)
}

/// Writes the files of an allocation. Devices, pipes and sockets stay behind; what is not there is left out.
pub fn pack(root: &Path, tasks: &[String], out: impl Write) -> Result<(), ArchiveError> {
    let opened = rustix::fs::openat(CWD, root, READ_DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
    let opened = opened.map_err(system("open", root))?;
    let mut stream = Builder::new(out);
    for part in parts(tasks) {
        match directory(&opened, &part) {
            Ok(found) => pack_directory(&mut stream, &found, &part, 0)?,
            // It never began, or a task has put a link in its place.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {}
            Err(error) => return Err(system("open", &part)(error)),
        }
    }
    stream.into_inner().and_then(|mut out| out.flush()).map_err(ArchiveError::Stream)
}

fn header(kind: EntryType, stat: &Stat, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o1777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or_default());
    header.set_size(size);
    header
}

fn pack_directory<W: Write>(
    stream: &mut Builder<W>,
    at: &OwnedFd,
    path: &Path,
    depth: usize,
) -> Result<(), ArchiveError> {
    if depth >= MOST_DEPTH {
        return Err(ArchiveError::TooMuch("64 directories in one another"));
    }
    let stat = rustix::fs::fstat(at).map_err(system("stat", path))?;
    stream.append_data(&mut header(EntryType::Directory, &stat, 0), path, io::empty()).map_err(ArchiveError::Stream)?;
    for entry in Dir::read_from(at).map_err(system("read", path))? {
        let entry = entry.map_err(system("read", path))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let path = path.join(OsStr::from_bytes(name.to_bytes()));
        let stat = match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(system("stat", &path)(error)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let inner = directory(at, Path::new(OsStr::from_bytes(name.to_bytes())));
                pack_directory(stream, &inner.map_err(system("open", &path))?, &path, depth + 1)?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(at, name, Vec::new()).map_err(system("read", &path))?;
                let target = OsStr::from_bytes(target.to_bytes());
                stream
                    .append_link(&mut header(EntryType::Symlink, &stat, 0), &path, target)
                    .map_err(ArchiveError::Stream)?;
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let file = rustix::fs::openat(at, name, flags, Mode::empty()).map_err(system("open", &path))?;
                let stat = rustix::fs::fstat(&file).map_err(system("stat", &path))?;
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                let mut header = header(EntryType::Regular, &stat, size);
                // One that grows meanwhile ends where it ended; one that shrinks breaks the stream.
                let content = File::from(file).take(size);
                stream.append_data(&mut header, &path, content).map_err(ArchiveError::Stream)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Counts what comes, and ends it with an error when it is more than allowed.
struct Bounded<R> {
    inner: R,
    left: u64,
    exceeded: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                self.exceeded = true;
                return Err(io::Error::other("there is more than allowed"));
            }
        }
        Ok(count)
    }
}

/// Reads files into an empty directory that only this agent uses, at most `most` bytes of them.
pub fn unpack(from: impl Read, root: &Path, tasks: &[String], most: u64) -> Result<(), ArchiveError> {
    // Headers and padding come on top of the content.
    let bounded =
        Bounded { inner: from, left: most.saturating_add(most / 4).saturating_add(16 << 20), exceeded: false };
    let mut archive = Archive::new(bounded);
    let read = unpack_entries(&mut archive, root, tasks, most);
    let mut rest = archive.into_inner();
    match read {
        Err(_) if rest.exceeded => Err(ArchiveError::TooLarge(most)),
        Err(error) => Err(error),
        // What follows the end of the archive must come to its end, too: a stream that broke off is none.
        Ok(()) => io::copy(&mut rest, &mut io::sink()).map(drop).map_err(ArchiveError::Stream),
    }
}

fn unpack_entries<R: Read>(
    archive: &mut Archive<R>,
    root: &Path,
    tasks: &[String],
    most: u64,
) -> Result<(), ArchiveError> {
    let roots: Vec<PathBuf> = parts(tasks).collect();
    let opened = rustix::fs::openat(CWD, root, READ_DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
    let opened = opened.map_err(system("open", root))?;
    let mut into = Into { root: opened, left: most, most, name: None, target: None };
    // Raw: the library would read names of any length into memory.
    for (count, entry) in archive.entries().map_err(ArchiveError::Stream)?.raw(true).enumerate() {
        if count >= MOST_ENTRIES {
            return Err(ArchiveError::TooMuch("1,000,000 files"));
        }
        into.entry(entry.map_err(ArchiveError::Stream)?, &roots)?;
    }
    Ok(())
}

/// Where files are written to.
struct Into {
    root: OwnedFd,
    left: u64,
    most: u64,
    /// Long names that stand before their file.
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl Into {
    fn entry<R: Read>(&mut self, mut entry: tar::Entry<'_, R>, roots: &[PathBuf]) -> Result<(), ArchiveError> {
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_gnu_longlink() {
            let long = long(&mut entry)?;
            *if kind.is_gnu_longname() { &mut self.name } else { &mut self.target } = Some(long);
            return Ok(());
        }
        let name = self.name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let target = self.target.take().or_else(|| entry.link_name_bytes().map(|name| name.into_owned()));
        let path = sound(&name).ok_or_else(|| ArchiveError::Outside(PathBuf::from(OsStr::from_bytes(&name))))?;
        if !roots.iter().any(|root| path.starts_with(root)) {
            return Err(ArchiveError::Outside(path));
        }
        if path.components().count() > MOST_DEPTH + 2 {
            return Err(ArchiveError::TooMuch("64 directories in one another"));
        }
        let parent = self.parent(&path)?;
        let name = path.file_name().unwrap_or_default();
        match kind {
            EntryType::Directory => {
                let made = directory(&parent, Path::new(name)).map_err(system("make", &path));
                self.own(&made.or_else(|_| self.make(&parent, &path))?, &entry, &path)
            }
            EntryType::Regular => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o600));
                let mut file = File::from(file.map_err(system("make", &path))?);
                self.left = self.left.checked_sub(entry.size()).ok_or(ArchiveError::TooLarge(self.most))?;
                let written = io::copy(&mut entry, &mut file).map_err(ArchiveError::Stream)?;
                if written != entry.size() {
                    return Err(ArchiveError::Stream(io::ErrorKind::UnexpectedEof.into()));
                }
                self.own(&file, &entry, &path)
            }
            EntryType::Symlink => {
                let target = PathBuf::from(OsStr::from_bytes(&target.unwrap_or_default()));
                if leads_out(&path, &target) {
                    return Err(ArchiveError::LinkOut { path, target });
                }
                rustix::fs::symlinkat(&target, &parent, name).map_err(system("make", &path))?;
                if let (Some((uid, gid)), true) = (owner(&entry), is_root()) {
                    rustix::fs::chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(system("set the owner of", &path))?;
                }
                Ok(())
            }
            _ => Err(ArchiveError::Kind(path)),
        }
    }

    /// The directory that a file is in, made where it is missing.
    fn parent(&self, path: &Path) -> Result<OwnedFd, ArchiveError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let mut open =
            rustix::fs::openat(&self.root, ".", READ_DIRECTORY, Mode::empty()).map_err(system("open", path))?;
        let mut walked = PathBuf::new();
        for part in parent.components() {
            walked.push(part);
            let inner = directory(&open, Path::new(part.as_os_str()));
            open = match inner {
                Ok(inner) => inner,
                Err(Errno::NOENT) => self.make(&open, &walked)?,
                Err(error) => return Err(system("open", &walked)(error)),
            };
        }
        Ok(open)
    }

    fn make(&self, parent: &OwnedFd, path: &Path) -> Result<OwnedFd, ArchiveError> {
        let name = path.file_name().unwrap_or_default();
        rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o777)).map_err(system("make", path))?;
        let made = directory(parent, Path::new(name)).map_err(system("open", path))?;
        // Whatever the umask is.
        rustix::fs::fchmod(&made, Mode::from_raw_mode(0o777)).map_err(system("set the mode of", path))?;
        Ok(made)
    }

    /// Gives a file the owner and mode that it had; no mode that lends rights.
    fn own<R: Read>(&self, file: &impl AsFd, entry: &tar::Entry<'_, R>, path: &Path) -> Result<(), ArchiveError> {
        if let (Some((uid, gid)), true) = (owner(entry), is_root()) {
            rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(system("set the owner of", path))?;
        }
        let mode = entry.header().mode().map_err(ArchiveError::Stream)? & 0o1777;
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(system("set the mode of", path))
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn owner<R: Read>(entry: &tar::Entry<'_, R>) -> Option<(Uid, Gid)> {
    let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX);
    Some((Uid::from_raw(id(entry.header().uid())?), Gid::from_raw(id(entry.header().gid())?)))
}

/// A name that does not fit into its header.
fn long<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, ArchiveError> {
    if entry.size() > MOST_NAME {
        return Err(ArchiveError::TooMuch("4096 bytes in a name"));
    }
    let mut name = Vec::new();
    entry.take(MOST_NAME).read_to_end(&mut name).map_err(ArchiveError::Stream)?;
    while name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

/// A relative path of plain names.
fn sound(name: &[u8]) -> Option<PathBuf> {
    let path = PathBuf::from(OsStr::from_bytes(name));
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !name.is_empty() && !name.contains(&0) && name.len() as u64 <= MOST_NAME).then_some(path)
}

/// Whether a link leads out of the allocation's directory, taken by its words.
fn leads_out(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count() - 1;
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    target.as_os_str().is_empty()
}

#[cfg(test)]
mod tests;
