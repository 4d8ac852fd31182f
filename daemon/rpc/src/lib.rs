//! What nodes say to servers and servers to nodes.
//!
//! Owns the messages, their stored encoding and the `Connection` that carries the encoded bytes. Here server and client share a
//! process and a connection is a pair of bounded channels; a network connection carries the same bytes, so nothing above
//! changes. Called by `client` (dials) and `server` (serves).

pub mod codec;
pub mod connection;
pub mod message;

pub use codec::{CodecError, MAX_MESSAGE, decode, encode};
pub use connection::{Connection, InProcess, RpcError, Service, Updates};
pub use message::*;
