//! Secrets that servers and nodes share. Their `Debug` prints nothing of them, and they are in no API noun.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::field::Field;

/// What a node proves its identity with: 16 random bytes that it makes once.
#[derive(Clone, Copy, Default)]
pub struct SecretId(pub [u8; 16]);

impl SecretId {
    /// Whether none was given.
    pub fn is_none(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl PartialEq for SecretId {
    /// Takes the same time wherever the first difference is.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }
}
impl Eq for SecretId {}

impl fmt::Debug for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretId(..)")
    }
}

impl Serialize for SecretId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = crate::value::Bytes::deserialize(deserializer)?;
        <[u8; 16]>::try_from(bytes.0.as_slice())
            .map(Self)
            .map_err(|_| D::Error::custom("a secret of 16 bytes is expected"))
    }
}

impl Field for SecretId {
    fn is_zero(&self) -> bool {
        self.is_none()
    }
}
