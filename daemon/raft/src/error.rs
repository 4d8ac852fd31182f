//! What goes wrong, for those above: at opening, at proposing, with snapshots. Each says what to do.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::log::LogError;
use crate::membership::{Server, ServerId};
use crate::space::Size;

/// Why the room does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system failed.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process has it.
    #[error("data folder {path} is in use by pid {pid}: stop that process, or give this agent another data_dir")]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process that holds the lock.
        pid: String,
    },
    /// Another release made it.
    #[error(
        "data folder {path} has format {found}, this release reads format {known}: run the release that wrote it, or give this agent another data_dir"
    )]
    Version {
        /// The folder.
        path: PathBuf,
        /// What it says.
        found: u64,
        /// What this release reads.
        known: u64,
    },
    /// The version file is not one.
    #[error("{path} is damaged: {reason}; restore it from a backup of this server's data folder")]
    Folder {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The newest snapshot cannot be read.
    #[error("snapshot {path} cannot be used: {next}")]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What to do.
        next: String,
        /// What is wrong with it.
        source: SnapshotError,
    },
    /// Entries between snapshot and log are gone.
    #[error(
        "the log begins at entry {first}, but the newest snapshot in {path} ends at {index}: put the newer snapshot back, or restore this server's data folder from a backup"
    )]
    Gap {
        /// The folder of the snapshots.
        path: PathBuf,
        /// The first entry of the log.
        first: u64,
        /// The last entry of the snapshot; 0 when there is none.
        index: u64,
    },
    /// Acknowledged entries are gone.
    #[error(
        "the log on the disk ends at entry {found}, but entry {applied} was acknowledged: the disk lost synced data; restore this server's data folder from a backup"
    )]
    Lost {
        /// The last entry found.
        found: u64,
        /// The last entry applied.
        applied: u64,
    },
    /// An entry cannot be applied.
    #[error("{0}")]
    Halted(Arc<str>),
    /// openraft did not start.
    #[error("the consensus does not start: {0}")]
    Start(String),
    /// Nobody became leader.
    #[error("this server did not become leader within {seconds} s although it is the only voter")]
    NoLeader {
        /// How long it was waited for.
        seconds: u64,
    },
}

/// Where the leader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its id.
    pub id: ServerId,
    /// Its name and address, when known.
    pub server: Server,
}

/// Why a command was not written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProposeError {
    /// Another server leads, or none.
    #[error("this server is not the leader{}", leader.as_ref().map_or_else(|| ", and none is known: try again".to_owned(), |leader| format!(": ask {} at {}", leader.server.name, leader.server.address)))]
    NotLeader {
        /// The leader, when known.
        leader: Option<Leader>,
    },
    /// Too little room.
    #[error(
        "no space to write to {path}: {free} free, {needed} needed; free some space on that file system, then it goes on by itself"
    )]
    DiskFull {
        /// The data folder.
        path: PathBuf,
        /// What is free.
        free: Size,
        /// What must be.
        needed: Size,
    },
    /// The log cannot be written; the room is being opened again.
    #[error(
        "the log cannot be written ({reason}): whether this write was kept is not known; reads go on, and writes do once the disk answers"
    )]
    Storage {
        /// What failed.
        reason: Arc<str>,
    },
    /// Leadership changed under way.
    #[error("the leader changed while this was written: it may or may not have been kept; look before repeating it")]
    Uncertain,
    /// The command is too large for one entry.
    #[error("the command has {size}, an entry of the log at most {most}: split it")]
    TooLarge {
        /// Its size.
        size: Size,
        /// The limit.
        most: Size,
    },
    /// Too many writes are under way.
    #[error("too many writes are waiting for the disk: try again in a moment")]
    Busy,
    /// The command has no stored form.
    #[error("the command cannot be encoded: {reason}")]
    Encode {
        /// Why not.
        reason: Arc<str>,
    },
    /// The room was shut down.
    #[error("this server is shutting down: ask another one, or try again when it is back")]
    Stopped,
}

/// Why a snapshot cannot be written, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Reading or writing failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// It is not a snapshot.
    #[error("this is not a snapshot of nomadd: it does not begin as one")]
    Foreign,
    /// Another release made it.
    #[error("the snapshot has format {found}, this release reads {known}: use the release that wrote it")]
    Version {
        /// What it says.
        found: u8,
        /// What this release reads.
        known: u8,
    },
    /// It is damaged or cut.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
    /// It is too large.
    #[error("the snapshot is larger than {0}")]
    TooLarge(Size),
    /// The tables in it cannot be read.
    #[error("the tables of the snapshot cannot be read")]
    State(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This server cannot take it now.
    #[error(transparent)]
    Refused(#[from] ProposeError),
    /// The room did not start with it.
    #[error("the restored state could not be started: {0}")]
    Start(String),
}
