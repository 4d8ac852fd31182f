//! The error of every endpoint: an HTTP status and Nomad's text.
//!
//! Made by the endpoints, written as it is by `http`.

use nomadd_state::Refused;

/// Why an endpoint did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EndpointError {
    /// The HTTP status.
    pub status: u16,
    /// The text for the caller.
    pub message: String,
}

/// What an endpoint answers.
pub type Answer<T> = Result<T, EndpointError>;

impl EndpointError {
    /// An error with a status.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }
    /// 404: there is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }
    /// 500: Nomad's status for everything that a server refuses.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(500, message)
    }
    /// 501: this build cannot do it.
    pub fn not_there_yet(message: impl Into<String>) -> Self {
        Self::new(501, message)
    }
}

impl From<Refused> for EndpointError {
    fn from(refused: Refused) -> Self {
        Self::refused(refused.to_string())
    }
}
