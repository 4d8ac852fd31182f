//! What can go wrong with a request.

use crate::address::Address;

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody answers.
    #[error("cannot reach the agent at {address}")]
    Unreachable {
        /// Where it was looked for.
        address: Address,
        #[source]
        source: std::io::Error,
    },
    /// The agent answered with an error.
    #[error("Unexpected response code: {status} ({body})")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What it said, without white space around it.
        body: String,
    },
    /// The connection broke off.
    #[error("the connection to the agent broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is not what was expected.
    #[error("the agent's answer cannot be read")]
    Decode(#[source] serde_json::Error),
    /// The answer is larger than what is read.
    #[error("the agent's answer has more than {0} bytes")]
    TooLarge(usize),
}

impl ApiError {
    /// The HTTP status, when the agent answered.
    pub fn status(&self) -> Option<u16> {
        if let Self::Status { status, .. } = self { Some(*status) } else { None }
    }
    /// Whether there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }
}
