//! The network between agents over real sockets of 127.0.0.1, with certificates made here.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod certificates;
mod harness;
mod refusals;
mod reload;
mod silence;
mod traffic;
