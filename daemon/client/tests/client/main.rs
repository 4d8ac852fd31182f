//! The client against a server that the tests hold in their hand: allocations run, restart, are found again, and their files.
#![expect(clippy::unwrap_used, reason = "tests fail where something is missing")]

mod files;
mod measure;
mod run;
mod support;
