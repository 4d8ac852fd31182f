//! A TCP connection between members: sealed frames, each bound to this connection, its direction and its place in it.
//!
//! Both sides give random bytes first and every later frame carries them as associated data, so that a recorded connection
//! cannot be played again. Nothing larger than a frame is held before it has proven itself.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::keyring::Keyring;
use crate::seal::{OVERHEAD, REFUSAL, Shut, open, seal};

/// Bytes of a message in one frame.
const CHUNK: usize = 64 * 1024;
/// The most bytes of a first frame.
const HELLO_MOST: usize = 64;
const RANDOM: usize = 16;

/// What the other side says in clear before it hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It does not have our key.
    UnknownKey,
    /// It wants a key.
    KeyWanted,
    /// It has no key.
    NoKey,
    /// It speaks another version.
    Version,
}

impl Told {
    const fn code(self) -> u8 {
        match self {
            Self::UnknownKey => 1,
            Self::KeyWanted => 2,
            Self::NoKey => 3,
            Self::Version => 4,
        }
    }
    const fn of(code: u8) -> Self {
        match code {
            1 => Self::UnknownKey,
            2 => Self::KeyWanted,
            3 => Self::NoKey,
            _ => Self::Version,
        }
    }
}

/// A connection failed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The system says so.
    #[error("the connection broke")]
    Io(#[from] std::io::Error),
    /// The bytes do not open.
    #[error("a frame does not open")]
    Shut(Shut),
    /// The other side says so.
    #[error("the other side refused the connection")]
    Told(Told),
    /// A frame or message is larger than allowed.
    #[error("a message is too large")]
    TooLarge,
}

#[derive(Clone, Copy)]
enum Side {
    Dialled,
    Accepted,
}

/// A connection whose both ends have proven that they hold a key of the ring (if there is one).
pub struct Session<S> {
    stream: S,
    keyring: Option<Keyring>,
    random: Vec<u8>,
    side: Side,
    sent: u64,
    received: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// The dialling side's greeting.
    pub async fn dial(mut stream: S, keyring: Option<Keyring>) -> Result<Self, StreamError> {
        let mut random = random()?;
        write_frame(&mut stream, keyring.as_ref(), b"hello", &random).await?;
        let answer = read_frame(&mut stream, HELLO_MOST).await?;
        if let [REFUSAL, code, ..] = answer[..] {
            return Err(StreamError::Told(Told::of(code)));
        }
        let theirs = open(keyring.as_ref(), &[b"welcome", &random[..]].concat(), &answer).map_err(StreamError::Shut)?;
        if theirs.len() != RANDOM {
            return Err(StreamError::Shut(Shut::Foreign));
        }
        random.extend_from_slice(&theirs);
        Ok(Self { stream, keyring, random, side: Side::Dialled, sent: 0, received: 0 })
    }

    /// The listening side's greeting; a stranger is told why before the end.
    pub async fn accept(mut stream: S, keyring: Option<Keyring>) -> Result<Self, StreamError> {
        let hello = read_frame(&mut stream, HELLO_MOST).await?;
        let mut random = match open(keyring.as_ref(), b"hello", &hello) {
            Ok(random) if random.len() == RANDOM => random,
            Ok(_) => return Err(StreamError::Shut(Shut::Foreign)),
            Err(shut) => {
                let told = match shut {
                    Shut::WrongKey => Told::UnknownKey,
                    Shut::Unencrypted => Told::KeyWanted,
                    Shut::Encrypted => Told::NoKey,
                    Shut::Foreign => Told::Version,
                };
                write_bytes(&mut stream, &[REFUSAL, told.code()]).await?;
                return Err(StreamError::Shut(shut));
            }
        };
        let own = self::random()?;
        write_frame(&mut stream, keyring.as_ref(), &[b"welcome", &random[..]].concat(), &own).await?;
        random.extend_from_slice(&own);
        Ok(Self { stream, keyring, random, side: Side::Accepted, sent: 0, received: 0 })
    }

    /// Sends a message of any length.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), StreamError> {
        let mut chunks = message.chunks(CHUNK).peekable();
        // An empty message is one empty frame.
        let mut next = Some(chunks.next().unwrap_or_default());
        while let Some(chunk) = next {
            next = chunks.next();
            let mut frame = Vec::with_capacity(1 + chunk.len());
            frame.push(u8::from(next.is_none()));
            frame.extend_from_slice(chunk);
            let associated = self.associated(self.sent, matches!(self.side, Side::Dialled));
            write_frame(&mut self.stream, self.keyring.as_ref(), &associated, &frame).await?;
            self.sent += 1;
        }
        Ok(())
    }

    /// Receives a message of at most `most` bytes.
    pub async fn receive(&mut self, most: usize) -> Result<Vec<u8>, StreamError> {
        let mut message = Vec::new();
        loop {
            let packet = read_frame(&mut self.stream, CHUNK + OVERHEAD + 1).await?;
            let associated = self.associated(self.received, matches!(self.side, Side::Accepted));
            let frame = open(self.keyring.as_ref(), &associated, &packet).map_err(StreamError::Shut)?;
            self.received += 1;
            let (last, chunk) = frame.split_first().ok_or(StreamError::Shut(Shut::Foreign))?;
            if message.len() + chunk.len() > most {
                return Err(StreamError::TooLarge);
            }
            message.extend_from_slice(chunk);
            match last {
                1 => return Ok(message),
                // Empty frames that go on and on would never reach `most`.
                _ if chunk.len() == CHUNK => {}
                _ => return Err(StreamError::Shut(Shut::Foreign)),
            }
        }
    }

    fn associated(&self, count: u64, from_dialler: bool) -> Vec<u8> {
        let mut bytes = b"frame".to_vec();
        bytes.extend_from_slice(&self.random);
        bytes.push(u8::from(from_dialler));
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes
    }
}

fn random() -> Result<Vec<u8>, StreamError> {
    let mut bytes = vec![0; RANDOM];
    crate::key::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes)
}

async fn write_frame<S: AsyncWrite + Unpin>(
    stream: &mut S,
    keyring: Option<&Keyring>,
    associated: &[u8],
    bytes: &[u8],
) -> Result<(), StreamError> {
    let packet = seal(keyring, associated, bytes).ok_or_else(|| std::io::Error::other("a frame was not sealed"))?;
    write_bytes(stream, &packet).await
}

async fn write_bytes<S: AsyncWrite + Unpin>(stream: &mut S, packet: &[u8]) -> Result<(), StreamError> {
    let length = u32::try_from(packet.len()).map_err(|_| StreamError::TooLarge)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(packet);
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(())
}

async fn read_frame<S: AsyncRead + Unpin>(stream: &mut S, most: usize) -> Result<Vec<u8>, StreamError> {
    let length = stream.read_u32().await? as usize;
    if length == 0 || length > most {
        // A length that no first frame has means that something else is speaking.
        return Err(if most == HELLO_MOST { StreamError::Shut(Shut::Foreign) } else { StreamError::TooLarge });
    }
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::generate_key;

    async fn pair(
        ours: Option<Keyring>,
        theirs: Option<Keyring>,
    ) -> (Result<Session<tokio::io::DuplexStream>, StreamError>, Result<Session<tokio::io::DuplexStream>, StreamError>)
    {
        let (a, b) = tokio::io::duplex(1 << 20);
        tokio::join!(Session::dial(a, ours), Session::accept(b, theirs))
    }

    #[tokio::test]
    async fn messages_of_any_length_arrive_whole() {
        let ring = Keyring::in_memory(&generate_key().unwrap()).unwrap();
        for keyring in [None, Some(ring)] {
            let (dialled, accepted) = pair(keyring.clone(), keyring).await;
            let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
            for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
                let message = vec![7; length];
                dialled.send(&message).await.unwrap();
                assert_eq!(accepted.receive(4 * CHUNK).await.unwrap(), message);
                accepted.send(&message).await.unwrap();
                assert_eq!(dialled.receive(4 * CHUNK).await.unwrap(), message);
            }
            dialled.send(&vec![7; 2 * CHUNK]).await.unwrap();
            assert!(matches!(accepted.receive(CHUNK).await, Err(StreamError::TooLarge)));
        }
    }

    #[tokio::test]
    async fn each_side_is_told_what_differs() {
        let ring = || Some(Keyring::in_memory(&generate_key().unwrap()).unwrap());
        for (ours, theirs, told) in
            [(ring(), ring(), Told::UnknownKey), (None, ring(), Told::KeyWanted), (ring(), None, Told::NoKey)]
        {
            let (dialled, accepted) = pair(ours, theirs).await;
            assert!(matches!(dialled, Err(StreamError::Told(said)) if said == told), "{told:?}");
            assert!(matches!(accepted, Err(StreamError::Shut(_))));
        }
    }

    #[tokio::test]
    async fn a_recorded_connection_cannot_be_played_again() {
        let ring = Some(Keyring::in_memory(&generate_key().unwrap()).unwrap());
        // Record what a dialler says.
        let (a, mut middle) = tokio::io::duplex(1 << 20);
        let (mut beyond, b) = tokio::io::duplex(1 << 20);
        let recording = async {
            let mut recorded = vec![0; 4 + OVERHEAD + RANDOM];
            middle.read_exact(&mut recorded).await.unwrap();
            beyond.write_all(&recorded).await.unwrap();
            let mut welcome = vec![0; 4 + OVERHEAD + RANDOM];
            beyond.read_exact(&mut welcome).await.unwrap();
            middle.write_all(&welcome).await.unwrap();
            let mut message = vec![0; 4 + OVERHEAD + 1 + 5];
            middle.read_exact(&mut message).await.unwrap();
            beyond.write_all(&message).await.unwrap();
            recorded.extend_from_slice(&message);
            recorded
        };
        let dialling = async {
            let mut session = Session::dial(a, ring.clone()).await.unwrap();
            session.send(b"order").await.unwrap();
            session
        };
        let accepting = async {
            let mut session = Session::accept(b, ring.clone()).await.unwrap();
            assert_eq!(session.receive(100).await.unwrap(), b"order");
        };
        let (recorded, _dialled, ()) = tokio::join!(recording, dialling, accepting);
        assert_eq!(recorded[4], crate::seal::SEALED);
        // Play it again at another connection of the same member.
        let (mut a, b) = tokio::io::duplex(1 << 20);
        a.write_all(&recorded).await.unwrap();
        let mut session = Session::accept(b, ring).await.unwrap();
        assert!(matches!(session.receive(100).await, Err(StreamError::Shut(Shut::WrongKey))));
    }
}
