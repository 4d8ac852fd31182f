//! Root keys as the log keeps them: what everyone may know, and the private part wrapped for each server.

use std::fmt;

use nomadd_model::{Bytes, RootKeyMeta, Text, noun};

noun! {
    /// A root key: its public part, and its private part wrapped once per server.
    pub struct RootKey {
        pub meta: RootKeyMeta = "Meta",
        /// The public key, in the form of the algorithm.
        pub public_key: Bytes = "PublicKey",
        pub wrappings: Vec<Wrapping> = "Wrappings",
    }
}

/// A private key encrypted for one server; only that server's keystore opens it. Its `Debug` prints no ciphertext.
#[derive(Clone, Default, PartialEq)]
pub struct Wrapping(WrappingParts);

noun! {
    /// The parts of a wrapping.
    pub struct WrappingParts {
        pub server_id: Text = "ServerID",
        pub nonce: Bytes = "Nonce",
        pub ciphertext: Bytes = "Ciphertext",
    }
}

impl Wrapping {
    /// A wrapping for a server.
    pub fn new(server_id: Text, nonce: Vec<u8>, ciphertext: Vec<u8>) -> Self {
        Self(WrappingParts { server_id, nonce: Bytes(nonce), ciphertext: Bytes(ciphertext) })
    }
    /// The server that can open it.
    pub const fn server_id(&self) -> &Text {
        &self.0.server_id
    }
    /// The nonce of the encryption.
    pub fn nonce(&self) -> &[u8] {
        &self.0.nonce.0
    }
    /// The encrypted private key.
    pub fn ciphertext(&self) -> &[u8] {
        &self.0.ciphertext.0
    }
}

impl fmt::Debug for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapping").field("server_id", &self.0.server_id).finish_non_exhaustive()
    }
}

impl serde::Serialize for Wrapping {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Wrapping {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WrappingParts::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_prints_no_ciphertext() {
        let key =
            RootKey { wrappings: vec![Wrapping::new("s1".into(), vec![201; 12], vec![217; 32])], ..RootKey::default() };
        let text = format!("{key:?}");
        assert!(text.contains("s1") && !text.contains("217") && !text.contains("201"), "{text}");
    }
}
