//! Why a call failed, told apart so that callers know whether to try again and whether the host is alive.

use crate::codec::CodecError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// No server could be reached: try again later.
    #[error("no server can be reached")]
    Unreachable,
    /// The host answers, but nobody listens there: its agent is down or restarting.
    #[error("{address} refuses connections: is the agent there running, and is this its RPC port?")]
    ConnectionRefused {
        /// `HOST:PORT`.
        address: String,
    },
    /// The host does not answer at all.
    #[error("{address} does not answer")]
    Silent {
        /// `HOST:PORT`.
        address: String,
    },
    /// The connection was closed or reset; whether the call had an effect is not known.
    #[error("the connection with {address} was lost: {reason}")]
    Lost {
        /// `HOST:PORT`.
        address: String,
        /// What is known of the reason.
        reason: String,
    },
    /// No answer in time over a living connection; whether the call had an effect is not known.
    #[error("{address} did not answer in time")]
    Deadline {
        /// `HOST:PORT`.
        address: String,
    },
    /// The address does not name a host.
    #[error("the address {address:?} cannot be resolved: {reason}")]
    Address {
        /// As it was configured.
        address: String,
        /// What the resolver says.
        reason: String,
    },
    /// Certificates, names, encryption: one of the two sides has another configuration.
    #[error("{address}: {reason}")]
    Security {
        /// `HOST:PORT`.
        address: String,
        /// What is wrong and which setting to change.
        reason: String,
    },
    /// There is no leader at the moment: try again later.
    #[error("the servers have no leader at the moment")]
    NoLeader,
    /// The server, or the connection with it, has too much to do: try again later.
    #[error("the server is busy")]
    Busy,
    /// The server refused the call; trying again does not help.
    #[error("the server refused: {0}")]
    Refused(String),
    /// A message could not be written or read.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What an error tells of the other host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Its agent answered, or closed the connection.
    Answers,
    /// The host is alive and refuses the connection: nobody listens (any more).
    Refuses,
    /// Nothing is heard of it.
    Silent,
    /// The error says nothing about the host.
    Unknown,
}

impl RpcError {
    /// Whether the same call may succeed later, without anyone changing a setting.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable
            | Self::ConnectionRefused { .. }
            | Self::Silent { .. }
            | Self::Lost { .. }
            | Self::Deadline { .. }
            | Self::Address { .. }
            | Self::NoLeader
            | Self::Busy => true,
            Self::Security { .. } | Self::Refused(_) | Self::Codec(_) => false,
        }
    }

    /// Whether the call may have had an effect although it failed.
    pub const fn may_have_happened(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Deadline { .. } | Self::Silent { .. } | Self::Unreachable)
    }

    /// What the error tells of the other host. Only silence counts as gone.
    pub const fn reach(&self) -> Reach {
        match self {
            Self::ConnectionRefused { .. } => Reach::Refuses,
            Self::Silent { .. } => Reach::Silent,
            Self::Lost { .. } | Self::Security { .. } | Self::NoLeader | Self::Busy | Self::Refused(_) => {
                Reach::Answers
            }
            Self::Unreachable | Self::Deadline { .. } | Self::Address { .. } | Self::Codec(_) => Reach::Unknown,
        }
    }
}
