//! How foca's headers and members look as bytes: small, of fixed order, checked on the way in.
//!
//! The version is the packet's first byte (`seal.rs`); these bytes change only together with it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};
use nomadd_model::Text;

use crate::identity::{Identity, NAME_MOST};

/// The bytes are not a header or member, or there is no room for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Less or other than a header or member.
    #[error("the packet is not one of this protocol")]
    Malformed,
    /// The packet is full.
    #[error("no room is left in the packet")]
    Full,
}

/// Encodes for foca; remembers the incarnation that foca last sent, which it does not tell otherwise.
#[derive(Debug, Default, Clone)]
pub struct Codec {
    incarnation: Arc<AtomicU16>,
}

impl Codec {
    /// The own incarnation of the last packet.
    pub fn incarnation(&self) -> u16 {
        self.incarnation.load(Ordering::Relaxed)
    }
}

const PING: u8 = 1;
const ACK: u8 = 2;
const PING_REQ: u8 = 3;
const INDIRECT_PING: u8 = 4;
const INDIRECT_ACK: u8 = 5;
const FORWARDED_ACK: u8 = 6;
const ANNOUNCE: u8 = 7;
const FEED: u8 = 8;
const GOSSIP: u8 = 9;
const BROADCAST: u8 = 10;
const TURN_UNDEAD: u8 = 11;

impl foca::Codec<Identity> for Codec {
    type Error = CodecError;

    fn encode_header(&mut self, header: &Header<Identity>, mut buf: impl BufMut) -> Result<(), CodecError> {
        self.incarnation.store(header.src_incarnation, Ordering::Relaxed);
        put_identity(&header.src, &mut buf)?;
        put_identity(&header.dst, &mut buf)?;
        if buf.remaining_mut() < 4 {
            return Err(CodecError::Full);
        }
        buf.put_u16(header.src_incarnation);
        match &header.message {
            Message::Ping(number) => put_numbered(PING, *number, &mut buf),
            Message::Ack(number) => put_numbered(ACK, *number, &mut buf),
            Message::PingReq { target, probe_number } => {
                put_numbered(PING_REQ, *probe_number, &mut buf);
                return put_identity(target, &mut buf);
            }
            Message::IndirectPing { origin, probe_number } => {
                put_numbered(INDIRECT_PING, *probe_number, &mut buf);
                return put_identity(origin, &mut buf);
            }
            Message::IndirectAck { target, probe_number } => {
                put_numbered(INDIRECT_ACK, *probe_number, &mut buf);
                return put_identity(target, &mut buf);
            }
            Message::ForwardedAck { origin, probe_number } => {
                put_numbered(FORWARDED_ACK, *probe_number, &mut buf);
                return put_identity(origin, &mut buf);
            }
            Message::Announce => buf.put_u8(ANNOUNCE),
            Message::Feed => buf.put_u8(FEED),
            Message::Gossip => buf.put_u8(GOSSIP),
            Message::Broadcast => buf.put_u8(BROADCAST),
            Message::TurnUndead => buf.put_u8(TURN_UNDEAD),
        }
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Identity>, CodecError> {
        let src = get_identity(&mut buf)?;
        let dst = get_identity(&mut buf)?;
        let src_incarnation = get_u16(&mut buf)?;
        let message = match get_u8(&mut buf)? {
            PING => Message::Ping(get_u8(&mut buf)?),
            ACK => Message::Ack(get_u8(&mut buf)?),
            PING_REQ => {
                let probe_number = get_u8(&mut buf)?;
                Message::PingReq { target: get_identity(&mut buf)?, probe_number }
            }
            INDIRECT_PING => {
                let probe_number = get_u8(&mut buf)?;
                Message::IndirectPing { origin: get_identity(&mut buf)?, probe_number }
            }
            INDIRECT_ACK => {
                let probe_number = get_u8(&mut buf)?;
                Message::IndirectAck { target: get_identity(&mut buf)?, probe_number }
            }
            FORWARDED_ACK => {
                let probe_number = get_u8(&mut buf)?;
                Message::ForwardedAck { origin: get_identity(&mut buf)?, probe_number }
            }
            ANNOUNCE => Message::Announce,
            FEED => Message::Feed,
            GOSSIP => Message::Gossip,
            BROADCAST => Message::Broadcast,
            TURN_UNDEAD => Message::TurnUndead,
            _ => return Err(CodecError::Malformed),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(&mut self, member: &Member<Identity>, mut buf: impl BufMut) -> Result<(), CodecError> {
        if buf.remaining_mut() < length(member.id()) + 3 {
            return Err(CodecError::Full);
        }
        put_identity(member.id(), &mut buf)?;
        buf.put_u16(member.incarnation());
        buf.put_u8(match member.state() {
            State::Alive => 1,
            State::Suspect => 2,
            State::Down => 3,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<Identity>, CodecError> {
        let id = get_identity(&mut buf)?;
        let incarnation = get_u16(&mut buf)?;
        let state = match get_u8(&mut buf)? {
            1 => State::Alive,
            2 => State::Suspect,
            3 => State::Down,
            _ => return Err(CodecError::Malformed),
        };
        Ok(Member::new(id, incarnation, state))
    }
}

fn put_numbered(kind: u8, number: u8, buf: &mut impl BufMut) {
    buf.put_u8(kind);
    buf.put_u8(number);
}

fn length(identity: &Identity) -> usize {
    1 + identity.name.len() + 8 + 1 + if identity.address.is_ipv4() { 4 } else { 16 } + 2
}

fn put_identity(identity: &Identity, buf: &mut impl BufMut) -> Result<(), CodecError> {
    if buf.remaining_mut() < length(identity) {
        return Err(CodecError::Full);
    }
    buf.put_u8(u8::try_from(identity.name.len()).map_err(|_| CodecError::Malformed)?);
    buf.put_slice(identity.name.as_bytes());
    buf.put_u64(identity.generation);
    match identity.address.ip() {
        IpAddr::V4(ip) => {
            buf.put_u8(4);
            buf.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            buf.put_u8(6);
            buf.put_slice(&ip.octets());
        }
    }
    buf.put_u16(identity.address.port());
    Ok(())
}

fn get_identity(buf: &mut impl Buf) -> Result<Identity, CodecError> {
    let length = usize::from(get_u8(buf)?);
    if length > NAME_MOST || buf.remaining() < length {
        return Err(CodecError::Malformed);
    }
    let mut name = [0; NAME_MOST];
    let name = name.get_mut(..length).ok_or(CodecError::Malformed)?;
    buf.copy_to_slice(name);
    let name = Text::from(std::str::from_utf8(name).map_err(|_| CodecError::Malformed)?);
    let generation = buf.try_get_u64().map_err(|_| CodecError::Malformed)?;
    let ip = match get_u8(buf)? {
        4 => IpAddr::from(get_array::<4>(buf)?),
        6 => IpAddr::from(get_array::<16>(buf)?),
        _ => return Err(CodecError::Malformed),
    };
    let identity = Identity { name, address: SocketAddr::new(ip, get_u16(buf)?), generation };
    if identity.is_sound() { Ok(identity) } else { Err(CodecError::Malformed) }
}

fn get_array<const N: usize>(buf: &mut impl Buf) -> Result<[u8; N], CodecError> {
    let mut bytes = [0; N];
    buf.try_copy_to_slice(&mut bytes).map_err(|_| CodecError::Malformed)?;
    Ok(bytes)
}
fn get_u8(buf: &mut impl Buf) -> Result<u8, CodecError> {
    buf.try_get_u8().map_err(|_| CodecError::Malformed)
}
fn get_u16(buf: &mut impl Buf) -> Result<u16, CodecError> {
    buf.try_get_u16().map_err(|_| CodecError::Malformed)
}

#[cfg(test)]
mod tests {
    use foca::Codec as _;

    use super::*;
    use crate::kept::{headers, identity};

    #[test]
    fn every_message_reads_back_as_it_was_written() {
        let mut codec = Codec::default();
        for header in headers() {
            let mut bytes = Vec::new();
            codec.encode_header(&header, &mut bytes).unwrap();
            assert_eq!(codec.decode_header(&bytes[..]).unwrap(), header);
            for cut in 0..bytes.len() {
                assert_eq!(codec.decode_header(&bytes[..cut]), Err(CodecError::Malformed), "cut at {cut}");
            }
        }
        assert_eq!(codec.incarnation(), 9);
        for state in [State::Alive, State::Suspect, State::Down] {
            let member = Member::new(identity("b", "[fd00::2]:1"), 65535, state);
            let mut bytes = Vec::new();
            codec.encode_member(&member, &mut bytes).unwrap();
            assert_eq!(codec.decode_member(&bytes[..]).unwrap(), member);
        }
    }

    #[test]
    fn a_full_buffer_is_left_clean() {
        let member = Member::alive(identity("a.global", "10.0.0.1:4648"));
        let mut bytes = Vec::new();
        assert_eq!(Codec::default().encode_member(&member, (&mut bytes).limit(10)), Err(CodecError::Full));
        assert!(bytes.is_empty());
    }
}
