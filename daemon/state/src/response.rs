//! What an applied command answers, and what it changed.

use nomadd_model::{AllocationId, NodeId, PlanResult, Text};
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::watch::WatchKey;

/// The outcome of one applied command.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The answer for who proposed it.
    pub response: Response,
    /// What changed, each key once.
    pub changes: Vec<WatchKey>,
    /// What happened, for the event stream, in order.
    pub events: Vec<Event>,
    /// Allocations that servers changed or removed, with their nodes, which have to be told. What nodes reported themselves
    /// is not among them.
    pub assigned: Vec<(NodeId, AllocationId)>,
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// It was applied.
    Ok {
        /// The index of the change.
        index: u64,
    },
    /// A job was registered, stopped or scaled.
    Job {
        /// The index of the change.
        index: u64,
        /// When the job was first registered.
        create_index: u64,
        /// When its specification last changed.
        job_modify_index: u64,
        /// Its version now.
        version: u64,
        /// Whether this command made a new version.
        changed: bool,
    },
    /// How many things were deleted or changed.
    Count {
        /// The index of the change.
        index: u64,
        /// How many.
        count: u64,
    },
    /// What came of each plan, in order.
    Plans(Vec<PlanResult>),
    /// What came of each command of a batch, in order.
    Batch(Vec<Self>),
    /// Nothing was changed, and why.
    Refused(Refused),
}

impl Response {
    /// Whether the command was refused.
    pub const fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Why a command changed nothing; the texts are Nomad's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// The caller wanted to create the job.
    #[error("Enforcing job modify index 0: job already exists")]
    JobExists,
    /// The job is not as the caller knows it.
    #[error("Enforcing job modify index {wanted}: job exists with conflicting job modify index: {found}")]
    JobModified {
        /// What the caller knows.
        wanted: u64,
        /// What it is.
        found: u64,
    },
    /// The caller wanted to change a job that is not there.
    #[error("Enforcing job modify index {wanted}: job does not exist")]
    JobAbsent {
        /// What the caller knows.
        wanted: u64,
    },
    /// There is no such thing.
    #[error("{kind} {id:?} not found")]
    NotFound {
        /// What was looked for.
        kind: Text,
        /// Its name.
        id: Text,
    },
    /// The job has no such version.
    #[error("job {job:?} at version {version} not found")]
    VersionNotFound {
        /// The job.
        job: Text,
        /// The version.
        version: u64,
    },
    /// Another version has that name.
    #[error("version tag {name:?} already exists on a different version of job {job:?}")]
    TagTaken {
        /// The job.
        job: Text,
        /// The name.
        name: Text,
    },
    /// The node proved another identity.
    #[error("node secret ID does not match")]
    NodeSecret,
    /// The setting has changed meanwhile.
    #[error("the {kind} has changed: it is at index {found}, not {wanted}")]
    Changed {
        /// What was to be set.
        kind: Text,
        /// What the caller knows.
        wanted: u64,
        /// What it is.
        found: u64,
    },
    /// Something is still used, or built in.
    #[error("{kind} {id:?} cannot be deleted: {reason}")]
    InUse {
        /// What was to be deleted.
        kind: Text,
        /// Its name.
        id: Text,
        /// Why not.
        reason: Text,
    },
    /// The thing is in a state in which this cannot be done.
    #[error("{0}")]
    State(Text),
}
