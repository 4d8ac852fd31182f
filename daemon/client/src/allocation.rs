//! Allocations on this node: the decisions about them (pure state machines) and the loop that performs those.
//!
//! `machine` decides for an allocation, `task` for one task, `restart` and `health` judge; `runner` performs.

pub mod archive;
pub mod health;
pub mod launch;
pub mod machine;
pub mod network;
pub mod previous;
pub mod remote;
pub mod restart;
pub mod runner;
pub mod shared;
pub mod task;
pub mod volumes;
