//! The types openraft is driven with. They end here: what other rooms see is `handle.rs` and `membership.rs`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use nomadd_model::Time;
use nomadd_state::{Command, Response};
use openraft::impls::{BoxedErrorSource, InlineBatch, OneshotResponder};
use openraft::vote::{RaftLeaderId, leader_id_std};
use openraft::{OptionalSend, RaftTypeConfig};

use crate::membership::{Server, ServerId};

/// The types of this cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types;

impl RaftTypeConfig for Types {
    type D = Proposal;
    type R = Response;
    type NodeId = ServerId;
    type Node = Server;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, ServerId>;
    type Vote = openraft::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Proposal, ServerId, Server>;
    type Entry = openraft::Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type AsyncRuntime = crate::prompt::Prompt;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

pub(crate) type LogId = openraft::type_config::alias::LogIdOf<Types>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<Types>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Types>;
pub(crate) type Payload = openraft::EntryPayload<Proposal, ServerId, Server>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
pub(crate) type Membership = openraft::Membership<ServerId, Server>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Types>;

/// A command that waits for the apply thread.
type Fresh = Mutex<Option<(Time, Command)>>;

/// A command on its way through the log: its stored form, made once by who proposed it, and the command itself for the
/// apply thread of this process. Entries read back from the disk have only the stored form.
#[derive(Clone)]
pub(crate) struct Proposal {
    /// `{now, command}` in the stored encoding.
    pub(crate) stored: Bytes,
    fresh: Option<Arc<Fresh>>,
}

impl Proposal {
    pub(crate) fn new(stored: Bytes, now: Time, command: Command) -> Self {
        Self { stored, fresh: Some(Arc::new(Mutex::new(Some((now, command))))) }
    }
    pub(crate) const fn stored(stored: Bytes) -> Self {
        Self { stored, fresh: None }
    }
    /// The command as it was proposed; only once, and only in the process that proposed it.
    pub(crate) fn take(&self) -> Option<(Time, Command)> {
        self.fresh.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.stored.len())
    }
}
impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The id of an entry.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}
