//! The network room with the reference plugins of CNI, real namespaces and real rules. Each test lives in a network namespace of
//! its own: the machine's rules and devices are not touched.
//!
//! Needs root and the packages containernetworking-plugins, iptables, iproute2, and the executor's binary beside the tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod bridge;
mod broken;
mod support;
