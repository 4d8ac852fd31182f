//! What can go wrong, in the operator's words: each says which setting or address it is about.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use nomadd_model::Text;

/// A text is no gossip key, or none can be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It does not decode.
    #[error("the gossip key (`encrypt`) is not base64")]
    NotBase64,
    /// It has another number of bytes than AES takes.
    #[error("the gossip key (`encrypt`) has {0} bytes: it must have 16, 24 or 32")]
    Length(usize),
    /// The system gave no random bytes.
    #[error("the system has no random bytes to give")]
    Randomness,
    /// The cipher refused it.
    #[error("the cipher does not take this gossip key")]
    Cipher,
}

/// A keyring was not read, changed or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A key is not one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file was not read or written.
    #[error("keyring file {}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not a JSON list of keys.
    #[error("keyring file {} is not a JSON list of base64 keys", .0.display())]
    Content(PathBuf),
    /// There is no keyring here.
    #[error("gossip is not encrypted here: set `encrypt` in the agent's server block")]
    NoKeyring,
    /// The primary key must not go.
    #[error("removing the primary key is not allowed: use another key first")]
    Primary,
    /// The key is not in the ring.
    #[error("the requested key is not in the keyring: install it first")]
    Unknown,
    /// The ring is full.
    #[error("the keyring holds {0} keys already: remove one first")]
    Full(usize),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopped,
}

/// Gossip did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The name does not do.
    #[error("the gossip name {0:?} does not do: it must have 1 to 128 bytes and no control characters")]
    Name(Text),
    /// The port was not had.
    #[error("gossip cannot listen on {address} ({protocol}): see `ports.serf` and `addresses.serf`")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// UDP or TCP.
        protocol: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody could dial this.
    #[error("the advertised gossip address {0} cannot be dialled: set `advertise.serf`")]
    Advertise(SocketAddr),
    /// Tags are too large.
    #[error(transparent)]
    Tags(#[from] TagsError),
    /// The generation could not be kept.
    #[error("the gossip folder {} cannot be used", .folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Tags do not do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TagsError {
    /// They would not fit into a packet beside the rest.
    #[error("the gossip tags take {size} bytes: at most {most} fit into a packet")]
    TooLarge {
        /// Bytes as encoded.
        size: usize,
        /// Bytes that fit.
        most: usize,
    },
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopped,
}

/// An address was not joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// It is no address and no name of one.
    #[error("{text:?} is not found: {reason}")]
    Resolve {
        /// As given.
        text: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nobody answers there.
    #[error("{address} is not reached: {reason}")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// A member of this name is there already.
    #[error(
        "the name {name} is taken: the member at {holder} has it, and this agent at {own} may not join under it; change `name` of one of the two"
    )]
    Conflict {
        /// The name.
        name: Text,
        /// The member that stays.
        holder: SocketAddr,
        /// This one.
        own: SocketAddr,
    },
    /// The keys differ.
    #[error(
        "{address} does not know this agent's gossip key: `encrypt`, or the keyring file of an earlier start, differs"
    )]
    OtherKey {
        /// Where.
        address: SocketAddr,
    },
    /// It is encrypted there and not here.
    #[error("{address} wants encrypted gossip and this agent has no key: set `encrypt`")]
    KeyWanted {
        /// Where.
        address: SocketAddr,
    },
    /// It is encrypted here and not there.
    #[error("{address} has no gossip key and this agent has one: set `encrypt` there, or remove it here")]
    NoKeyThere {
        /// Where.
        address: SocketAddr,
    },
    /// It is something else.
    #[error("{address} does not speak this gossip protocol: is it the port of `ports.serf`?")]
    Foreign {
        /// Where.
        address: SocketAddr,
    },
    /// It said no.
    #[error("{address} refused: {reason}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// Its words.
        reason: String,
    },
    /// The agent is stopping or has left.
    #[error("this agent has left the gossip pool or is stopping")]
    Stopped,
}

/// A member was not forced to leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForceLeaveError {
    /// There is none of this name.
    #[error("no member has the name {0}")]
    Unknown(Text),
    /// It is this agent.
    #[error("{0} is this agent: leave instead")]
    Own(Text),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopped,
}
