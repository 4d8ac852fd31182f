//! The scheduler.

pub mod ask;
pub mod constraint;
pub mod device;
pub mod feasible;
pub mod fleet;
pub mod ids;
pub mod network;
pub mod offer;
pub mod placer;
pub mod rank;
pub mod target;
