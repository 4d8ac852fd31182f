//! The form of a snapshot, in the data folder as in the file of `operator snapshot save`: a header that says what it is, the
//! state's own stream in checked chunks, and a trailer with length and checksum of the whole.
//!
//! `inspect` reads a file to its end and answers its header; nothing is believed before the trailer agrees.

use std::io::{self, Read, Write};

use nomadd_model::Time;
use nomadd_state::{CommandSet, State, snapshot};
use serde::{Deserialize, Serialize};

use crate::error::SnapshotError;
use crate::membership::StoredServers;
use crate::space::Size;

const MAGIC: [u8; 7] = *b"nomaddS";
/// The format this release writes and reads.
pub const FORMAT: u8 = 1;
const MOST_HEADER: usize = 1 << 20;
const CHUNK: usize = 256 << 10;

/// What a snapshot says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// The index of the last entry in it.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
    /// When it was made.
    pub created: Time,
    /// The release that wrote it.
    #[serde(default)]
    pub release: String,
    /// Whether any entry is in it at all (index 0 is a real entry).
    #[serde(default)]
    pub empty: bool,
    /// Index and term of the membership in it.
    #[serde(default)]
    pub(crate) membership_at: Option<(u64, u64)>,
    #[serde(default)]
    pub(crate) servers: StoredServers,
}

/// A snapshot that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// What it says of itself.
    pub header: SnapshotHeader,
    /// Its length in bytes.
    pub size: u64,
    /// The checksum (CRC-32C) of the whole.
    pub checksum: u32,
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> SnapshotError {
    move |source| SnapshotError::Io { what, source }
}

/// Counts and sums what passes through.
struct Summed<W> {
    inner: W,
    length: u64,
    checksum: u32,
}

impl<W: Write> Summed<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.length += bytes.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        Ok(())
    }
}

/// Cuts the state's stream into chunks.
struct Chunks<'a, W: Write> {
    out: &'a mut Summed<W>,
    chunk: Vec<u8>,
}

impl<W: Write> Chunks<'_, W> {
    fn cut(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.out.put(&(self.chunk.len() as u32).to_le_bytes())?;
        self.out.put(&crc32c::crc32c(&self.chunk).to_le_bytes())?;
        self.out.put(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for Chunks<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (CHUNK - self.chunk.len()).min(bytes.len());
        self.chunk.extend_from_slice(&bytes[..room]);
        if self.chunk.len() == CHUNK {
            self.cut()?;
        }
        Ok(room)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a snapshot; returns its length in bytes.
pub(crate) fn write(state: &State, header: &SnapshotHeader, out: impl Write) -> Result<u64, SnapshotError> {
    let failed = || io_error("write the snapshot");
    let mut out = Summed { inner: out, length: 0, checksum: 0 };
    let head = rmp_serde::to_vec_named(header).map_err(|error| SnapshotError::Damaged(error.to_string()))?;
    out.put(&MAGIC).map_err(failed())?;
    out.put(&[FORMAT]).map_err(failed())?;
    out.put(&(head.len() as u32).to_le_bytes()).map_err(failed())?;
    out.put(&crc32c::crc32c(&head).to_le_bytes()).map_err(failed())?;
    out.put(&head).map_err(failed())?;
    let mut chunks = Chunks { out: &mut out, chunk: Vec::with_capacity(CHUNK) };
    snapshot::write(state, &mut chunks).map_err(|error| SnapshotError::State(error.into()))?;
    chunks.cut().map_err(failed())?;
    out.put(&[0; 4]).map_err(failed())?;
    let length = out.length.to_le_bytes();
    out.put(&length).map_err(failed())?;
    let checksum = out.checksum.to_le_bytes();
    out.put(&checksum).map_err(failed())?;
    out.inner.flush().map_err(failed())?;
    Ok(out.length)
}

/// Reads a snapshot piece by piece, and no more than `most` bytes of it.
struct Source<R> {
    inner: R,
    length: u64,
    checksum: u32,
    most: u64,
}

impl<R: Read> Source<R> {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), SnapshotError> {
        if self.length + into.len() as u64 > self.most {
            return Err(SnapshotError::TooLarge(Size(self.most)));
        }
        self.inner.read_exact(into).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => SnapshotError::Damaged(format!("it is cut after byte {}", self.length)),
            _ => SnapshotError::Io { what: "read the snapshot", source: error },
        })?;
        self.length += into.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, into);
        Ok(())
    }
    fn number(&mut self) -> Result<u32, SnapshotError> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
    fn header(&mut self) -> Result<SnapshotHeader, SnapshotError> {
        let mut magic = [0; 8];
        self.fill(&mut magic).map_err(|error| match error {
            SnapshotError::Damaged(_) => SnapshotError::Foreign,
            other => other,
        })?;
        if magic[..7] != MAGIC {
            return Err(SnapshotError::Foreign);
        }
        if magic[7] != FORMAT {
            return Err(SnapshotError::Version { found: magic[7], known: FORMAT });
        }
        let (length, crc) = (self.number()? as usize, self.number()?);
        if length > MOST_HEADER {
            return Err(SnapshotError::Damaged(format!("its header claims {length} bytes")));
        }
        let mut head = vec![0; length];
        self.fill(&mut head)?;
        if crc32c::crc32c(&head) != crc {
            return Err(SnapshotError::Damaged("its header does not have its checksum".to_owned()));
        }
        rmp_serde::from_slice(&head).map_err(|error| SnapshotError::Damaged(format!("its header: {error}")))
    }
    /// The next chunk; None at the end.
    fn chunk(&mut self, into: &mut Vec<u8>) -> Result<bool, SnapshotError> {
        let length = self.number()? as usize;
        into.clear();
        if length == 0 {
            return Ok(false);
        }
        if length > CHUNK {
            return Err(SnapshotError::Damaged(format!("a chunk before byte {} claims {length} bytes", self.length)));
        }
        let crc = self.number()?;
        into.resize(length, 0);
        self.fill(into)?;
        if crc32c::crc32c(into) != crc {
            return Err(SnapshotError::Damaged(format!(
                "the chunk before byte {} does not have its checksum",
                self.length
            )));
        }
        Ok(true)
    }
    fn trailer(&mut self) -> Result<(u64, u32), SnapshotError> {
        let length = self.length;
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        let checksum = self.checksum;
        if u64::from_le_bytes(bytes) != length || self.number()? != checksum {
            return Err(SnapshotError::Damaged("its checksum is not that of its content".to_owned()));
        }
        Ok((self.length, checksum))
    }
}

/// The chunks in a row, as the state reads them.
struct Body<'a, R: Read> {
    source: &'a mut Source<R>,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
    failed: &'a mut Option<SnapshotError>,
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() && !self.ended {
            self.at = 0;
            match self.source.chunk(&mut self.chunk) {
                Ok(more) => self.ended = !more,
                Err(error) => {
                    let text = error.to_string();
                    *self.failed = Some(error);
                    self.ended = true;
                    return Err(io::Error::other(text));
                }
            }
        }
        let count = into.len().min(self.chunk.len() - self.at);
        into[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Reads a snapshot whole: the state counts only when everything agreed, and when this server knows all commands that its
/// cluster uses.
pub(crate) fn read(from: impl Read, most: u64, known: CommandSet) -> Result<(SnapshotHeader, State), SnapshotError> {
    let mut source = Source { inner: from, length: 0, checksum: 0, most };
    let header = source.header()?;
    let mut failed = None;
    let mut body = Body { source: &mut source, chunk: Vec::new(), at: 0, ended: false, failed: &mut failed };
    let state = snapshot::read(&mut body);
    // What the tables did not read must be there and sound, too.
    let rest = io::copy(&mut body, &mut io::sink());
    match (failed, state, rest) {
        (Some(error), ..) => Err(error),
        (None, Err(error), _) => Err(SnapshotError::State(error.into())),
        (None, Ok(_), Err(error)) => Err(SnapshotError::Io { what: "read the snapshot", source: error }),
        (None, Ok(_), Ok(more)) if more > 0 => Err(SnapshotError::Damaged(format!("{more} bytes follow its tables"))),
        (None, Ok(state), Ok(_)) => {
            source.trailer()?;
            match state.command_set() {
                found if found > known => Err(SnapshotError::Newer { found, known }),
                _ => Ok((header, state)),
            }
        }
    }
}

/// Reads only the header.
pub(crate) fn header(from: impl Read) -> Result<SnapshotHeader, SnapshotError> {
    Source { inner: from, length: 0, checksum: 0, most: u64::MAX }.header()
}

/// Reads a snapshot to its end, checking it without building the state, and says what it is.
pub fn inspect(from: impl Read) -> Result<Inspected, SnapshotError> {
    let mut source = Source { inner: from, length: 0, checksum: 0, most: u64::MAX };
    let header = source.header()?;
    let mut chunk = Vec::new();
    while source.chunk(&mut chunk)? {}
    let (size, checksum) = source.trailer()?;
    Ok(Inspected { header, size, checksum })
}
