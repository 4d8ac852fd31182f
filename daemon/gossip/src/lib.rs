//! Membership: who is there, at which address, with which tags, and who died.
//!
//! SWIM over UDP (foca) finds failures; TCP on the same port exchanges member lists, confirms suspicions and carries the
//! keyring's commands. Everything is sealed when there is a keyring. What this room says is a hint: nothing about raft, roles
//! or nodes is decided by it. Servers and clients run one pool each of the same code.

mod check;
mod codec;
mod config;
mod core;
mod error;
mod identity;
#[cfg(test)]
mod kept;
mod key;
mod keyring;
mod member;
mod room;
mod seal;
#[cfg(test)]
mod simulation;
mod stream;
mod wire;

pub use check::{check_message, check_packet, spoken};
pub use config::{Config, Pace};
pub use error::{ForceLeaveError, JoinError, KeyError, KeyringError, StartError, TagsError};
pub use key::{GossipKey, generate_key};
pub use keyring::Keyring;
pub use member::{Dropped, JoinReport, KeyringReport, Member, Prune, Stats, Status};
pub use room::Gossip;
