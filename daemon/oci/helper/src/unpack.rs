//! Unpacks one layer from standard input into one directory, in a process of its own that does nothing else: it locks
//! itself in there (chroot) before it reads a byte, so that no name, link or device of the layer means anything outside.
//!
//! Removals become overlayfs' own marks (a character device 0/0, an attribute of a folder), as layers stay apart. Bytes,
//! entries and lengths of names are bounded, and some room stays free on the disk.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nomadd_oci::wire::{Limits, Unpack, Unpacked};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};

use crate::archive::{Archive, Entry, Kind, TarError};
use crate::process::{self, Failure};

/// The longest name of an entry, in bytes, as the kernel takes it.
const LONGEST_PATH: usize = 4095;
/// The longest part of a name.
const LONGEST_NAME: usize = 255;
/// How many folders deep.
const DEEPEST: usize = 512;
/// After how many bytes the disk is looked at again.
const LOOK_EVERY: u64 = 32 << 20;
/// Says that a folder hides the one below.
const OPAQUE: &str = "trusted.overlay.opaque";

/// Unpacks as the argument says, and answers one line.
pub fn main(argument: &str) -> ExitCode {
    let unpacked = serde_json::from_str::<Unpack>(argument)
        .map_err(Failure::host)
        .and_then(|order| enter(&order.directory).map_err(Failure::host).map(|()| order.limits))
        .and_then(|limits| unpack(io::stdin().lock(), &limits));
    let (answer, code) = match unpacked {
        Ok((bytes, entries)) => (Unpacked::Done { bytes, entries }, ExitCode::SUCCESS),
        Err(Failure { reason, again }) => (Unpacked::Failed { reason, again }, ExitCode::FAILURE),
    };
    process::say(&answer);
    code
}

/// Locks this process into a directory.
fn enter(directory: &Path) -> io::Result<()> {
    process::limit()?;
    rustix::process::chroot(directory)?;
    std::env::set_current_dir("/")?;
    rustix::process::umask(Mode::empty());
    Ok(())
}

/// Unpacks a layer, compressed or not, into `/`.
fn unpack(input: impl Read, limits: &Limits) -> Result<(u64, u64), Failure> {
    let mut input = BufReader::with_capacity(256 << 10, input);
    let mut unpacking = Unpacking::new(limits);
    let start = input.fill_buf().map_err(Failure::host)?;
    match start {
        [0x1f, 0x8b, ..] => unpacking.all(flate2::bufread::MultiGzDecoder::new(&mut input))?,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => unpacking.all(Zstandard(&mut input, None))?,
        _ => unpacking.all(&mut input)?,
    }
    unpacking.finish()?;
    // Who writes shall not meet a closed pipe: what follows the end is part of the digest.
    io::copy(&mut input, &mut io::sink()).map_err(Failure::host)?;
    Ok((unpacking.bytes, unpacking.entries))
}

/// All frames of a zstd stream, one after the other.
struct Zstandard<'a, R: Read>(&'a mut BufReader<R>, Option<Box<ruzstd::decoding::FrameDecoder>>);

impl<R: Read> Read for Zstandard<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
        let decoder = self.1.get_or_insert_with(|| Box::new(FrameDecoder::new()));
        loop {
            let read = decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            if decoder.is_finished() {
                if self.0.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                decoder.reset(&mut *self.0).map_err(io::Error::other)?;
            }
            let wanted = BlockDecodingStrategy::UptoBytes(buffer.len().max(128 << 10));
            decoder.decode_blocks(&mut *self.0, wanted).map_err(io::Error::other)?;
        }
    }
}

struct Unpacking<'a> {
    limits: &'a Limits,
    root: Option<File>,
    bytes: u64,
    entries: u64,
    looked: u64,
    /// The times of folders, which change while they are filled.
    times: BTreeMap<PathBuf, Timestamps>,
    buffer: Vec<u8>,
}

impl<'a> Unpacking<'a> {
    fn new(limits: &'a Limits) -> Self {
        let (root, times, buffer) = (None, BTreeMap::new(), vec![0; 256 << 10]);
        Self { limits, root, bytes: 0, entries: 0, looked: 0, times, buffer }
    }

    fn all(&mut self, reader: impl Read) -> Result<(), Failure> {
        let mut archive = Archive::new(reader);
        while let Some(entry) = archive.next().map_err(damaged)? {
            self.entries += 1;
            if self.entries > self.limits.layer_entries {
                let reason = format!("it has more than {} files", self.limits.layer_entries);
                return Err(Failure::pointless(reason));
            }
            let path = inside(&entry.path).map_err(Failure::pointless)?;
            self.entry(&entry, &path, &mut archive).map_err(|problem| problem.of(&path))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        for (path, times) in &self.times {
            // A later entry may have put something else in its place.
            if is_folder(path) {
                rustix::fs::utimensat(CWD, path, times, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| Problem::Host(error.into()).of(path))?;
            }
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, entry: &Entry, path: &Path, archive: &mut Archive<R>) -> Result<(), Problem> {
        let Some(name) = path.file_name() else {
            return if entry.kind == Kind::Folder {
                self.dress(entry, path)
            } else {
                Err(Problem::Bad("it is the root"))
            };
        };
        make_parents(path)?;
        if let Some(hidden) = name.as_bytes().strip_prefix(b".wh.") {
            return mark(path, hidden);
        }
        if matches!(entry.kind, Kind::Character | Kind::Block) && (entry.major, entry.minor) == (0, 0) {
            return mark(path, name.as_bytes());
        }
        match fs::symlink_metadata(path) {
            Ok(there) if there.is_dir() && entry.kind == Kind::Folder => return self.dress(entry, path),
            Ok(there) if there.is_dir() => nomadd_oci::store::remove_tree(path)?,
            Ok(there) => {
                fs::remove_file(path)?;
                // The removal of what lies below goes on to hold for what is in the folder there.
                if there.file_type().is_char_device() && there.rdev() == 0 && entry.kind == Kind::Folder {
                    fs::create_dir(path)?;
                    hide_below(path)?;
                    return self.dress(entry, path);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let mode = Mode::from_bits_truncate(entry.mode);
        let node = |kind, device| Ok::<_, Problem>(rustix::fs::mknodat(CWD, path, kind, mode, device)?);
        let device = || rustix::fs::makedev(entry.major, entry.minor);
        match entry.kind {
            Kind::File => return self.file(entry, path, archive),
            Kind::HardLink => {
                let target = inside(&entry.link).map_err(Problem::Stranger)?;
                if !fs::symlink_metadata(&target).is_ok_and(|there| !there.is_dir()) {
                    let target = shown(&target);
                    return Err(Problem::Stranger(format!(
                        "it is a hard link to {target}, which the layer does not have"
                    )));
                }
                // What it links to has been dressed.
                return Ok(rustix::fs::linkat(CWD, &target, CWD, path, AtFlags::empty())?);
            }
            Kind::Symlink => {
                if entry.link.is_empty() || entry.link.len() > LONGEST_PATH || entry.link.contains(&0) {
                    return Err(Problem::Bad("it is a symbolic link that leads nowhere"));
                }
                std::os::unix::fs::symlink(OsStr::from_bytes(&entry.link), path)?;
            }
            Kind::Folder => fs::create_dir(path)?,
            Kind::Fifo => node(FileType::Fifo, 0)?,
            Kind::Character => node(FileType::CharacterDevice, device())?,
            Kind::Block => node(FileType::BlockDevice, device())?,
        }
        self.dress(entry, path)
    }

    fn file<R: Read>(&mut self, entry: &Entry, path: &Path, archive: &mut Archive<R>) -> Result<(), Problem> {
        self.bytes = self.bytes.saturating_add(entry.size);
        if self.bytes > self.limits.layer_bytes {
            let most = self.limits.layer_bytes >> 20;
            return Err(Problem::Stranger(format!("with it the layer is larger than {most} MB unpacked")));
        }
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let mut file = options.open(path)?;
        let mut content = archive.content();
        loop {
            let read = content.read(&mut self.buffer).map_err(|error| Problem::Archive(error.into()))?;
            if read == 0 {
                break;
            }
            file.write_all(&self.buffer[..read])?;
            self.looked += read as u64;
            if self.looked >= LOOK_EVERY {
                self.looked = 0;
                look(&mut self.root, self.limits.keep_free)?;
            }
        }
        rustix::fs::fchown(&file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
        rustix::fs::fchmod(&file, Mode::from_bits_truncate(entry.mode))?;
        for (name, value) in attributes(entry)? {
            rustix::fs::fsetxattr(&file, &*name, value, XattrFlags::empty()).or_else(unsupported)?;
        }
        Ok(rustix::fs::futimens(&file, &times(entry))?)
    }

    /// Owner, permissions, attributes and times of what is not a file.
    fn dress(&mut self, entry: &Entry, path: &Path) -> Result<(), Problem> {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if entry.kind != Kind::Symlink {
            rustix::fs::chmodat(CWD, path, Mode::from_bits_truncate(entry.mode), AtFlags::empty())?;
        }
        for (name, value) in attributes(entry)? {
            rustix::fs::lsetxattr(path, &*name, value, XattrFlags::empty()).or_else(unsupported)?;
        }
        let times = times(entry);
        if entry.kind == Kind::Folder {
            self.times.insert(path.to_owned(), times);
            return Ok(());
        }
        Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// What is wrong with an entry.
enum Problem {
    /// With what it says.
    Bad(&'static str),
    /// The same, with words of its own.
    Stranger(String),
    /// With the archive.
    Archive(TarError),
    /// With this host.
    Host(io::Error),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}

impl From<rustix::io::Errno> for Problem {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Host(error.into())
    }
}

impl Problem {
    fn of(self, path: &Path) -> Failure {
        let path = shown(path);
        match self {
            Self::Bad(reason) => Failure::pointless(format!("its entry {path} is refused: {reason}")),
            Self::Stranger(reason) => Failure::pointless(format!("its entry {path} is refused: {reason}")),
            Self::Archive(error) => damaged(error),
            Self::Host(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                Failure::pointless(format!("its entry {path} is refused: {error}"))
            }
            Self::Host(error) => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(),
                io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
                    Failure::pointless(format!("its entry {path} is refused: {error}"))
                }
                _ => Failure::worthwhile(format!("its entry {path} cannot be written: {error}")),
            },
        }
    }
}

fn full() -> Failure {
    Failure::worthwhile(
        "the disk of the image store is full; free some of it, or remove images that nothing uses (PUT /v1/client/gc on the node)",
    )
}

fn damaged(error: TarError) -> Failure {
    match error {
        TarError::Read(error) => Failure::pointless(format!("it is damaged or cut off: {error}")),
        error => Failure::pointless(error.to_string()),
    }
}

/// A path as people read it: one line, not too long.
fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let cut: String = text.chars().take(200).collect();
    format!("{cut:?}{}", if cut.len() < text.len() { "…" } else { "" })
}

/// The name of an entry as a path from `/`; refuses what would lead out of it, or what no file can be called.
fn inside(name: &[u8]) -> Result<PathBuf, String> {
    let refuse =
        |reason: &str| Err(format!("its entry {} is refused: {reason}", shown(Path::new(OsStr::from_bytes(name)))));
    if name.len() > LONGEST_PATH {
        return refuse("its name is longer than 4095 bytes");
    }
    let mut path = PathBuf::from("/");
    for (depth, part) in name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).enumerate() {
        match part {
            b".." => return refuse("its name leads out of the image"),
            part if part.contains(&0) => return refuse("its name has a zero byte"),
            part if part.len() > LONGEST_NAME => return refuse("a part of its name is longer than 255 bytes"),
            _ if depth >= DEEPEST => return refuse("it is more than 512 folders deep"),
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    Ok(path)
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|there| there.is_dir())
}

/// Folders that the archive left out.
fn make_parents(path: &Path) -> Result<(), Problem> {
    let Some(parent) = path.parent() else { return Ok(()) };
    match fs::metadata(parent) {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(_) => Err(Problem::Bad("what should be its folder is a file")),
        Err(_) if parent.is_symlink() => {
            Err(Problem::Bad("what should be its folder is a link to nothing in the layer"))
        }
        Err(_) => {
            let mut builder = fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
            Ok(builder.recursive(true).create(parent)?)
        }
    }
}

/// `.wh.NAME`: what lies below under that name is gone; `.wh..wh..opq`: all that lies below in the folder is.
fn mark(path: &Path, hidden: &[u8]) -> Result<(), Problem> {
    let Some(folder) = path.parent() else { return Err(Problem::Bad("it is the root")) };
    match hidden {
        b".wh..opq" => hide_below(folder),
        // Notes of a file system that once made layers.
        other if other.starts_with(b".wh.") => Ok(()),
        b"" | b"." | b".." => Err(Problem::Bad("it marks nothing as removed")),
        name => {
            let path = folder.join(OsStr::from_bytes(name));
            match fs::symlink_metadata(&path) {
                // It came with this layer: only what lies below is meant.
                Ok(there) if there.is_dir() => hide_below(&path),
                Ok(_) => Ok(()),
                Err(_) => Ok(rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), 0)?),
            }
        }
    }
}

fn hide_below(folder: &Path) -> Result<(), Problem> {
    Ok(rustix::fs::lsetxattr(folder, OPAQUE, b"y", XattrFlags::empty())?)
}

/// The attributes that a layer may bring: users' and file capabilities. Those of overlayfs would let it reach into others;
/// all other ones are of the host that made it.
fn attributes(entry: &Entry) -> Result<Vec<(CString, &[u8])>, Problem> {
    let mut wanted = Vec::new();
    for (name, value) in &entry.attributes {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            return Err(Problem::Bad("it has attributes of overlayfs itself"));
        }
        let is_wanted = name.starts_with(b"user.") || name == b"security.capability";
        if let (true, Ok(name)) = (is_wanted, CString::new(name.clone())) {
            wanted.push((name, value.as_slice()));
        }
    }
    Ok(wanted)
}

/// Links and devices have no attributes of users; some file systems have none at all.
fn unsupported(error: rustix::io::Errno) -> rustix::io::Result<()> {
    match error {
        rustix::io::Errno::NOTSUP | rustix::io::Errno::PERM => Ok(()),
        error => Err(error),
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.seconds, tv_nsec: entry.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Looks whether the disk keeps enough room.
fn look(root: &mut Option<File>, keep_free: u64) -> Result<(), Problem> {
    if root.is_none() {
        *root = Some(File::open("/")?);
    }
    let Some(root) = root else { return Ok(()) };
    let disk = rustix::fs::fstatvfs(root)?;
    match disk.f_bavail.saturating_mul(disk.f_frsize) < keep_free {
        true => Err(Problem::Host(io::ErrorKind::StorageFull.into())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_whatever_they_say() {
        for (name, path) in [("a/b", "/a/b"), ("/a", "/a"), ("./a//./b/", "/a/b"), ("./", "/"), ("a\nb", "/a\nb")] {
            assert_eq!(inside(name.as_bytes()).unwrap(), Path::new(path), "{name:?}");
        }
        let long = "x".repeat(256);
        let deep = "d/".repeat(513);
        for (name, reason) in [
            ("../a", "leads out"),
            ("a/../../b", "leads out"),
            ("a/..", "leads out"),
            ("a\0b", "zero byte"),
            (&long, "longer than 255"),
            (&deep, "512 folders"),
        ] {
            let refused = inside(name.as_bytes()).unwrap_err();
            assert!(refused.contains(reason) && !refused.contains('\n'), "{refused}");
        }
        assert!(inside(&[b'a'; 5000]).unwrap_err().contains("longer than 4095"));
    }
}
