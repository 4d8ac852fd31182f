//! Images by the real helper: made with umoci and skopeo, in Debian's registry or in one that this test plays, loaded from
//! archives; good ones, and ones that mean harm. Needs root and the packages umoci, skopeo, docker-registry, busybox-static.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in tests a panic is the report")]

mod bench;
mod build;
mod fake;
mod hostile;
mod load;
mod network;
mod pull;
mod support;
