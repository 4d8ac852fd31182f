//! Reads tar, entry by entry, with bounds: a layer is written by a stranger. Old, ustar, GNU and pax headers; names,
//! links and attributes of up to a megabyte together; sparse files are refused.

use std::io::{self, Read};

use nomadd_oci::wire::Again;
use tar::Header;

use crate::process::Failure;

/// The longest header of names or attributes, in bytes.
const MOST_EXTRA: u64 = 1 << 20;
const BLOCK: u64 = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, its content follows.
    File,
    /// Another name of a file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A folder.
    Folder,
    /// A pipe with a name.
    Fifo,
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As it was written.
    pub path: Vec<u8>,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions with set-id bits.
    pub mode: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Seconds since 1970.
    pub seconds: i64,
    /// And nanoseconds.
    pub nanoseconds: u32,
    /// The length of a file.
    pub size: u64,
    /// Of a device.
    pub major: u32,
    /// Of a device.
    pub minor: u32,
    /// Extended attributes.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// Reading failed, or it ends too early.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is no tar.
    #[error("it is no tar archive: {0}")]
    Malformed(&'static str),
    /// A header is longer than it may be.
    #[error("a header of {0} bytes is longer than 1 MB")]
    Extra(u64),
    /// Files with holes.
    #[error("it has a sparse file, which is not supported; make the archive without them")]
    Sparse,
}

/// It comes to the same the next time, unless reading failed.
impl From<TarError> for Failure {
    fn from(error: TarError) -> Self {
        Self { reason: error.to_string(), again: Again::Pointless }
    }
}

/// A tar archive that is read once from its beginning.
pub struct Archive<R> {
    reader: R,
    /// Bytes of the current entry that were not read, and those up to the next header.
    left: u64,
    padding: u64,
    /// Where the reader is.
    position: u64,
}

/// What pax and GNU headers say of the next entry.
#[derive(Default)]
struct Extra {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    time: Option<(i64, u32)>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<R: Read> Archive<R> {
    /// Of a reader.
    pub fn new(reader: R) -> Self {
        Self { reader, left: 0, padding: 0, position: 0 }
    }

    /// Where the content of the current entry begins, in bytes from the start of the archive.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next entry; none at the end.
    pub fn next(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extra = Extra::default();
        loop {
            self.skip(self.left + self.padding)?;
            (self.left, self.padding) = (0, 0);
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().map_err(|_| TarError::Malformed("a length cannot be read"))?;
            match header.entry_type().as_byte() {
                b'L' => extra.path = Some(self.text(size)?),
                b'K' => extra.link = Some(self.text(size)?),
                b'x' => {
                    let text = self.extra(size)?;
                    pax(&text, &mut extra)?;
                }
                // Of all entries that follow; what makers of images write there is a comment.
                b'g' => drop(self.extra(size)?),
                kind => return self.entry(&header, kind, size, extra).map(Some),
            }
        }
    }

    /// The content of the current entry.
    pub fn content(&mut self) -> impl Read + '_ {
        Content(self)
    }

    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let mut block = [0; BLOCK as usize];
        let mut filled = 0;
        while filled < block.len() {
            match self.reader.read(&mut block[filled..]) {
                // Some writers leave out the two empty blocks at the end.
                Ok(0) if filled == 0 && self.position > 0 => return Ok(None),
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle").into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.position += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| match at {
                148..156 => u32::from(b' '),
                _ => u32::from(*byte),
            })
            .sum();
        let header = Header::from_byte_slice(&block);
        match header.cksum() {
            Ok(noted) if noted == sum => Ok(Some(header.clone())),
            _ => Err(TarError::Malformed("a check sum is wrong")),
        }
    }

    fn entry(&mut self, header: &Header, kind: u8, size: u64, extra: Extra) -> Result<Entry, TarError> {
        let kind = match kind {
            b'\0' | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character,
            b'4' => Kind::Block,
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            b'S' => return Err(TarError::Sparse),
            _ => return Err(TarError::Malformed("an entry is of an unknown kind")),
        };
        let path = extra.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extra.link.or_else(|| header.link_name_bytes().map(|name| name.into_owned())).unwrap_or_default();
        // Old archives write folders as files whose names end in a slash.
        let kind = if kind == Kind::File && path.ends_with(b"/") { Kind::Folder } else { kind };
        let size = extra.size.unwrap_or(size);
        let has_content = kind == Kind::File;
        // A link to a file may note its length; nothing follows it.
        let follows = if has_content { size } else { 0 };
        self.left = follows;
        self.padding = follows.next_multiple_of(BLOCK) - follows;
        // Some writers leave blank what nobody is; the check sum says that it is not damaged.
        let number = |value: io::Result<u64>| {
            u32::try_from(value.unwrap_or(0)).map_err(|_| TarError::Malformed("a user or group is too large"))
        };
        let (seconds, nanoseconds) = match extra.time {
            Some(time) => time,
            None => (i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0), 0),
        };
        let device = |value: io::Result<Option<u32>>| value.ok().flatten().unwrap_or(0);
        Ok(Entry {
            path,
            link,
            kind,
            mode: header.mode().unwrap_or(0o644) & 0o7777,
            uid: extra.uid.map_or_else(|| number(header.uid()), Ok)?,
            gid: extra.gid.map_or_else(|| number(header.gid()), Ok)?,
            seconds,
            nanoseconds,
            size: follows,
            major: device(header.device_major()),
            minor: device(header.device_minor()),
            attributes: extra.attributes,
        })
    }

    /// A name of its own header, without the zero at its end.
    fn text(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let mut text = self.extra(size)?;
        if let Some(end) = text.iter().position(|byte| *byte == 0) {
            text.truncate(end);
        }
        Ok(text)
    }

    fn extra(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > MOST_EXTRA {
            return Err(TarError::Extra(size));
        }
        (self.left, self.padding) = (size, size.next_multiple_of(BLOCK) - size);
        let mut text = Vec::new();
        Content(self).read_to_end(&mut text)?;
        Ok(text)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), TarError> {
        let skipped = io::copy(&mut (&mut self.reader).take(bytes), &mut io::sink())?;
        self.position += skipped;
        if skipped < bytes {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle").into());
        }
        Ok(())
    }
}

struct Content<'a, R>(&'a mut Archive<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.0.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = self.0.reader.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle"));
        }
        self.0.left -= read as u64;
        self.0.position += read as u64;
        Ok(read)
    }
}

/// Takes what a pax header says of the next entry. Its records are counted, not lines: values may have any byte.
fn pax(mut text: &[u8], extra: &mut Extra) -> Result<(), TarError> {
    let wrong = TarError::Malformed("a pax header cannot be read");
    while !text.is_empty() {
        let Some((key, value, rest)) = record(text) else { return Err(wrong) };
        text = rest;
        let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        let needed = || number().ok_or(TarError::Malformed("a number of a pax header cannot be read"));
        let too_large = |_| TarError::Malformed("a user or group is too large");
        let id = || needed().and_then(|id| u32::try_from(id).map_err(too_large));
        match key {
            b"path" => extra.path = Some(value.to_vec()),
            b"linkpath" => extra.link = Some(value.to_vec()),
            b"size" => extra.size = Some(needed()?),
            b"uid" => extra.uid = Some(id()?),
            b"gid" => extra.gid = Some(id()?),
            b"mtime" => extra.time = std::str::from_utf8(value).ok().and_then(time),
            key if key.starts_with(b"GNU.sparse.") => return Err(TarError::Sparse),
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    extra.attributes.push((name.to_vec(), value.to_vec()));
                }
            }
        }
    }
    Ok(())
}

/// `LENGTH KEY=VALUE` and a newline, where the length counts all of it; and what follows.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = text.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&text[..blank]).ok()?.parse().ok()?;
    let (record, rest) = text.split_at_checked(length)?;
    let inner = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = inner.iter().position(|byte| *byte == b'=')?;
    Some((&inner[..equals], &inner[equals + 1..], rest))
}

/// Seconds with a fraction.
fn time(text: &str) -> Option<(i64, u32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    // A fraction of a time before 1970 counts backwards; nobody has such files: the second will do.
    Some((seconds, if text.starts_with('-') { 0 } else { nanoseconds }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(add: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        add(&mut builder);
        builder.into_inner().unwrap()
    }

    fn file(size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o4755);
        header
    }

    #[test]
    fn long_names_and_contents_are_read_and_what_is_not_read_is_skipped() {
        let long = "d/".repeat(200) + "file";
        let bytes = archive(|builder| {
            builder.append_data(&mut file(3), &long, &b"abc"[..]).unwrap();
            let extensions = [("SCHILY.xattr.user.x", &b"y\nz"[..]), ("mtime", b"12.5"), ("uid", b"70000")];
            builder.append_pax_extensions(extensions).unwrap();
            builder.append_data(&mut file(600), "b", &[7; 600][..]).unwrap();
        });
        let mut archive = Archive::new(&bytes[..]);
        let entry = archive.next().unwrap().unwrap();
        assert_eq!((entry.path, entry.size, entry.mode), (long.into_bytes(), 3, 0o4755));
        let entry = archive.next().unwrap().unwrap();
        assert_eq!((entry.seconds, entry.nanoseconds, entry.uid), (12, 500_000_000, 70_000));
        assert_eq!(entry.attributes, [(b"user.x".to_vec(), b"y\nz".to_vec())]);
        let mut content = Vec::new();
        archive.content().read_to_end(&mut content).unwrap();
        assert_eq!(content, [7; 600]);
        assert!(archive.next().unwrap().is_none());
    }

    #[test]
    fn what_is_cut_off_damaged_or_too_long_is_an_error_at_any_byte() {
        let bytes = archive(|builder| builder.append_data(&mut file(600), "b", &[7; 600][..]).unwrap());
        for end in 0..1536 {
            let mut archive = Archive::new(&bytes[..end]);
            let read = archive.next().and_then(|_| archive.next());
            assert!(read.is_err(), "{end}");
        }
        let mut damaged = bytes.clone();
        damaged[0] ^= 1;
        assert!(matches!(Archive::new(&damaged[..]).next(), Err(TarError::Malformed(_))));
        let mut header = file(2 << 20);
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_cksum();
        assert!(matches!(Archive::new(&header.as_bytes()[..]).next(), Err(TarError::Extra(_))));
        let mut header = file(0);
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_cksum();
        assert!(matches!(Archive::new(&header.as_bytes()[..]).next(), Err(TarError::Sparse)));
    }
}
