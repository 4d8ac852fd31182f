//! A gossip key: what the configuration's `encrypt` holds, and the cipher made from it.
//!
//! Sixteen, 24 and 32 bytes are taken as Nomad takes them. Each is expanded to an AES-256-GCM key of its own (HKDF), so that
//! the bytes are never used as they stand and a key's short id says nothing about it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{aead, hkdf};

use crate::error::KeyError;

/// A key of 16, 24 or 32 bytes; prints nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GossipKey(Vec<u8>);

impl GossipKey {
    /// Reads base64. Errors say what is wrong, not what the key was.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| KeyError::NotBase64)?;
        match bytes.len() {
            16 | 24 | 32 => Ok(Self(bytes)),
            length => Err(KeyError::Length(length)),
        }
    }
    /// The key itself as base64, for the operator's eyes and the keyring file.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }
}

impl fmt::Debug for GossipKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GossipKey")
    }
}

/// A new random key of 32 bytes, as base64. An error means that the system has no randomness.
pub fn generate_key() -> Result<String, KeyError> {
    let mut bytes = [0; 32];
    fill(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

/// Random bytes fit for keys and nonces.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), KeyError> {
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), bytes).map_err(|_| KeyError::Randomness)
}

/// Names a key in a packet without telling it.
pub(crate) type KeyId = [u8; 4];

/// A key ready for use.
pub(crate) struct Cipher {
    pub key: GossipKey,
    pub id: KeyId,
    pub aead: aead::LessSafeKey,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

struct IdLength;
impl hkdf::KeyType for IdLength {
    fn len(&self) -> usize {
        size_of::<KeyId>()
    }
}

impl Cipher {
    pub fn new(key: GossipKey) -> Result<Self, KeyError> {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"nomadd gossip 1").extract(&key.0);
        let unbound = secret.expand(&[b"packets"], &aead::AES_256_GCM).map_err(|_| KeyError::Cipher)?;
        let aead = aead::LessSafeKey::new(aead::UnboundKey::from(unbound));
        let mut id = KeyId::default();
        let named = secret.expand(&[b"id"], IdLength).and_then(|made| made.fill(&mut id));
        named.map_err(|_| KeyError::Cipher)?;
        Ok(Self { key, id, aead })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nomads_key_lengths_are_taken_and_others_refused() {
        for length in [16, 24, 32] {
            let text = STANDARD.encode(vec![7; length]);
            let key = GossipKey::from_base64(&text).unwrap();
            assert_eq!(key.to_base64(), text);
            Cipher::new(key).unwrap();
        }
        assert!(matches!(GossipKey::from_base64(&STANDARD.encode([7; 20])), Err(KeyError::Length(20))));
        assert!(matches!(GossipKey::from_base64("not base64"), Err(KeyError::NotBase64)));
    }

    #[test]
    fn a_generated_key_is_one_of_32_bytes_and_debug_hides_it() {
        let text = generate_key().unwrap();
        let key = GossipKey::from_base64(&text).unwrap();
        assert_eq!(key.0.len(), 32);
        assert_eq!(format!("{key:?}"), "GossipKey");
        assert_eq!(format!("{:?}", Cipher::new(key).unwrap()), "Cipher");
    }
}
