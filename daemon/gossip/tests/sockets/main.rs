//! The room over real sockets of 127.0.0.1, from outside: pools, keys, and (in `flood`) a hostile peer.

#![expect(clippy::unwrap_used, reason = "a test that cannot start a member has failed")]

mod common;
mod keys;
mod pool;
