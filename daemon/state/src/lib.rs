//! The replicated state: tables, the commands that change them, and the snapshots that carry them.
//!
//! Pure: no clock, no randomness, no I/O beyond the `Read`/`Write` it is handed. `State::apply` is the only writer; it is
//! deterministic and total. `raft` calls it with committed entries; `scheduler` and `server` read clones of `State`.

mod apply;
pub mod class;
pub mod command;
mod event;
mod key;
mod ports;
mod response;
mod root_key;
pub mod snapshot;
mod state;
mod table;
mod usage;
mod verify;
mod watch;

pub use command::*;
pub use event::{Event, EventKind, Payload, Subject, Topic};
pub use key::JobKey;
pub use ports::PortRanges;
pub use response::{Applied, Refused, Response};
pub use root_key::{RootKey, Wrapping};
pub use state::State;
pub use table::nodes::{NodeChange, NodeRecord, NodeTable};
pub use usage::{Capacity, DeviceKey, Footprint, HeldPort, Misfit, NodeUsage};
pub use watch::{Table, WatchKey};
