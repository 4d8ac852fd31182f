//! What only the leader does, one file each: small reconcilers that read the state, decide, act.
//!
//! `lead` starts them when this server becomes the leader and stops them when it no longer is.

mod collection;
mod commands;
mod deployments;
mod drain;
mod feeder;
mod gauges;
mod heartbeats;
mod lead;
mod outbox;

pub(crate) use collection::{Ages, collect};
pub(crate) use deployments::evaluation_of as evaluation_of_deployment;
pub(crate) use lead::{begin_anew, lead};
