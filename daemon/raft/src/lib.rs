//! The replicated log of a server: openraft over a log and snapshots on disk, and the state machine around `nomadd_state`.
//!
//! The only owner of openraft's types. Everything acknowledged survives the process at any instant and, with
//! `Durability::Sync`, the machine. `server` holds the `Raft` handle; nothing here knows what commands mean.
//!
//! Other servers are reached through `Peers`, and reach this one through `Raft::answer`; snapshots go over a connection of
//! their own. `members.rs` says who the servers are, `answer.rs` who must not take part.
//!
//! | thread | does |
//! |---|---|
//! | `raft` | openraft, the connections with other servers, and the room that starts it again after a failure of the disk |
//! | `raft-log` | writes and syncs what came meanwhile, in one go |
//! | `raft-apply` | applies, publishes, answers, wakes |
//!
//! With simulated surroundings (`Runtime::simulated`) there are no threads: all of it runs where it is asked for, draws from the
//! runtime's seeds, and waits in tokio's time.

mod answer;
pub mod archive;
mod check;
mod config;
pub mod disk;
mod error;
mod folder;
mod frame;
mod handle;
#[cfg(test)]
mod kept;
mod log;
mod machine;
mod members;
mod membership;
mod network;
mod peers;
mod prompt;
mod recovery;
mod restore;
mod room;
mod shared;
mod snapshots;
mod space;
#[cfg(test)]
mod testing;
mod types;
mod watch;
mod wire;

pub use archive::SnapshotHeader;
pub use check::check_message;
pub use config::{Bootstrap, Config, Limits, Pace};
pub use disk::Durability;
pub use error::{Leader, MembershipError, OpenError, ProposeError, SnapshotError};
pub use handle::{Committed, Leadership, Raft, Recovered, Role, Stats};
pub use log::{Checked, LogError, check_segment};
pub use machine::Happened;
pub use members::PeerHealth;
pub use membership::{Configuration, Member, Server, ServerId};
pub use peers::Peers;
pub use space::Size;
pub use watch::Watcher;
