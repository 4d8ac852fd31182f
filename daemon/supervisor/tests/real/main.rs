//! The supervisor with real processes: the executor's binary, this host's cgroups, shells as tasks.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in tests a panic is the report")]

mod adopt;
mod bench;
mod container;
mod exec;
mod limits;
mod logs;
mod start;
mod stop;
mod support;
