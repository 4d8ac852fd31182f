//! What can go wrong with a request.

use crate::address::Address;

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody answers.
    #[error("{request}: {}", dialled(.address, .error))]
    Unreachable {
        /// What was asked: `Get "http://127.0.0.1:4646/v1/jobs"`.
        request: String,
        /// Where it was looked for.
        address: Address,
        /// Why not; it is part of the text already.
        error: std::io::Error,
    },
    /// There is no TLS connection; the text names the setting that helps.
    #[error("{request}: {text}")]
    Tls {
        /// What was asked: `Get "https://127.0.0.1:4646/v1/jobs"`.
        request: String,
        /// Why not, and what helps.
        text: String,
    },
    /// The agent answered with an error.
    #[error("Unexpected response code: {status} ({body}){}", advised(*.status, .body))]
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

/// Some answers are known to mean a wrong setting on this side.
fn advised(status: u16, body: &str) -> String {
    crate::tls::advice(status, body).map(|helps| format!("; {helps}")).unwrap_or_default()
}

/// How Go's programs say that nobody answers: `dial tcp 127.0.0.1:4646: connect: connection refused`.
fn dialled(address: &Address, error: &std::io::Error) -> String {
    let mut why = error.to_string();
    if let Some(end) = why.find(" (os error") {
        why.truncate(end);
        why = why.to_lowercase();
    }
    let call = if error.raw_os_error().is_some() { "connect: " } else { "" };
    match address {
        Address::Unix(path) => format!("dial unix {}: {call}{why}", path.display()),
        Address::Tcp { host, port } | Address::Tls { host, port } if host.contains(':') => {
            format!("dial tcp [{host}]:{port}: {call}{why}")
        }
        Address::Tcp { host, port } | Address::Tls { host, port } => format!("dial tcp {host}:{port}: {call}{why}"),
    }
}
