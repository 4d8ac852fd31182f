//! What the room is told when it opens.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nomadd_runtime::Runtime;
use nomadd_state::CommandSet;

use crate::disk::{Disk, Durability, RealDisk};
use crate::membership::{Server, ServerId};
use crate::peers::Peers;

/// Bounds and policies; the defaults are Nomad's where Nomad has them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Writes are refused while less is free on the data folder's file system, in bytes.
    pub free: u64,
    /// The most bytes of one command.
    pub entry: u64,
    /// The most bytes of commands under way at a time; more wait, then are refused as busy.
    pub waiting: usize,
    /// How long a command waits for its turn before it is refused as busy.
    pub patience: Duration,
    /// A snapshot is made when so many entries came since the last (`raft_snapshot_threshold`) …
    pub snapshot_threshold: u64,
    /// … which is looked at so often (`raft_snapshot_interval`) …
    pub snapshot_interval: Duration,
    /// … or at once when so many bytes of entries came, or twice the last snapshot if that is more.
    pub snapshot_bytes: u64,
    /// So many entries before the snapshot stay in the log (`raft_trailing_logs`).
    pub trailing_logs: u64,
    /// A file of the log is closed when it is longer, in bytes (at most 1 GiB).
    pub segment: u64,
    /// The most bytes of a snapshot that is restored.
    pub restore: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            free: 256 << 20,
            entry: 32 << 20,
            waiting: 64 << 20,
            patience: Duration::from_secs(2),
            snapshot_threshold: 8192,
            snapshot_interval: Duration::from_secs(120),
            snapshot_bytes: 64 << 20,
            trailing_logs: 10_240,
            segment: 16 << 20,
            restore: 16 << 30,
        }
    }
}

/// What becomes of a new, empty folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bootstrap {
    /// This server is a cluster of its own at once.
    #[default]
    Alone,
    /// It waits until a cluster is made (`Raft::bootstrap`) or a leader takes it in.
    Wait,
}

/// How quickly servers notice that their leader is gone. A follower waits for `election.end` since it last heard the leader,
/// then for a random time within `election`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How often a leader is heard at least.
    pub heartbeat: Duration,
    /// The time before an election.
    pub election: Range<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { heartbeat: Duration::from_millis(50), election: Duration::from_millis(150)..Duration::from_millis(300) }
    }
}

/// How to open the room.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of log and snapshots (`DATA_DIR/server/raft`); made when it is not there.
    pub folder: PathBuf,
    /// The id of this server if the folder is new; otherwise the folder's own is kept.
    pub fresh_id: ServerId,
    /// Name and RPC address of this server, for the cluster's configuration.
    pub server: Server,
    /// The way to other servers; without it there are none.
    pub peers: Option<Arc<dyn Peers>>,
    /// What becomes of a new folder.
    pub bootstrap: Bootstrap,
    /// How quickly a lost leader is replaced.
    pub pace: Pace,
    /// Bounds and policies.
    pub limits: Limits,
    /// The commands that this server can apply; less than `CommandSet::CURRENT` makes it an earlier release, more the next one
    /// (tests of upgrades).
    pub commands: CommandSet,
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// Clock, tasks, pool.
    pub runtime: Runtime,
}

impl Config {
    /// The defaults for a folder of the real disk.
    pub fn new(folder: PathBuf, server: Server, durability: Durability, runtime: Runtime) -> Self {
        let fresh_id = ServerId(nomadd_model::NodeId::from_random(runtime.seeds.id()));
        let disk = Arc::new(RealDisk { durability });
        Self {
            folder,
            fresh_id,
            server,
            peers: None,
            bootstrap: Bootstrap::default(),
            pace: Pace::default(),
            limits: Limits::default(),
            commands: CommandSet::CURRENT,
            disk,
            runtime,
        }
    }
}
