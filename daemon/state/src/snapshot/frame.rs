//! Frames: what holds for every part of a snapshot, whatever it is.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The format of all frames. Another one means another layout of the frame itself.
const FORMAT: u8 = 1;
/// More than anything that is admitted; a length beyond it is damage, or an attack.
const MAX_FRAME: usize = 64 << 20;
/// Format, type, length, checksum.
const HEAD: usize = 10;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Header = 1,
    Namespace = 2,
    NodePool = 3,
    RootKey = 4,
    Node = 5,
    Job = 6,
    Resources = 7,
    Metrics = 8,
    Allocation = 9,
    Evaluation = 10,
    Deployment = 11,
    End = 255,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Header,
        Self::Namespace,
        Self::NodePool,
        Self::RootKey,
        Self::Node,
        Self::Job,
        Self::Resources,
        Self::Metrics,
        Self::Allocation,
        Self::Evaluation,
        Self::Deployment,
        Self::End,
    ];
}

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It ends too early.
    #[error("the snapshot ends within frame {frame}; it was not written to its end, or cut")]
    Truncated {
        /// The number of the frame, from 1.
        frame: u64,
    },
    /// Bits have changed.
    #[error("the checksum of frame {frame} of the snapshot does not match; it is damaged")]
    Checksum {
        /// The number of the frame.
        frame: u64,
    },
    /// A length that cannot be.
    #[error("frame {frame} of the snapshot claims {length} bytes, more than the {limit} that one may have")]
    Oversized {
        /// The number of the frame.
        frame: u64,
        /// What it claims.
        length: u64,
        /// What it may have.
        limit: u64,
    },
    /// Another release wrote it, or it is something else.
    #[error("this is no snapshot of a known format (found {found}, known is {known})")]
    UnknownVersion {
        /// The format that was found.
        found: u8,
        /// The format of this release.
        known: u8,
    },
    /// A newer release wrote it.
    #[error("frame {frame} of the snapshot is of type {found}, which this release does not know")]
    UnknownFrame {
        /// The number of the frame.
        frame: u64,
        /// The type.
        found: u8,
    },
    /// The content is no such thing.
    #[error("frame {frame} of the snapshot cannot be decoded")]
    Decode {
        /// The number of the frame.
        frame: u64,
        /// Why.
        #[source]
        source: rmp_serde::decode::Error,
    },
    /// The content contradicts itself.
    #[error("frame {frame} of the snapshot does not fit the others: {reason}")]
    Inconsistent {
        /// The number of the frame.
        frame: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// Something follows the last frame.
    #[error("something follows the end of the snapshot")]
    Trailing,
    /// Something cannot be encoded.
    #[error("a part of the state cannot be encoded")]
    Encode(#[from] rmp_serde::encode::Error),
    /// Reading or writing failed.
    #[error("the snapshot cannot be read or written")]
    Io(#[from] io::Error),
}

/// Writes frames.
pub(crate) struct Frames<W> {
    out: W,
    buffer: Vec<u8>,
    count: u64,
}

impl<W: Write> Frames<W> {
    pub(crate) const fn new(out: W) -> Self {
        Self { out, buffer: Vec::new(), count: 0 }
    }
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }
    pub(crate) fn write<T: Serialize + ?Sized>(&mut self, kind: Kind, value: &T) -> Result<(), SnapshotError> {
        self.buffer.clear();
        self.buffer.resize(HEAD, 0);
        rmp_serde::encode::write_named(&mut self.buffer, value)?;
        self.count += 1;
        let length = self.buffer.len() - HEAD;
        if length > MAX_FRAME {
            let (length, limit) = (length as u64, MAX_FRAME as u64);
            return Err(SnapshotError::Oversized { frame: self.count, length, limit });
        }
        let length = (length as u32).to_le_bytes();
        let head = [FORMAT, kind as u8, length[0], length[1], length[2], length[3]];
        let sum = crc32c::crc32c_append(crc32c::crc32c(&head), &self.buffer[HEAD..]);
        self.buffer[..6].copy_from_slice(&head);
        self.buffer[6..HEAD].copy_from_slice(&sum.to_le_bytes());
        self.out.write_all(&self.buffer)?;
        Ok(())
    }
    pub(crate) fn finish(mut self) -> Result<(), SnapshotError> {
        Ok(self.out.flush()?)
    }
}

/// Reads frames.
pub(crate) struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
    count: u64,
}

impl<R: Read> Reader<R> {
    pub(crate) const fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), count: 0 }
    }
    /// The number of the frame that was read last.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }
    pub(crate) const fn inconsistent(&self, reason: &'static str) -> SnapshotError {
        SnapshotError::Inconsistent { frame: self.count, reason }
    }

    /// Reads the next frame; `decode` takes it apart.
    pub(crate) fn next(&mut self) -> Result<Kind, SnapshotError> {
        self.count += 1;
        let frame = self.count;
        let cut = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => SnapshotError::Truncated { frame },
            _ => SnapshotError::Io(error),
        };
        let mut head = [0; HEAD];
        self.source.read_exact(&mut head[..1]).map_err(cut)?;
        if head[0] != FORMAT {
            return Err(SnapshotError::UnknownVersion { found: head[0], known: FORMAT });
        }
        self.source.read_exact(&mut head[1..]).map_err(cut)?;
        let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        if length as usize > MAX_FRAME {
            let (length, limit) = (u64::from(length), MAX_FRAME as u64);
            return Err(SnapshotError::Oversized { frame, length, limit });
        }
        self.buffer.clear();
        // Grows with what is there, not with what is claimed.
        let read = self.source.by_ref().take(u64::from(length)).read_to_end(&mut self.buffer)?;
        if read < length as usize {
            return Err(SnapshotError::Truncated { frame });
        }
        let sum = u32::from_le_bytes([head[6], head[7], head[8], head[9]]);
        if crc32c::crc32c_append(crc32c::crc32c(&head[..6]), &self.buffer) != sum {
            return Err(SnapshotError::Checksum { frame });
        }
        Kind::ALL
            .into_iter()
            .find(|kind| *kind as u8 == head[1])
            .ok_or(SnapshotError::UnknownFrame { frame, found: head[1] })
    }

    /// What the frame that was read last holds.
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, SnapshotError> {
        rmp_serde::from_slice(&self.buffer).map_err(|source| SnapshotError::Decode { frame: self.count, source })
    }

    /// Makes sure that nothing follows.
    pub(crate) fn at_end(&mut self) -> Result<(), SnapshotError> {
        let mut more = [0; 1];
        match self.source.read(&mut more)? {
            0 => Ok(()),
            _ => Err(SnapshotError::Trailing),
        }
    }
}
