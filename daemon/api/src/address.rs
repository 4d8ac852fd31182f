//! Where an agent is: `http://127.0.0.1:4646`, `https://node-1:4646` or `unix:///run/nomad.sock`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of an agent's HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `http://HOST:PORT`.
    Tcp {
        /// A name or an IP address.
        host: String,
        /// The port.
        port: u16,
    },
    /// `https://HOST:PORT`.
    Tls {
        /// A name or an IP address.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix://PATH`.
    Unix(PathBuf),
}

/// A text that names no agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL that is understood.
    #[error("invalid address {0:?}: http://HOST:PORT, https://HOST:PORT or unix://PATH is expected")]
    Form(String),
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::Form(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::Unix(path.into())) };
        }
        let (encrypted, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://").unwrap_or(text)),
        };
        let rest = rest.trim_end_matches('/');
        if rest.is_empty() || rest.contains(['/', ' ', '?', '#', '@']) {
            return Err(wrong());
        }
        let (host, port) = match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, after)) => (host, Some(after.strip_prefix(':').ok_or_else(wrong)?)),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = port.map_or(Ok(if encrypted { 443 } else { 80 }), str::parse).map_err(|_| wrong())?;
        if host.is_empty() {
            return Err(wrong());
        }
        let host = host.to_owned();
        Ok(if encrypted { Self::Tls { host, port } } else { Self::Tcp { host, port } })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "http://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "http://{host}:{port}"),
            Self::Tls { host, port } if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Tls { host, port } => write!(f, "https://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        for (text, shown) in [
            ("http://127.0.0.1:4646", "http://127.0.0.1:4646"),
            ("http://[::1]:4646/", "http://[::1]:4646"),
            ("node-1:4646", "http://node-1:4646"),
            ("http://node-1", "http://node-1:80"),
            ("https://node-1", "https://node-1:443"),
            ("https://[::1]:4646/", "https://[::1]:4646"),
            ("unix:///run/nomad.sock", "unix:///run/nomad.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for bad in ["", "http://", "http://:4646", "http://a:b", "http://a/b", "unix://", "https://", "https://a:b"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
