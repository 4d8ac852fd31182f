//! Ranking: which of the feasible nodes is best.

pub mod binpack;
pub mod index;
pub mod spread;
