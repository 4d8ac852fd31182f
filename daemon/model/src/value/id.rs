//! The ids of nouns: 16 bytes, UUIDs in the API.

use std::fmt;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::field::Field;

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {$(
        $(#[$meta])*
        ///
        /// 16 bytes; a UUID's text in the API, `""` for none.
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// No id.
            pub const NONE: Self = Self([0; 16]);
            /// Whether this names nothing.
            pub fn is_none(self) -> bool { self.0 == [0; 16] }
            /// Whether this names something.
            pub fn is_some(self) -> bool { !self.is_none() }
            /// Makes an id of 16 random bytes, as a UUID of version 4.
            pub const fn from_random(mut bytes: [u8; 16]) -> Self {
                bytes[6] = (bytes[6] & 0x0f) | 0x40;
                bytes[8] = (bytes[8] & 0x3f) | 0x80;
                Self(bytes)
            }
            /// The first eight characters, as people see ids.
            pub fn short(self) -> String { let mut text = self.to_string(); text.truncate(8); text }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write_uuid(self.0, f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write_uuid(self.0, f) }
        }
        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> { parse_uuid(text).map(Self) }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_uuid(deserializer).map(Self)
            }
        }
        impl Field for $name { fn is_zero(&self) -> bool { self.is_none() } }
    )*};
}
ids! {
    /// Names an allocation.
    AllocationId,
    /// Names a node.
    NodeId,
    /// Names an evaluation.
    EvaluationId,
    /// Names a deployment.
    DeploymentId,
    /// Names a root key.
    KeyId,
    /// Names anything else that the API gives a UUID: a scaling policy, a volume, a server.
    ObjectId,
}

/// A text that is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Wrong length.
    #[error("UUID must be 36 characters")]
    Length,
    /// Something that is not hexadecimal, or a dash in the wrong place.
    #[error("invalid UUID {0:?}")]
    Form(String),
}

fn write_uuid(bytes: [u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if bytes == [0; 16] {
        return Ok(());
    }
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    f.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

fn parse_uuid(text: &str) -> Result<[u8; 16], InvalidId> {
    if text.is_empty() {
        return Ok([0; 16]);
    }
    if text.len() != 36 {
        return Err(InvalidId::Length);
    }
    let bad = || InvalidId::Form(text.to_owned());
    let mut bytes = [0; 16];
    let mut nibbles = 0;
    for (at, c) in text.bytes().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if c != b'-' {
                return Err(bad());
            }
            continue;
        }
        let digit = (c as char).to_digit(16).ok_or_else(bad)? as u8;
        bytes[nibbles / 2] |= if nibbles % 2 == 0 { digit << 4 } else { digit };
        nibbles += 1;
    }
    Ok(bytes)
}

fn deserialize_uuid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = [u8; 16];
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a UUID")
        }
        fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<[u8; 16], E> {
            parse_uuid(v).map_err(E::custom)
        }
        fn visit_bytes<E: serde::de::Error>(self, v: &[u8]) -> Result<[u8; 16], E> {
            v.try_into().map_err(|_| E::custom("an id of 16 bytes is expected"))
        }
    }
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Visitor)
    } else {
        deserializer.deserialize_bytes(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_text_in_the_api_and_bytes_when_stored() {
        let id: NodeId = "237fa063-8fdc-cf71-05e4-4b5026e640dc".parse().unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"237fa063-8fdc-cf71-05e4-4b5026e640dc\"");
        assert_eq!(rmp_serde::to_vec(&id).unwrap().len(), 18);
        assert_eq!(rmp_serde::from_slice::<NodeId>(&rmp_serde::to_vec(&id).unwrap()).unwrap(), id);
        assert_eq!("237f".parse::<NodeId>(), Err(InvalidId::Length));
        assert_eq!(NodeId::NONE.to_string(), "");
    }
}
