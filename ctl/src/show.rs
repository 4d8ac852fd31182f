//! Texts that several commands show: allocations, deployments, failed placements, differences.
//!
//! Pure: nouns in, text out; times are parameters.

pub mod allocations;
pub mod deployment;
pub mod diff;
pub mod evaluations;
pub mod placement;
