//! A client of the HTTP API v1, for nomadctl, tests and anybody's programs.
//!
//! Owns addresses, TLS, headers, parameters, errors and streams; the nouns are `nomadd_model`'s. One connection per request: commands
//! are short, and a connection on loopback costs less than keeping a pool in order.

mod address;
mod client;
mod error;
mod exec;
mod stream;
mod tls;

pub use address::{Address, AddressError};
pub use client::{Answer, Client, Meta, Request, segment};
pub use error::ApiError;
pub use exec::{ExecData, ExecInput, ExecOutput, ExecReceiver, ExecResult, ExecSender, ExecSession, ExecSize};
pub use stream::{Frames, Lines};
pub use tls::{Tls, TlsError, TlsSettings, Verification};
