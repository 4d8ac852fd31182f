//! What goes wrong, for those above: at opening, at proposing, with snapshots. Each says what to do.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use nomadd_state::CommandSet;

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
    /// The log of a server that was a member is empty.
    #[error(
        "the log in {path} is empty, but this server had entries: the disk was lost; restore the folder from a backup of this server, or remove all of {path} to begin anew"
    )]
    Emptied {
        /// The folder.
        path: PathBuf,
    },
    /// The operator's list of servers cannot be used.
    #[error("{path} cannot be used: {reason}")]
    Peers {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
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

/// Why the servers of the cluster are not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MembershipError {
    /// Another server leads, or none.
    #[error("this server is not the leader{}", leader.as_ref().map_or_else(|| ", and none is known: try again".to_owned(), |leader| format!(": ask {} at {}", leader.server.name, leader.server.address)))]
    NotLeader {
        /// The leader, when known.
        leader: Option<Leader>,
    },
    /// A change is under way.
    #[error("another change of the servers is under way: try again in a moment")]
    Busy,
    /// A cluster exists already, with other servers.
    #[error(
        "this server is in a cluster already, with {servers}: it cannot begin another one; does bootstrap_expect differ between servers?"
    )]
    Bootstrapped {
        /// Its servers.
        servers: String,
    },
    /// The list does not name this server, or names one twice.
    #[error("a cluster cannot begin with these servers: {reason}")]
    List {
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody has that id.
    #[error("no server of this cluster has the id {id}")]
    Unknown {
        /// The id.
        id: ServerId,
    },
    /// A member has that name or address under another id.
    #[error(
        "{} at {} has the id {found}, but this cluster knows {} at {} as {known}: its disk was lost or another server took its place; remove the old one first (operator raft remove-peer {known})", newcomer.name, newcomer.address, member.name, member.address
    )]
    Known {
        /// The newcomer.
        newcomer: Box<Server>,
        /// Its id.
        found: ServerId,
        /// The member.
        member: Box<Server>,
        /// The member's id.
        known: ServerId,
    },
    /// The same id is alive at two addresses.
    #[error(
        "the id {id} is answered at {first} and at {second}: a data folder was copied; stop one of the two, clear the raft folder of the copy, and let it join as a server of its own"
    )]
    Cloned {
        /// The id.
        id: ServerId,
        /// One address.
        first: String,
        /// The other.
        second: String,
    },
    /// Another server answers there.
    #[error("the server at {address} is {found}, not {id}")]
    Stranger {
        /// Where.
        address: String,
        /// Who answers.
        found: ServerId,
        /// Who was expected.
        id: ServerId,
    },
    /// The server takes no part.
    #[error("server {name} takes no part: {reason}")]
    Refused {
        /// Its name.
        name: String,
        /// Its reason.
        reason: String,
    },
    /// It cannot be reached.
    #[error("server {name} at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Its name.
        name: String,
        /// Its address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The cluster would be without a voter.
    #[error("{id} is the only voter: the cluster would be without one")]
    LastVoter {
        /// The id.
        id: ServerId,
    },
    /// Leadership did not move.
    #[error("leadership did not move to {to} in time: {reason}")]
    NotMoved {
        /// To whom, by name.
        to: String,
        /// What is known.
        reason: &'static str,
    },
    /// It may or may not have happened.
    #[error(
        "the leader changed meanwhile: whether the change of servers was kept is not known; look before repeating it"
    )]
    Uncertain,
    /// It cannot be written.
    #[error(transparent)]
    Refuse(#[from] ProposeError),
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
    /// Not all servers can apply the command yet.
    #[error(
        "this needs command set {needed}, and the cluster uses set {used} until every server runs a release that knows set {needed}"
    )]
    NotYet {
        /// The set that the command is of.
        needed: CommandSet,
        /// The set that the cluster may use.
        used: CommandSet,
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
    /// A newer release made it.
    #[error(
        "the snapshot is of a cluster that uses command set {found}, and only sets up to {known} can be used here: run the release that wrote it on every server"
    )]
    Newer {
        /// The set that the cluster of the snapshot uses.
        found: CommandSet,
        /// The newest set that can be used.
        known: CommandSet,
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
