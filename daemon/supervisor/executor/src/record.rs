//! The one format of everything that passes between daemon and executor: lines of `key value`, in frames on a socket
//! and alone in a file. Values are bytes (an environment need not be UTF-8); a line feed and a backslash are escaped.
//!
//! Readers take what they know and ignore the rest, which is what lets a daemon adopt the executors of another release.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

/// The longest record that is read, in bytes; the kernel takes no larger argument list and environment than 2 MiB.
pub const MAX_BYTES: usize = 4 << 20;

/// A list of keys and values; a key may stand several times.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Record(Vec<(String, Vec<u8>)>);

/// Why bytes are not a record, or a record lacks something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordError {
    /// A line without a key, or longer than allowed.
    Malformed,
    /// The record has no such key.
    Missing(&'static str),
    /// The key's value is not of its type.
    Invalid(&'static str, String),
    /// The record was written in a version that this build does not read.
    Version(u32),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed record"),
            Self::Missing(key) => write!(f, "record without {key:?}"),
            Self::Invalid(key, value) => write!(f, "record with an unusable {key:?}: {value:?}"),
            Self::Version(version) => {
                write!(f, "record of version {version}, this build reads version {}", crate::VERSION)
            }
        }
    }
}

impl std::error::Error for RecordError {}

impl Record {
    /// An empty record of this version and kind.
    pub fn new(kind: &str) -> Self {
        let mut record = Self::default();
        record.push("version", crate::VERSION);
        record.push("kind", kind);
        record
    }

    /// Adds one value, as its text.
    pub fn push(&mut self, key: &str, value: impl ToString) {
        self.push_bytes(key, value.to_string().as_bytes());
    }

    /// Adds one value of any bytes.
    pub fn push_bytes(&mut self, key: &str, value: &[u8]) {
        debug_assert!(!key.is_empty() && !key.contains([' ', '\n', '\\']), "a key is one plain word");
        self.0.push((key.to_owned(), value.to_vec()));
    }

    /// Adds the value if there is one.
    pub fn push_some(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.push(key, value);
        }
    }

    /// The first value of a key.
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_slice())
    }

    /// Every value of a key, in order.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_slice())
    }

    /// The first value as text; lossy where it is not UTF-8.
    pub fn text(&self, key: &str) -> Option<String> {
        self.bytes(key).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The first value, parsed; absent is `None`, unparsable an error.
    pub fn get<T: FromStr>(&self, key: &'static str) -> Result<Option<T>, RecordError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| RecordError::Invalid(key, text))
    }

    /// The first value, parsed; absent is an error.
    pub fn require<T: FromStr>(&self, key: &'static str) -> Result<T, RecordError> {
        self.get(key)?.ok_or(RecordError::Missing(key))
    }

    /// What this record is about.
    pub fn kind(&self) -> String {
        self.text("kind").unwrap_or_default()
    }

    /// Refuses a record of a version above this build's.
    pub fn check_version(&self) -> Result<(), RecordError> {
        match self.require("version")? {
            version if version > crate::VERSION => Err(RecordError::Version(version)),
            _ => Ok(()),
        }
    }

    /// The bytes of the record, as a file holds them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.iter().map(|(key, value)| key.len() + value.len() + 2).sum());
        for (key, value) in &self.0 {
            out.extend_from_slice(key.as_bytes());
            out.push(b' ');
            for byte in value {
                match byte {
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    byte => out.push(*byte),
                }
            }
            out.push(b'\n');
        }
        out
    }

    /// Reads what [`Record::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_BYTES || bytes.last().is_some_and(|last| *last != b'\n') {
            return Err(RecordError::Malformed);
        }
        let mut record = Self::default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let space = line.iter().position(|byte| *byte == b' ').ok_or(RecordError::Malformed)?;
            let key = std::str::from_utf8(&line[..space]).map_err(|_| RecordError::Malformed)?;
            if key.is_empty() {
                return Err(RecordError::Malformed);
            }
            let mut value = Vec::with_capacity(line.len() - space);
            let mut rest = line[space + 1..].iter();
            while let Some(byte) = rest.next() {
                value.push(match byte {
                    b'\\' => match rest.next() {
                        Some(b'n') => b'\n',
                        Some(b'\\') => b'\\',
                        _ => return Err(RecordError::Malformed),
                    },
                    byte => *byte,
                });
            }
            record.0.push((key.to_owned(), value));
        }
        Ok(record)
    }

    /// The record with its length before it (4 bytes, little endian), as it goes over a socket.
    pub fn frame(&self) -> Vec<u8> {
        let body = self.encode();
        let mut out = Vec::with_capacity(body.len() + 4);
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// Writes the record's frame.
    pub fn send(&self, mut to: impl Write) -> io::Result<()> {
        to.write_all(&self.frame())
    }

    /// Reads one frame, blocking; end of file before it is an error of kind `UnexpectedEof`.
    pub fn receive(mut from: impl Read) -> io::Result<Self> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, RecordError::Malformed));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        Self::decode(&body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Takes the first whole frame out of a buffer of received bytes; `None` while it is not whole yet.
    pub fn take_frame(buffer: &mut Vec<u8>) -> Result<Option<Self>, RecordError> {
        let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_BYTES {
            return Err(RecordError::Malformed);
        }
        let Some(body) = buffer.get(4..4 + length) else { return Ok(None) };
        let record = Self::decode(body)?;
        buffer.drain(..4 + length);
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_whatever_its_bytes() {
        let mut record = Record::new("spec");
        record.push("pid", 17);
        record.push_bytes("env", b"A=line\nline\\n\xff ");
        record.push("env", "");
        let back = Record::decode(&record.encode()).unwrap();
        assert!(back == record);
        assert_eq!(back.require::<u32>("pid"), Ok(17));
        assert_eq!(back.all("env").count(), 2);
    }

    #[test]
    fn a_torn_or_foreign_record_is_an_error_and_no_panic() {
        for bytes in [&b"version 1\npi"[..], b"\n", b" x\n", b"a\\\n", b"a \\q\n", b"novalue\n"] {
            assert_eq!(Record::decode(bytes).err(), Some(RecordError::Malformed), "{bytes:?}");
        }
        let newer = Record::decode(b"version 9\n").unwrap();
        assert_eq!(newer.check_version(), Err(RecordError::Version(9)));
    }

    #[test]
    fn any_bytes_are_a_record_that_encodes_the_same_or_an_error() {
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            for _ in 0..24 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                bytes.push(b"a \n\\n9\xff"[(seed >> 33) as usize % 7]);
            }
            bytes.push(b'\n');
            if let Ok(record) = Record::decode(&bytes) {
                assert_eq!(record.encode(), bytes);
            }
            drop(Record::take_frame(&mut bytes));
        }
    }

    #[test]
    fn frames_are_taken_whole_from_a_growing_buffer() {
        let frame = Record::new("stop").frame();
        let mut buffer = Vec::new();
        for byte in &frame[..frame.len() - 1] {
            buffer.push(*byte);
            assert!(Record::take_frame(&mut buffer).unwrap().is_none());
        }
        buffer.extend_from_slice(&frame[frame.len() - 1..]);
        buffer.extend_from_slice(&frame);
        assert_eq!(Record::take_frame(&mut buffer).unwrap().unwrap().kind(), "stop");
        assert_eq!(Record::take_frame(&mut buffer).unwrap().unwrap().kind(), "stop");
        assert!(buffer.is_empty());
    }
}
