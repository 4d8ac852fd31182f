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
    #[error("the message has {}; this agent speaks format 1: is the other side of another version?", .found.map_or_else(|| "no format".to_owned(), |byte| format!("format {byte}")))]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{NodeAllocationUpdateRequest, NodeAllocations, NodeRegisterRequest, ServerHelloResponse};
    use crate::tunnel::{NodeOrder, TunnelHello};

    #[test]
    fn any_bytes_are_decoded_or_refused() {
        let tunnel = TunnelHello::Reverse { id: [7; 16], node_id: Default::default(), secret: Default::default() };
        let seeds = [
            encode(&NodeRegisterRequest::default()).unwrap(),
            encode(&NodeAllocationUpdateRequest { updates: vec![Default::default(); 3], ..Default::default() })
                .unwrap(),
            encode(&NodeAllocations {
                changed: vec![Default::default(); 2],
                jobs: vec![Default::default(); 2],
                ..Default::default()
            })
            .unwrap(),
            encode(&ServerHelloResponse { members: vec![Default::default(); 3], ..Default::default() }).unwrap(),
            encode(&tunnel).unwrap(),
        ];
        assert_eq!(decode::<TunnelHello>(&seeds[4]).unwrap(), tunnel);
        let mut noise = 0x9e37_79b9_u32;
        let mut random = move |below: usize| {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            noise as usize % below.max(1)
        };
        for round in 0..20_000 {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..=random(4) {
                match random(3) {
                    0 => bytes.truncate(random(bytes.len() + 1)),
                    1 => bytes.insert(random(bytes.len()), random(256) as u8),
                    _ => {
                        let at = random(bytes.len());
                        if let Some(byte) = bytes.get_mut(at) {
                            *byte = random(256) as u8;
                        }
                    }
                }
            }
            drop(decode::<NodeRegisterRequest>(&bytes));
            drop(decode::<NodeAllocationUpdateRequest>(&bytes));
            drop(decode::<NodeAllocations>(&bytes));
            drop(decode::<ServerHelloResponse>(&bytes));
            drop(decode::<TunnelHello>(&bytes));
            drop(decode::<NodeOrder>(&bytes));
        }
    }

    #[test]
    fn a_list_that_claims_to_be_endless_takes_no_memory() {
        // A map with one entry, "Updates", an array of 2^32 - 1 elements, and nothing of it.
        let mut bytes = vec![FORMAT, 0x81, 0xa7];
        bytes.extend(b"Updates");
        bytes.extend([0xdd, 0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(decode::<NodeAllocationUpdateRequest>(&bytes), Err(CodecError::Decode(_))));
    }

    #[test]
    fn another_format_is_told() {
        let error = decode::<NodeOrder>(&[2, 0xc0]).unwrap_err();
        assert!(error.to_string().contains("has format 2; this agent speaks format 1"), "{error}");
    }
}
