//! Packets as they travel: `[version][key id 4][nonce 12][ciphertext][tag 16]`, or `[version][bytes]` without a keyring.
//!
//! Opening never panics and says by kind what was wrong, so that the callers can count it. Datagrams and TCP frames use the
//! same layout with different associated data, so that one cannot pass for the other.

use ring::aead::{Aad, Nonce};

use crate::key::{Cipher, KeyId};
use crate::keyring::Keyring;

/// First byte of what is in clear.
pub const CLEAR: u8 = 0xd1;
/// First byte of what is sealed.
pub const SEALED: u8 = 0xd2;
/// First byte of a refusal, which is always in clear (TCP only).
pub const REFUSAL: u8 = 0xd3;

const NONCE: usize = 12;
const HEAD: usize = 1 + size_of::<KeyId>() + NONCE;
const TAG: usize = 16;
/// What sealing adds to the bytes.
pub const OVERHEAD: usize = HEAD + TAG;
/// Associated data of datagrams.
pub const DATAGRAM: &[u8] = b"datagram";

/// Why something was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// Another protocol or version.
    #[error("it is not of this protocol")]
    Foreign,
    /// No key fits, or it was changed on the way.
    #[error("no key of the ring opens it")]
    WrongKey,
    /// In clear although there is a keyring.
    #[error("it is not encrypted")]
    Unencrypted,
    /// Sealed although there is no keyring.
    #[error("it is encrypted")]
    Encrypted,
}

/// Seals `bytes` with the primary key, or marks them as clear. None when the system has no randomness left or the bytes are
/// longer than the cipher takes.
pub fn seal(keyring: Option<&Keyring>, associated: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let Some(keyring) = keyring else {
        let mut packet = Vec::with_capacity(1 + bytes.len());
        packet.push(CLEAR);
        packet.extend_from_slice(bytes);
        return Some(packet);
    };
    let cipher = keyring.primary()?;
    let mut nonce = [0; NONCE];
    crate::key::fill(&mut nonce).ok()?;
    let mut packet = Vec::with_capacity(OVERHEAD + bytes.len());
    packet.push(SEALED);
    packet.extend_from_slice(&cipher.id);
    packet.extend_from_slice(&nonce);
    packet.extend_from_slice(bytes);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let (_, body) = packet.split_at_mut_checked(HEAD)?;
    let tag = cipher.aead.seal_in_place_separate_tag(nonce, Aad::from(associated), body).ok()?;
    packet.extend_from_slice(tag.as_ref());
    Some(packet)
}

/// Opens what `seal` made; the bytes stand at the start of the result.
pub fn open(keyring: Option<&Keyring>, associated: &[u8], packet: &[u8]) -> Result<Vec<u8>, Shut> {
    match (packet.split_first(), keyring) {
        (Some((&CLEAR, bytes)), None) => Ok(bytes.to_vec()),
        (Some((&CLEAR, _)), Some(_)) => Err(Shut::Unencrypted),
        (Some((&SEALED, _)), None) => Err(Shut::Encrypted),
        (Some((&SEALED, rest)), Some(keyring)) => {
            let (id, rest) = rest.split_first_chunk::<4>().ok_or(Shut::Foreign)?;
            let (nonce, body) = rest.split_first_chunk::<NONCE>().ok_or(Shut::Foreign)?;
            if body.len() < TAG {
                return Err(Shut::Foreign);
            }
            // Two keys may share a short id: whichever opens it.
            let ciphers = keyring.named(id);
            ciphers.iter().find_map(|cipher| try_open(cipher, *nonce, associated, body)).ok_or(Shut::WrongKey)
        }
        _ => Err(Shut::Foreign),
    }
}

fn try_open(cipher: &Cipher, nonce: [u8; NONCE], associated: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let mut body = body.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let length = cipher.aead.open_in_place(nonce, Aad::from(associated), &mut body).ok()?.len();
    body.truncate(length);
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::generate_key;

    fn ring(keys: &[&str]) -> Keyring {
        let ring = Keyring::in_memory(keys[0]).unwrap();
        for key in &keys[1..] {
            ring.add_for_test(key);
        }
        ring
    }

    #[test]
    fn what_is_sealed_opens_and_nothing_else_does() {
        let (one, two) = (generate_key().unwrap(), generate_key().unwrap());
        let (a, b, both) = (ring(&[&one]), ring(&[&two]), ring(&[&two, &one]));
        let packet = seal(Some(&a), DATAGRAM, b"hello").unwrap();
        assert_eq!(packet.len(), 5 + OVERHEAD);
        assert_eq!(open(Some(&a), DATAGRAM, &packet).unwrap(), b"hello");
        assert_eq!(open(Some(&both), DATAGRAM, &packet).unwrap(), b"hello");
        assert_eq!(open(Some(&b), DATAGRAM, &packet), Err(Shut::WrongKey));
        assert_eq!(open(Some(&a), b"frame", &packet), Err(Shut::WrongKey));
        assert_eq!(open(None, DATAGRAM, &packet), Err(Shut::Encrypted));
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 1;
            assert!(open(Some(&a), DATAGRAM, &changed).is_err(), "byte {at}");
            assert!(open(Some(&a), DATAGRAM, &packet[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn clear_packets_pass_only_where_there_is_no_key() {
        let packet = seal(None, DATAGRAM, b"hello").unwrap();
        assert_eq!(open(None, DATAGRAM, &packet).unwrap(), b"hello");
        let keyed = ring(&[&generate_key().unwrap()]);
        assert_eq!(open(Some(&keyed), DATAGRAM, &packet), Err(Shut::Unencrypted));
        assert_eq!(open(None, DATAGRAM, b"GET / HTTP/1.1"), Err(Shut::Foreign));
        assert_eq!(open(None, DATAGRAM, b""), Err(Shut::Foreign));
    }
}
