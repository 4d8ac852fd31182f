//! The encoding on the wire: a format byte, then MessagePack with names. Bounded before it is parsed.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest message, in bytes.
pub const MAX_MESSAGE: usize = 64 << 20;
const FORMAT: u8 = 1;

/// A message that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Too large.
    #[error("the message has {size} bytes; at most {MAX_MESSAGE} are allowed")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// Another format, or nothing at all.
    #[error("the message has format {found:?}; this agent speaks format 1: is the other side of another version?")]
    Format {
        /// The first byte.
        found: Option<u8>,
    },
    /// Not what was expected.
    #[error("the message cannot be decoded")]
    Decode(#[source] rmp_serde::decode::Error),
    /// Cannot be written.
    #[error("the message cannot be encoded")]
    Encode(#[source] rmp_serde::encode::Error),
}

/// Writes a message.
pub fn encode<T: Serialize + ?Sized>(message: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![FORMAT];
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    message.serialize(&mut serializer).map_err(CodecError::Encode)?;
    if bytes.len() > MAX_MESSAGE { Err(CodecError::TooLarge { size: bytes.len() }) } else { Ok(bytes) }
}

/// Reads a message.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(CodecError::TooLarge { size: bytes.len() });
    }
    match bytes.split_first() {
        Some((&FORMAT, rest)) => rmp_serde::from_slice(rest).map_err(CodecError::Decode),
        other => Err(CodecError::Format { found: other.map(|(byte, _)| *byte) }),
    }
}
