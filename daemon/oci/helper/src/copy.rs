//! Lays layers over each other by copying, for hosts without overlayfs. Every step is relative to an open folder and
//! follows no link, so that nothing a layer holds leads anywhere else.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use nomadd_oci::wire::Copy;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};

use crate::process;

const OPAQUE: &str = "trusted.overlay.opaque";
/// The most bytes of one attribute, or of the names of all.
const MOST_ATTRIBUTE: usize = 64 << 10;

/// Copies as the argument says.
pub fn main(argument: &str) -> ExitCode {
    let copied = process::limit().and_then(|()| {
        let Copy { layers, to } = serde_json::from_str(argument)?;
        let to = open(CWD, &to)?;
        layers.iter().try_for_each(|layer| lay(&open(CWD, layer)?, &to, true))
    });
    match copied {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn open(at: impl std::os::fd::AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

/// Lays a folder over another one.
fn lay(from: &OwnedFd, to: &OwnedFd, top: bool) -> io::Result<()> {
    let stat = rustix::fs::fstat(from)?;
    if !top && is_opaque(from) {
        empty(to)?;
    }
    let mut names = Vec::new();
    for entry in Dir::read_from(from)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.as_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    for name in names {
        let inner = rustix::fs::statat(from, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(inner.st_mode);
        let there = rustix::fs::statat(to, &name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let is_folder = there.is_some_and(|there| FileType::from_raw_mode(there.st_mode) == FileType::Directory);
        if there.is_some() && !(is_folder && kind == FileType::Directory) {
            remove(to, &name, is_folder)?;
        }
        match kind {
            FileType::CharacterDevice if inner.st_rdev == 0 => {}
            FileType::Directory => {
                if !is_folder {
                    rustix::fs::mkdirat(to, &name, Mode::from(0o700))?;
                }
                lay(&open(from, &name)?, &open(to, &name)?, false)?;
            }
            FileType::RegularFile => copy_file(from, to, &name, &inner)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, &name, Vec::new())?;
                rustix::fs::symlinkat(target, to, &name)?;
                dress_at(to, &name, &inner)?;
            }
            kind => {
                rustix::fs::mknodat(to, &name, kind, Mode::from_raw_mode(inner.st_mode), inner.st_rdev)?;
                dress_at(to, &name, &inner)?;
            }
        }
    }
    dress(from, to, &stat)
}

fn copy_file(from: &OwnedFd, to: &OwnedFd, name: &CString, stat: &Stat) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, flags | OFlags::RDONLY, Mode::empty())?;
    let new = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let target = rustix::fs::openat(to, name, new, Mode::from(0o600))?;
    let (mut reader, mut writer) = (std::fs::File::from(source), std::fs::File::from(target));
    // The kernel shares or copies the blocks itself.
    io::copy(&mut reader, &mut writer)?;
    dress(&reader.into(), &writer.into(), stat)
}

/// Owner, permissions, attributes and times, as they are there.
fn dress(from: &OwnedFd, to: &OwnedFd, stat: &Stat) -> io::Result<()> {
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode))?;
    let mut names = vec![0; MOST_ATTRIBUTE];
    let length = rustix::fs::flistxattr(from, &mut names[..]).unwrap_or(0);
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let mut value = vec![0; MOST_ATTRIBUTE];
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(rustix::fs::futimens(to, &times(stat))?)
}

fn dress_at(to: &OwnedFd, name: &CString, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

fn is_opaque(folder: &OwnedFd) -> bool {
    let mut value = [0; 8];
    rustix::fs::fgetxattr(folder, OPAQUE, &mut value[..]).is_ok_and(|length| &value[..length] == b"y")
}

fn empty(folder: &OwnedFd) -> io::Result<()> {
    let entries: Vec<_> = Dir::read_from(folder)?.collect::<Result<_, _>>()?;
    for entry in entries {
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            remove(folder, name, FileType::from_raw_mode(stat.st_mode) == FileType::Directory)?;
        }
    }
    Ok(())
}

fn remove(at: &OwnedFd, name: &std::ffi::CStr, is_folder: bool) -> io::Result<()> {
    if is_folder {
        empty(&open(at, name)?)?;
        return Ok(rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR)?);
    }
    Ok(rustix::fs::unlinkat(at, name, AtFlags::empty())?)
}
